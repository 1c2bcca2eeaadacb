"""Splits of fields into training and test sets, and leakage between them."""
