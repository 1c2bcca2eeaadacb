"""Comparison of CellProfiler features of real and generated fields."""
