"""Generators: networks that turn noise into latents, given a condition."""
