"""Files on disk: field table, image archive, array shards, feature and metric tables."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import the package's names on first access: not every job reads images."""
    if name == "FIELD_SCHEMA":
        from morphpipe.tables.fields import FIELD_SCHEMA

        return FIELD_SCHEMA
    if name in ("read_fields", "read_images"):
        from morphpipe.tables import archive

        return getattr(archive, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
