"""A private SLURM cluster on this machine, for as long as a test needs it.

    with Cluster(folder) as cluster:
        cluster.run("sbatch", "--wrap", "hostname")     # any SLURM program; gives its output
        subprocess.run([...], env=cluster.environment)   # anything that calls SLURM itself
        cluster.job(7)["NodeList"]                       # what `scontrol show job` says

Four nodes of 8 CPUs and 64 GB: n1 and n2, and n3 and n4 with two stand-in GPUs each. Partitions:
`cpu` (n1, n2; the default), `gpu` (n3, n4), and over all four `preempt` (its jobs are requeued) and
`urgent` (its jobs push those of `preempt` aside). All of it is this one machine, so every node sees
the same files and `localhost`; a job over several nodes starts its tasks with `srun`.

It needs no systemd and nothing under /etc, listens on the loopback only, and works for root and for
an ordinary user. A guard process stops the daemons by their pid files as soon as the process that
started them is gone, however it went.

Differences from a real cluster: memory is accounted for but not enforced, there is no accounting
database, and a GPU is a name in CUDA_VISIBLE_DEVICES without a device behind it.
"""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel"]
# Debian keeps daemons where an ordinary user's PATH does not look.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NODES = ["n1", "n2", "n3", "n4"]
GPU_NODES = ["n3", "n4"]


