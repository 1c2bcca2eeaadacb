"""Downloads that survive interruptions and servers that lie."""
