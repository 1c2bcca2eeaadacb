"""Files that survive kills, checksums, locks, errors, devices, the console."""
