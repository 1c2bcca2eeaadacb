"""From raw planes to fields: quality control, illumination, intensity windows, crops."""
