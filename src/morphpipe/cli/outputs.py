"""Where verbs write: over nothing that they did not make themselves.

A file `.morphpipe` beside what a verb has written says what it was. What was changed since then, or
is not named there, is somebody's, and stays.
"""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from morphpipe.core.errors import ConfigError
from morphpipe.core.json_files import read_json

RECORD = ".morphpipe"

# What this process was asked to write.
_asked: list[Path] = []


def unused(path: Path | None) -> Path | None:
    """Check an option that says where to write, see `place`; None stays None."""
    return None if path is None else place(path)


def place(path: Path, *, named: bool = True) -> Path:
    """Where to write: a path at which nothing stands but what a verb once made.

    Parameters
    ----------
    path
        The file or folder.
    named
        Whether it is the value of an option. Of a file beside it or inside it, whose name is the
        verb's own, every option with that value is an input.

    Raises
    ------
    ConfigError
        When something else stands there, the path is an input as well, or no folder can hold it.
    """
    texts = [text.split("=", 1)[-1] if text.startswith("--") else text for text in sys.argv[1:]]
    same = sum(Path(text).resolve() == path.resolve() for text in texts)
    if path.exists() and same > int(named):
        raise ConfigError(f"{path} is to be read and to be written: name another output.")
    require_folder(path)
    empty = path.is_dir() and not any(path.iterdir())
    recorded = _recorded(path.parent).get(path.name)
    if os.path.lexists(path) and not empty and recorded != _state(path):
        what = "a folder with something in it" if path.is_dir() else "a file"
        raise ConfigError(
            f"{path} is there already, {what} that morphpipe did not make or that was changed "
            "since, and nothing is written over: name another output, or delete it first."
        )
    _asked.append(path)
    return path


def require_folder(path: Path) -> None:
    """Stop where a path can have no folder to lie in.

    Raises
    ------
    ConfigError
        When a file stands where the folder would be made, or it may not be written to.
    """
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{path} cannot be written: {folder} is no folder, or not yours to write to."
        )


def work_folder(path: Path | None) -> Path | None:
    """Check an option that names a folder to work in, which may hold other files.

    Raises
    ------
    ConfigError
        When it is a file, or may not be written to.
    """
    if path is not None:
        require_folder(path / "part")
    return path


def place_inside(folder: Path, names: Iterable[str]) -> None:
    """Check the files that a verb writes into a folder, which may hold others; see `place`."""
    for name in names:
        place(folder / name, named=False)


def place_of_log(path: Path | None) -> Path | None:
    """Check where to write a log: over a file of that name only, since each run begins it anew.

    Raises
    ------
    ConfigError
        When a folder, or a file with something in it that is called otherwise, stands there.
    """
    if path is None:
        return None
    require_folder(path)
    if path.is_dir() or (path.suffix != ".log" and path.exists() and path.stat().st_size):
        raise ConfigError(
            f"{path} is there already, and only a file whose name ends in .log is taken for an "
            "earlier log: name another one."
        )
    return path


def new(help: str) -> Any:
    """An option that says where to write, see `place`."""
    return typer.Option(callback=unused, help=help)


def record_outputs() -> None:
    """Write down what this process was asked to write and has written so far."""
    for folder in {path.parent for path in _asked}:
        made = {path.name: _state(path) for path in _asked if path.parent == folder}
        content = _recorded(folder) | {name: state for name, state in made.items() if state}
        # No verb fails for this file: without it the next one refuses to write there.
        with suppress(OSError):
            if content != _recorded(folder):
                (folder / RECORD).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def forget_outputs() -> None:
    """Begin anew, as in another process."""
    _asked.clear()


def _recorded(folder: Path) -> dict[str, list[int]]:
    try:
        content = read_json(folder / RECORD)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path) -> list[int]:
    """Number, sizes and latest change of the files at a path; empty where there is none."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    # Of a link itself: what it points to is not what was written.
    states = [file.lstat() for file in files if os.path.lexists(file)]
    if not states:
        return []
    changed = max(state.st_mtime_ns for state in states)
    return [len(states), sum(state.st_size for state in states), changed]
