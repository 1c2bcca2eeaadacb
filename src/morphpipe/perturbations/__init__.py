"""What a condition is, and how it becomes a token or a vector."""
