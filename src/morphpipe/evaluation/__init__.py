"""Distances, treatment effects and probes on feature arrays, with floors and intervals."""
