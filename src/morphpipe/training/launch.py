"""Launch a training as several processes: torchrun on each node, srun across nodes.

A single command replaces this process, so that it receives the scheduler's signals.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from morphpipe.core.errors import ConfigError

# Seconds for processes to save after a SIGTERM: torchrun would kill them after 30. If one fails, it
# still ends the others after 30 s.
PATIENCE = 3600


def is_started() -> bool:
    """Whether this process was started by torchrun."""
    return "LOCAL_RANK" in os.environ


def rank() -> int:
    """Rank of this process in the training, from 0."""
    return int(os.environ.get("RANK", "0"))


def first_host(environment: Mapping[str, str]) -> str:
    """Rendezvous host of a SLURM job's processes.

    Snakemake's SLURM plugin removes the list of nodes from the environment, but then this process
    runs on the first node.
    """
    nodes = environment.get("SLURM_JOB_NODELIST")
    if nodes is None:
        return socket.gethostname()
    names = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
    )
    return names.stdout.split()[0]


def launch_command(
    arguments: Sequence[str],
    devices: int,
    nodes: int,
    environment: Mapping[str, str],
    threads: int | None = None,
) -> list[str]:
    """Build the command that runs `python -m morphpipe <arguments>` as several processes.

    Parameters
    ----------
    arguments
        Arguments of `morphpipe`.
    devices
        Processes per node.
    nodes
        Nodes of the SLURM job; 1 needs no SLURM.
    environment
        Environment variables of this process.
    threads
        Cores per node.

    Raises
    ------
    ConfigError
        If there are several nodes outside a SLURM job.
    """
    run = [sys.executable, "-m", "morphpipe.training.torchrun", f"--nproc-per-node={devices}"]
    # After "--", or torchrun would parse our options as abbreviations of its own.
    program = ["-m", "--", "morphpipe", *arguments]
    if nodes == 1:
        return [*run, "--standalone", *program]
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        raise ConfigError(
            f"training.nodes is {nodes}, but several nodes need a SLURM job: run the workflow with "
            "profiles/slurm, or set training.nodes to 1."
        )
    # A port per job, since two trainings may share a host, below the ephemeral ports.
    port = 15000 + int(job) % 10000
    tasks = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    if threads is not None:
        tasks.append(f"--cpus-per-task={threads}")
    return [
        *tasks,
        "--kill-on-bad-exit=1",
        *run,
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={first_host(environment)}:{port}",
        f"--rdzv-id={job}",
        *program,
    ]


def launch(arguments: Sequence[str], devices: int, nodes: int, threads: int | None) -> NoReturn:
    """Replace this process by several processes that run `morphpipe <arguments>`.

    Raises
    ------
    ConfigError
        See `launch_command`; or if srun is not found.
    """
    command = launch_command(arguments, devices, nodes, os.environ, threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (threads or devices) // devices)))
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(PATIENCE)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        raise ConfigError(f"{command[0]} is needed for several nodes but was not found.") from None
