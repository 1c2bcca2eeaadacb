"""A SLURM cluster for all tests here, and workflows that run on it through profiles/slurm."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Tests are imported by their paths: what they share is not.
sys.path.insert(0, str(Path(__file__).parent))
from cluster import Cluster, missing_programs

REPOSITORY = Path(__file__).resolve().parents[2]
PROFILE = REPOSITORY / "profiles" / "slurm"


class OnCluster:
    """One working folder, and Snakemake in it with the project's profile for SLURM."""

    def __init__(self, folder: Path, cluster: Cluster, snakefile: Path) -> None:
        self.folder = folder
        self.cluster = cluster
        self.snakefile = snakefile
        self.log = folder / "snakemake.log"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Snakemake; what it says goes to `log`. The caller stops it, whatever happens."""
        command = [
            # It must not outlive a test that is killed: then it would wait for jobs for ever.
            *("timeout", "--kill-after=10", "--signal=INT", "2000"),
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile)),
            *("--profile", str(PROFILE)),
            # The profile's paths start where a user does: in the repository.
            *("--slurm-partition-config", str(PROFILE / "partitions.yaml")),
            # One machine's disk, and jobs of seconds, which are over when they are first looked at.
            *("--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "18"),
            *arguments,
        ]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.cluster.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def run(self, *arguments: str) -> int:
        """Run Snakemake to its end; gives its exit status."""
        try:
            return self.start(*arguments).wait()
        finally:
            self.stop()

    def stop(self) -> None:
        """Interrupt Snakemake, which cancels its jobs, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def jobs(self) -> list[dict[str, str]]:
        """What SLURM knows of all jobs that were submitted from this folder, in their order."""
        lines = self.cluster.run("scontrol", "--oneliner", "show", "job").splitlines()
        jobs = [dict(w.split("=", 1) for w in line.split(" ") if "=" in w) for line in lines]
        return [job for job in jobs if job.get("WorkDir") == str(self.folder)]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One private cluster for all tests: what cluster.py says of it."""
    missing = missing_programs()
    if missing:
        pytest.skip(
            f"SLURM is not installed here ({', '.join(missing)} are missing); on Debian: apt-get "
            "install slurmctld slurmd munge slurm-client slurm-wlm-basic-plugins"
        )
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def on_cluster(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Path], OnCluster]:
    """Make a fresh folder in which a Snakefile runs on the cluster."""
    return lambda name, snakefile: OnCluster(tmp_path_factory.mktemp(name), cluster, snakefile)
