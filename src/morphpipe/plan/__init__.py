"""What a run will do, before it does it: its files and params, its downloads, what it takes."""
