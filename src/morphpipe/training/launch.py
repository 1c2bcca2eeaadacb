"""Starting a training as several processes: torchrun on a node, and srun over the nodes of a job.

All of it is one command that takes this process's place, so that the scheduler's signals arrive.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from morphpipe.core.errors import ConfigError

# How long processes may take to save after a SIGTERM, and then wait for the end, seconds: torchrun
# would kill them after 30. Where one has failed, it ends the others after 30 s all the same.
PATIENCE = 3600


def is_started() -> bool:
    """Whether this is one of several processes already, or the only one of torchrun's."""
    return "LOCAL_RANK" in os.environ


def rank() -> int:
    """The number of this process among all of the training's, from 0."""
    return int(os.environ.get("RANK", "0"))


def first_host(environment: Mapping[str, str]) -> str:
    """The host where the processes of a SLURM job meet.

    Snakemake's SLURM plugin takes the list of nodes out of the environment, but then we are
    called on the first of them.
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
    """The command that runs `python -m morphpipe <arguments>` as several processes.

    Parameters
    ----------
    arguments
        Of `morphpipe`.
    devices
        Processes a node.
    nodes
        Of the SLURM job; 1 needs no SLURM.
    environment
        Variables of this process.
    threads
        Cores a node.

    Raises
    ------
    ConfigError
        When there are several nodes, and this is no job of SLURM.
    """
    run = [sys.executable, "-m", "morphpipe.training.torchrun", f"--nproc-per-node={devices}"]
    # Behind "--", or torchrun would take our options for its own abbreviated.
    program = ["-m", "--", "morphpipe", *arguments]
    if nodes == 1:
        return [*run, "--standalone", *program]
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        raise ConfigError(
            f"training.nodes is {nodes}, but several nodes are used inside a job of SLURM only: "
            "run the workflow with profiles/slurm, or set training.nodes to 1."
        )
    # A port of the job's own, since two trainings may meet on one host, and below those that
    # systems give out by themselves.
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
    """Let several processes run `morphpipe <arguments>` in the place of this one.

    Raises
    ------
    ConfigError
        See `launch_command`; or when srun is not there.
    """
    command = launch_command(arguments, devices, nodes, os.environ, threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (threads or devices) // devices)))
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(PATIENCE)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        raise ConfigError(f"{command[0]} is needed for several nodes, and is not there.") from None
