"""The tables and figures of the two papers, made from a run and put beside the published values."""
