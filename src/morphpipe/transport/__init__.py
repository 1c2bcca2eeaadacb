"""Between noise and data: the interpolant path, samplers, guidance and the noise of a sample."""
