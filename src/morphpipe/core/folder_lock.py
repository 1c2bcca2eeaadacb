"""One job at a time in a working folder."""

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
# A job that was asked to end may still be saving, and a file server notices late that a process
# was killed.
PATIENCE = 120.0


@contextmanager
def only_user(folder: str | Path, patience: float | None = None) -> Iterator[None]:
    """Be the only job that works in a folder.

    The lock is the kernel's (`flock` of the file `lock`, which Linux passes on to NFS servers as
    well): it ends with the process, also by SIGKILL. The file itself stays, and says by whom the
    folder was used last.

    Parameters
    ----------
    folder
        Made where it is missing.
    patience
        How long to wait for another job to end, seconds; default: two minutes.

    Raises
    ------
    DataError
        When another job works in it after all that time; says which.
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
            print(f"{path} cannot be locked ({error.strerror}): going on without.", file=sys.stderr)
            return
        if time.monotonic() >= deadline:
            raise DataError(
                f"{path.parent} is in use by {_owner(path)}: wait for its end, or stop it. (If "
                f"that node is lost for good, delete {path}.)"
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
