"""Robustness of results across batches and at equal cell counts."""
