"""Atomic files, checksums, locks, errors, devices, console."""
