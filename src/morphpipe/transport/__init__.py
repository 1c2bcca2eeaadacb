"""Paths from noise to data: interpolant, samplers, guidance and noise of samples."""
