"""Whether results hold across batches and among fields of equal cell count."""
