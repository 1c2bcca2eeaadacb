"""CellProfiler's features of real and of generated fields."""
