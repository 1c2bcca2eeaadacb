"""Precision and recall, memorisation, variance."""
