"""Treatment effects (CATE)."""
