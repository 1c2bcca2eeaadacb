"""Console output of jobs: log files, and user errors as one sentence."""

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TextIO

from morphpipe.core.errors import MorphpipeError


class _Tee:
    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self._terminal, self._log = terminal, log

    def write(self, text: str) -> int:
        self._log.write(text)
        self._log.flush()
        return self._terminal.write(text)

    def flush(self) -> None:
        self._log.flush()
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


def describe(error: BaseException) -> str:
    """Describe an error: one sentence for user errors, a traceback for bugs."""
    if isinstance(error, MorphpipeError):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(error)).rstrip()


def log_to(path: str | Path, *, echo: bool = False) -> None:
    """Redirect this process's messages to a log file, and show errors on the terminal too.

    Parameters
    ----------
    path
        The log; overwritten.
    echo
        Show messages (progress bars) on the terminal as well.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    log = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - lives as long as we do
    terminal = sys.stderr
    sys.stderr = _Tee(terminal, log) if echo else log
    sys.stdout = log
    # C libraries write to the descriptor directly.
    if not echo:
        keep = os.fdopen(os.dup(2), "w", buffering=1)
        os.dup2(log.fileno(), 2)
        terminal = keep

    def report(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        message = describe(error)
        print(message, file=log)
        if isinstance(error, MorphpipeError):
            print(f"\n{message}\n(log: {path})\n", file=terminal)
        else:
            print(f"\nmorphpipe failed: {error!r}; the traceback is in {path}\n", file=terminal)

    sys.excepthook = report
