"""A small campaign of faults in the finished workflow, by a user who is not root."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NOBODY = 65534
DROPPED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


def test_swaps_and_edits_are_not_silent_for_an_ordinary_user(finished):
    user = DROPPED if os.geteuid() == 0 else ()
    # Tests' own folders are closed to other users.
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if user:
            readable = subprocess.run([*user, "test", "-r", TESTS / "faults/__main__.py"])
            if readable.returncode:
                pytest.skip(f"{TESTS} cannot be read by other users")
        shutil.copytree(finished, folder / "undisturbed", symlinks=True)
        (folder / "undisturbed/seconds.txt").write_text("60")
        if user:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        done = subprocess.run(
            [*user, sys.executable, "-m", "faults", "--folder", str(folder), "--kills", "0",
             "--corruptions", "1", "--swaps", "3", "--edits", "3", "--same-run"],
            env=os.environ | {"PYTHONPATH": str(TESTS), "HOME": place},
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
        owner = {path.stat().st_uid for path in folder.glob("*/results/logs/*/*.log")}
        assert owner == {NOBODY if user else os.geteuid()}
        assert "| swap | **all** | 3 |" in done.stdout
