"""What is generated, and generating it."""
