"""Where fields of view come from, real and simulated, and the table they stand in."""
