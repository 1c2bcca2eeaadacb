"""Parse JSON from others, bounded in size and depth."""

import json
import stat
from pathlib import Path
from typing import Any

LARGEST = 1 << 26


def parse_json(text: str | bytes, *, unique: bool = False) -> Any:
    """Parse JSON text.

    Parameters
    ----------
    text
        str, or bytes in UTF-8.
    unique
        Reject objects with duplicate keys; otherwise the last value counts.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, or has duplicate keys.
    """
    try:
        content = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(content, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"it has the key {key!r} twice")
        content[key] = value
    return content


def read_json(path: str | Path, *, unique: bool = False) -> Any:
    """Read a JSON file of up to 64 MB.

    Parameters
    ----------
    path
        The file.
    unique
        See `parse_json`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        See `parse_json`; or if it is larger, or a pipe or device, which may never end.
    """
    path = Path(path)
    status = path.stat()
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
        raise ValueError("it is a pipe or a device, not a file")
    if status.st_size > LARGEST:
        raise ValueError(f"it has {status.st_size >> 20} MB, more than {LARGEST >> 20}")
    return parse_json(path.read_bytes(), unique=unique)
