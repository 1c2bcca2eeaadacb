"""Sources of fields of view, real and simulated, and their field tables."""
