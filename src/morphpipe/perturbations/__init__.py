"""Conditions of generators: perturbation embeddings, tokens and labels."""
