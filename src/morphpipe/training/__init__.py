"""Training of generators: data, loop, checkpoints."""
