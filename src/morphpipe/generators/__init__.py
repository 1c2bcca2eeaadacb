"""Conditional generators: networks that turn noise into latents."""
