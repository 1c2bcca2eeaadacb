"""Where verbs write: over nothing that they did not make themselves.

A file `.morphpipe` beside what a verb has written says what it was. What was changed since then, or
is not named there, is somebody's, and stays.
"""

import json
import sys
from pathlib import Path
from typing import Any

import typer

from morphpipe.errors import ConfigError

RECORD = ".morphpipe"

# What this process was asked to write.
_asked: list[Path] = []


def unused(path: Path | None) -> Path | None:
    """Check an option that says where to write, see `place`; None stays None."""
    return None if path is None else place(path)


def place(path: Path) -> Path:
    """Where to write: a path at which nothing stands but what a verb once made.

    Raises
    ------
    ConfigError
        When something else stands there, or the path is an input as well.
    """
    named = [text.split("=", 1)[-1] if text.startswith("--") else text for text in sys.argv[1:]]
    if path.exists() and sum(Path(text).resolve() == path.resolve() for text in named) > 1:
        raise ConfigError(f"{path} is to be read and to be written: name another output.")
    _asked.append(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return path
    if _recorded(path.parent).get(path.name) == _state(path):
        return path
    what = "a folder with something in it" if path.is_dir() else "a file"
    raise ConfigError(
        f"{path} is there already, {what} that morphpipe did not make or that was changed since, "
        "and nothing is written over: name another output, or delete it first."
    )


def new(help: str) -> Any:
    """An option that says where to write, see `place`."""
    return typer.Option(callback=unused, help=help)


def record_outputs() -> None:
    """Write down what this process was asked to write and has written."""
    for folder in {path.parent for path in _asked if path.exists()}:
        made = {path.name: _state(path) for path in _asked if path.parent == folder}
        content = _recorded(folder) | {name: state for name, state in made.items() if state}
        # No verb fails for this file: without it the next one refuses to write there.
        try:
            (folder / RECORD).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        except OSError:
            continue
    _asked.clear()


def _recorded(folder: Path) -> dict[str, list[int]]:
    try:
        content = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path) -> list[int]:
    """Number, sizes and latest change of the files at a path; empty where there is none."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    states = [file.stat() for file in files if file.exists()]
    if not states:
        return []
    changed = max(state.st_mtime_ns for state in states)
    return [len(states), sum(state.st_size for state in states), changed]
