"""Exclusive use of a working folder."""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morphpipe.core.errors import DataError

LOCK = "lock"
# A terminated job may still be saving, and file servers notice killed processes late.
PATIENCE = 120.0


@contextmanager
def only_user(folder: str | Path, patience: float | None = None) -> Iterator[None]:
    """Lock a folder for exclusive use.

    The lock is the kernel's (`flock` of the file `lock`, also on NFS): it ends with the process,
    even on SIGKILL. The file remains and names the last user.

    Parameters
    ----------
    folder
        Created if missing.
    patience
        Seconds to wait for another job; default: two minutes.

    Raises
    ------
    DataError
        If another job (which is named) still uses it.
    """
    path = Path(folder) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        _acquire(file.fileno(), path, PATIENCE if patience is None else patience)
        file.truncate(0)
        file.write(_ourselves())
        file.flush()
        yield


def _ourselves() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return (
        f"process {os.getpid()} on {socket.gethostname()}"
        f"{f', SLURM job {job}' if job else ''}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    )


def _acquire(descriptor: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    waiting = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        except OSError as error:
            # Some file systems are mounted without locks.
            print(
                f"{path} cannot be locked ({error.strerror}): continuing without.",
                file=sys.stderr,
            )
            return
        if time.monotonic() >= deadline:
            raise DataError(
                f"{path.parent} is in use by {_owner(path)}: wait until it ends, or stop it. (If "
                f"that node is permanently lost, delete {path}.)"
            )
        if not waiting:
            waiting = True
            print(f"Waiting for {_owner(path)} to leave {path.parent}.", file=sys.stderr)
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))


def _owner(path: Path) -> str:
    try:
        return path.read_text("utf-8") or "another job"
    except OSError:
        return "another job"
