"""Encoders: images to features, for alignment, metrics and probes."""
