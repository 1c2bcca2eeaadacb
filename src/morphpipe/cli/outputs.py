"""Output paths of verbs: only files that morphpipe wrote itself are overwritten.

A file `.morphpipe` in the folder records the outputs. Files that are not recorded, or have changed
since, are not overwritten.
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

# Requested outputs of this process.
_requested: list[Path] = []


def unused(path: Path | None) -> Path | None:
    """Validate an output option, see `place`; None stays None."""
    return None if path is None else place(path)


def place(path: Path, *, named: bool = True) -> Path:
    """Validate an output path: it must not exist, unless morphpipe wrote it.

    Parameters
    ----------
    path
        The file or folder.
    named
        Whether the path is itself the value of an option. Otherwise every option with that value is
        an input.

    Raises
    ------
    ConfigError
        If something else exists there, the path is also an input, or its folder is not writable.
    """
    texts = [text.split("=", 1)[-1] if text.startswith("--") else text for text in sys.argv[1:]]
    same = sum(Path(text).resolve() == path.resolve() for text in texts)
    if path.exists() and same > int(named):
        raise ConfigError(f"{path} is both input and output: choose another output.")
    require_folder(path)
    empty = path.is_dir() and not any(path.iterdir())
    recorded = _recorded(path.parent).get(path.name)
    if os.path.lexists(path) and not empty and recorded != _state(path):
        what = "a non-empty folder" if path.is_dir() else "a file"
        raise ConfigError(
            f"{path} already exists, {what} that morphpipe did not write or that has changed "
            "since, and is not overwritten: choose another output, or delete it first."
        )
    _requested.append(path)
    return path


def require_folder(path: Path) -> None:
    """Check that the folder of a path can be created and written to.

    Raises
    ------
    ConfigError
        If the folder is a file, or not writable.
    """
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{path} cannot be written: {folder} is not a folder, or not writable.")


def work_folder(path: Path | None) -> Path | None:
    """Validate an option for a working folder, which may contain other files.

    Raises
    ------
    ConfigError
        If it is a file, or not writable.
    """
    if path is not None:
        require_folder(path / "part")
    return path


def place_inside(folder: Path, names: Iterable[str]) -> None:
    """Validate the output files of a verb in a folder, see `place`."""
    for name in names:
        place(folder / name, named=False)


def place_of_log(path: Path | None) -> Path | None:
    """Validate the path of a log file; an earlier log is overwritten.

    Raises
    ------
    ConfigError
        If it is a folder, or a non-empty file without the suffix .log.
    """
    if path is None:
        return None
    require_folder(path)
    if path.is_dir() or (path.suffix != ".log" and path.exists() and path.stat().st_size):
        raise ConfigError(
            f"{path} already exists, and only files with the suffix .log are overwritten: "
            "choose another log."
        )
    return path


def new(help: str) -> Any:
    """Return an output option, see `place`."""
    return typer.Option(callback=unused, help=help)


def record_outputs() -> None:
    """Record the outputs that this process has written so far."""
    for folder in {path.parent for path in _requested}:
        made = {path.name: _state(path) for path in _requested if path.parent == folder}
        content = _recorded(folder) | {name: state for name, state in made.items() if state}
        # Not an error: without the record the next verb refuses to overwrite.
        with suppress(OSError):
            if content != _recorded(folder):
                (folder / RECORD).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def forget_outputs() -> None:
    """Reset the outputs, as in a new process."""
    _requested.clear()


def _recorded(folder: Path) -> dict[str, list[int]]:
    try:
        content = read_json(folder / RECORD)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path) -> list[int]:
    """Return number, size and latest change of the files at a path; empty if none exist."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    # Of links themselves, not of their targets.
    states = [file.lstat() for file in files if os.path.lexists(file)]
    if not states:
        return []
    changed = max(state.st_mtime_ns for state in states)
    return [len(states), sum(state.st_size for state in states), changed]
