"""Which field is trained on and which is judged on, and what leaks between them."""
