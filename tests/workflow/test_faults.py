"""A small campaign of faults in the finished workflow, by a user without root's rights."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# Without capabilities root is a user like others: what is write-protected cannot be written.
ORDINARY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")


def test_swaps_and_edits_are_not_silent_for_an_ordinary_user(finished, tmp_path):
    user = ORDINARY if os.geteuid() == 0 else ()
    protected = tmp_path / "protected"
    protected.touch(0o400)
    refused = subprocess.run([*user, "test", "-w", protected])
    assert refused.returncode == 1
    shutil.copytree(finished, tmp_path / "undisturbed", symlinks=True)
    (tmp_path / "undisturbed/seconds.txt").write_text("60")
    done = subprocess.run(
        [*user, sys.executable, "-m", "faults", "--folder", str(tmp_path), "--kills", "0",
         "--corruptions", "1", "--swaps", "3", "--edits", "3", "--same-run"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    assert "| swap | **all** | 3 |" in done.stdout
    assert "| edit | **all** | 3 |" in done.stdout
