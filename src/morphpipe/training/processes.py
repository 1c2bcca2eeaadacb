"""Processes of a distributed training: start-up and shared staging."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import distributed
from tqdm import tqdm

from morphpipe.core.errors import ConfigError
from morphpipe.tables.staging import stage_shards

# Checking and copying shards may take long. Processes wait on the CPU, since NCCL times out after
# ten minutes, which should stay the limit for detecting lost processes.
_PATIENCE = timedelta(hours=6)


def join_processes() -> PartialState:
    """Join the other processes of this training, if any.

    Raises
    ------
    ConfigError
        If there are more processes than GPUs on this node.
    """
    several = "LOCAL_RANK" in os.environ
    gpus = torch.cuda.device_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if several and 0 < gpus < here:
        raise ConfigError(
            f"training.devices is {here}, but this job sees {gpus} GPU{'s' if gpus > 1 else ''} on "
            "a node: lower it, or request as many."
        )
    # By default, accelerate lets processes without GPUs train independently.
    return PartialState(cpu=several and not gpus)


@dataclass(frozen=True)
class Shards:
    """Shards as seen by one process.

    Attributes
    ----------
    indices
        Indices of array shards, by kind.
    verify
        Whether this process verifies their checksums.
    """

    indices: list[list[Path]]
    verify: bool


@contextmanager
def shared_shards(
    indices: Sequence[Sequence[str | Path]], staging: str | None = None
) -> Iterator[Shards]:
    """Verify shards once for all processes, and optionally copy them to each node's disk.

    Shards must be opened within the block. Copies are unlinked at its end: they last as long as a
    process has them open, and leave nothing behind.

    Parameters
    ----------
    indices
        Indices of array shards, by kind.
    staging
        See `morphpipe.tables.staging.stage_shards`. If staging fails, a message is printed and
        shards are read in place.

    Raises
    ------
    DataError
        If a shard is missing or damaged.
    """
    state = PartialState()
    group = None
    if state.num_processes > 1:
        group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    copied: tuple[Path, list[list[Path]]] | None = None
    if staging is not None and state.is_local_main_process:
        staged = stage_shards(indices, staging)
        if isinstance(staged, str):
            tqdm.write(f"{staged}: reading the shards in place.")
        else:
            copied = staged
    folder = None if copied is None else copied[0]
    if group is not None:
        everywhere: list[Any] = [None] * state.num_processes
        distributed.all_gather_object(everywhere, copied, group=group)
        copied = everywhere[state.process_index - state.local_process_index]
    try:
        if copied is not None:
            yield Shards(copied[1], verify=False)
        else:
            yield Shards(
                [[Path(index) for index in kind] for kind in indices],
                verify=state.is_main_process,
            )
        if group is not None:
            distributed.barrier(group)
            distributed.destroy_process_group(group)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
