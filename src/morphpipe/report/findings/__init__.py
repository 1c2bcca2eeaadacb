"""Findings: statements, key figures and checks."""
