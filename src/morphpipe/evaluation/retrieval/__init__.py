"""Retrieval of perturbations and mechanisms with profiles."""
