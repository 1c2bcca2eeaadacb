"""What is true of the results, in sentences and numbers."""
