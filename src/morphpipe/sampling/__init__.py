"""Sampling plans, and generation of images."""
