"""What a run will do, before it does it: downloads and what it takes."""
