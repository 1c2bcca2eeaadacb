"""Who gets a SIGTERM, and who waits for whom."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

WORKER = """
import os, signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
place = os.path.join(sys.argv[1], os.environ["RANK"])
open(place + ".ready", "w").close()
while not asked:
    time.sleep(0.05)
time.sleep(1)
open(place + ".saved", "w").close()
while "SLURM_JOB_ID" in os.environ:
    time.sleep(1)
"""


@pytest.fixture
def start(tmp_path):
    """Start two processes that save at a SIGTERM, in SLURM or elsewhere; gives the launcher."""
    (tmp_path / "worker.py").write_text(WORKER)
    started = []

    def start(**environment):
        command = [sys.executable, "-m", "morphpipe.training.torchrun", "--standalone"]
        command += ["--nproc-per-node=2", str(tmp_path / "worker.py"), str(tmp_path)]
        kept = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
        started.append(subprocess.Popen(command, env=kept | environment, stderr=subprocess.DEVNULL))
        wait_for("ready")
        return started[0]

    def wait_for(what):
        end = time.monotonic() + 100
        while not all((tmp_path / f"{rank}.{what}").exists() for rank in (0, 1)):
            assert time.monotonic() < end
            time.sleep(0.1)

    start.wait_for = wait_for
    yield start
    for process in started:
        if process.poll() is None:
            for each in (*psutil.Process(process.pid).children(recursive=True), process):
                each.kill()
        process.wait()


def test_elsewhere_it_passes_the_signal_on_and_waits(start, tmp_path):
    launcher = start()
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=60) != 0
    assert len(list(tmp_path.glob("*.saved"))) == 2


def test_under_slurm_it_stays_until_it_is_killed(start):
    launcher = start(SLURM_JOB_ID="7")
    everyone = [launcher, *psutil.Process(launcher.pid).children(recursive=True)]
    for each in 2 * everyone:
        each.send_signal(signal.SIGTERM)
    start.wait_for("saved")
    with pytest.raises(subprocess.TimeoutExpired):
        launcher.wait(timeout=2)