def missing_programs() -> list[str]:
    """SLURM's programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]


class Cluster:
    """Four nodes, four partitions and their daemons, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Variables under which every SLURM program speaks to this cluster."""
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), SEARCH])
        # Of a cluster that the tests themselves may run on.
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SLURM_", "SBATCH_", "SRUN_"))
        }
        return kept | {"PATH": path, "SLURM_CONF": str(self.configuration)}

    def run(self, *command: str, check: bool = True) -> str:
        """Output of a SLURM program."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def job(self, number: int | str) -> dict[str, str]:
        """Everything that SLURM knows of a job, by the names of `scontrol show job`."""
        words = self.run("scontrol", "--oneliner", "show", "job", str(number)).split(" ")
        return dict(word.split("=", 1) for word in words if "=" in word)

    def start(self) -> Self:
        """Write the configuration and start all daemons; they answer when this returns."""
        stop_daemons(self.folder)
        for part in ("bin", "pids", "logs", "state", *(f"spool/{node}" for node in NODES)):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self._write_files()
        # Its end of the pipe closes when this process is gone, and then it stops the daemons.
        self._guard = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            for command in self._daemons():
                subprocess.run(
                    command, env=self.environment, check=True, capture_output=True, timeout=30
                )
            self._wait_until_idle()
        except BaseException as error:
            self.stop()
            output = getattr(error, "stderr", b"") or b""
            raise RuntimeError(f"The cluster did not start: {error} {output.decode()}") from error
        return self

    def stop(self) -> None:
        """End all jobs and daemons."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(timeout=60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _daemons(self) -> list[list[str]]:
        folder, configuration = self.folder, str(self.configuration)
        return [
            [
                "munged",
                "--force",
                f"--key-file={folder}/munge.key",
                f"--socket={folder}/munge.socket",
                f"--pid-file={folder}/pids/munged",
                f"--log-file={folder}/logs/munged.log",
                f"--seed-file={folder}/munge.seed",
            ],
            ["slurmctld", "-c", "-f", configuration],
            *(["slurmd", "-N", node, "-f", configuration] for node in NODES),
        ]

    def _write_files(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        # One device a GPU: SLURM counts files, and /dev/null is there on every machine.
        (self.folder / "gres.conf").write_text(
            "".join(
                f"NodeName={node} Name=gpu File={file}\n"
                for node in GPU_NODES
                for file in ("/dev/null", "/dev/zero")
            )
        )
        self.configuration.write_text(_configuration(self.folder))
        # The job step of Snakemake's plugin drops SLURM_CONF before it calls srun.
        wrapper = self.folder / "bin" / "srun"
        wrapper.write_text(
            f'#!/bin/sh\nSLURM_CONF="{self.configuration}" '
            f'exec {shutil.which("srun", path=SEARCH)} "$@"\n'
        )
        wrapper.chmod(0o755)

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + 30
        states = ""
        while time.monotonic() < deadline:
            states = self.run("sinfo", "--noheader", "--Node", "--format=%N %t", check=False)
            if {f"{node} idle" for node in NODES} <= set(states.splitlines()):
                return
            time.sleep(0.1)
        raise RuntimeError(f"the nodes are not idle after 30 s: {states!r}")


def _configuration(folder: Path) -> str:
    user = subprocess.check_output(["id", "-un"], text=True).strip()
    controller, *ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=8 "
        f"RealMemory=64000{' Gres=gpu:2' if node in GPU_NODES else ''}"
        for node, port in zip(NODES, ports, strict=True)
    )
    return (
        textwrap.dedent(
            f"""\
            ClusterName=test
            SlurmctldHost=localhost(127.0.0.1)
            SlurmctldPort={controller}
            SlurmUser={user}
            SlurmdUser={user}
            AuthType=auth/munge
            AuthInfo=socket={folder}/munge.socket,cred_expire=5
            CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
            SlurmctldPidFile={folder}/pids/slurmctld
            SlurmctldLogFile={folder}/logs/slurmctld.log
            SlurmdPidFile={folder}/pids/slurmd-%n
            SlurmdLogFile={folder}/logs/slurmd-%n.log
            SlurmdSpoolDir={folder}/spool/%n
            SlurmdParameters=config_overrides
            StateSaveLocation={folder}/state
            ProctrackType=proctrack/linuxproc
            TaskPlugin=task/none
            MpiDefault=none
            SwitchType=switch/none
            ReturnToService=2
            SelectType=select/cons_tres
            SelectTypeParameters=CR_Core_Memory
            SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,sched_min_interval=0
            PreemptType=preempt/partition_prio
            PreemptMode=REQUEUE
            OverTimeLimit=0
            KillWait=5
            MinJobAge=3600
            GresTypes=gpu
            AccountingStorageType=accounting_storage/none
            JobAcctGatherType=jobacct_gather/linux
            JobAcctGatherFrequency=task=1
            JobAcctGatherParams=OverMemoryKill
            JobCompType=jobcomp/none
            PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE
            PartitionName=gpu Nodes=n3,n4 MaxTime=INFINITE
            PartitionName=preempt Nodes=ALL MaxTime=INFINITE PreemptMode=REQUEUE GraceTime=5
            PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
            """
        )
        + nodes
        + "\n"
    )


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, below those that the kernel gives out by itself."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20000, 32000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise RuntimeError("There are no free ports between 20000 and 32000.")


def stop_daemons(folder: Path) -> None:
    """Cancel the jobs of the cluster in a folder and stop its daemons by their pid files."""
    cluster = Cluster(folder)
    controller = _process_of(folder / "pids" / "slurmctld", folder)
    if controller is not None:
        # A job's own processes outlive the daemons: they go first.
        subprocess.run(
            ["scancel", "--signal=KILL", "--full", "--user", str(os.getuid())],
            env=cluster.environment,
            capture_output=True,
            timeout=20,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if not cluster.run("squeue", "--noheader", "--states=R,CG", check=False):
                break
            time.sleep(0.1)
    # The controller first, lest it finds its nodes lost; munged last, whom all others ask.
    for name in ["slurmctld", *(f"slurmd-{node}" for node in NODES), "munged"]:
        _stop(folder / "pids" / name, folder)
    _kill_left_jobs(cluster)


def _kill_left_jobs(cluster: Cluster) -> None:
    """Kill what SLURM lost of its jobs: it knows them by their parents, which a signal may end."""
    ours = f"SLURM_CONF={cluster.configuration}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if ours in variables and any(v.startswith(b"SLURM_JOB_ID=") for v in variables):
                os.kill(int(process.name), signal.SIGKILL)


def _stop(file: Path, folder: Path) -> None:
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + patience
        process = _process_of(file, folder)
        if process is None:
            break
        os.kill(process, number)
        while time.monotonic() < deadline and _process_of(file, folder) is not None:
            time.sleep(0.05)
    file.unlink(missing_ok=True)


def _process_of(file: Path, folder: Path) -> int | None:
    """The process in a pid file, if it runs and is really this cluster's."""
    try:
        number = int(file.read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if str(folder).encode() in command else None


def _guard(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    stop_daemons(folder)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
