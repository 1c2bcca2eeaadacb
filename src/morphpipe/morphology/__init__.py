"""CellProfiler in process, and the profiles made of what it measures."""
