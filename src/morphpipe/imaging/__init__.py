"""Pixels to pixels: RGB views and dihedral transforms."""
