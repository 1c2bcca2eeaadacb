"""Fréchet and kernel distances, and comparisons of generators by them."""
