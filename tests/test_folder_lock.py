import fcntl
import os
import signal

import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.folder_lock import only_user

HOLD = """
    import sys, time
    from morphpipe.core.folder_lock import only_user

    with only_user(sys.argv[1]):
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def held(run_python, tmp_path):
    """A folder that another process works in, and the process."""
    process = run_python(HOLD, tmp_path)
    assert process.stdout.readline() == "held\n"
    return tmp_path, process


def test_second_user_is_told_who_is_there(held):
    folder, process = held
    message = f"in use by process {process.pid} on .*, since 20.*wait until it ends"
    with pytest.raises(DataError, match=message), only_user(folder, patience=0):
        pytest.fail("both are in")


def test_killed_user_is_gone_at_once(held):
    folder, process = held
    process.send_signal(signal.SIGKILL)
    process.wait()
    with only_user(folder, patience=0):
        assert f"process {os.getpid()} on" in (folder / "lock").read_text()


def test_the_next_waits_until_the_one_before_has_ended(held, monkeypatch):
    folder, process = held
    monkeypatch.setattr("time.sleep", lambda _: process.kill())
    with only_user(folder, patience=60):
        pass


def test_one_after_the_other_and_again_in_one_process(tmp_path):
    for _ in range(2):
        with only_user(tmp_path / "new", patience=0):
            pass
    again = only_user(tmp_path / "new", patience=0)
    with pytest.raises(DataError, match="in use"), only_user(tmp_path / "new", patience=0), again:
        pytest.fail("both are in")


def test_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_user(tmp_path):
        pass
    assert (
        "cannot be locked (Function not implemented): continuing without" in capsys.readouterr().err
    )
