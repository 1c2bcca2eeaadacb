"""The papers' tables and figures, made from a run, with the published values."""
