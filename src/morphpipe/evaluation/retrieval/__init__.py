"""Retrieval of perturbations and mechanisms by profiles."""
