"""Feature sets, floors and intervals shared by all measures."""
