"""Feature sets, floors, intervals: what all measures share."""
