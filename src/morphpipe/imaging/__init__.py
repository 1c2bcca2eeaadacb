"""Pixels to pixels: illumination, scale, size, quality, nuclei, colour, orientation."""
