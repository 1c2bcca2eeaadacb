"""CellProfiler in process, and profiles of its measurements."""
