"""Training a generator: data, loop, checkpoints."""
