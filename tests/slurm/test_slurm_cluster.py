"""The private cluster itself: that it leaves nothing behind."""

import time
from pathlib import Path

import pytest
from cluster import NODES, missing_programs

SCRIPT = """
import os, signal, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from cluster import Cluster

cluster = Cluster(Path(sys.argv[2])).start()
cluster.run("sbatch", "--output=/dev/null", "--wrap=exec sleep 1000")
while cluster.job(1)["JobState"] != "RUNNING":
    pass
print(*(path.read_text().strip() for path in Path(sys.argv[2], "pids").iterdir()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(bool(missing_programs()), reason="SLURM is not installed here")
def test_slurm_cluster_is_gone_after_its_owner_was_killed(run_python, tmp_path):
    process = run_python(SCRIPT, Path(__file__).parent, tmp_path)
    numbers = process.communicate(timeout=60)[0].split()
    assert len(numbers) == len(NODES) + 2, numbers
    deadline = time.monotonic() + 30
    while left := [n for n in numbers if _runs(n, tmp_path)]:
        assert time.monotonic() < deadline, f"{left} still run"
        time.sleep(0.1)


def _runs(number, folder):
    try:
        return str(folder).encode() in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False
