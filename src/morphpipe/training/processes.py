"""The processes of one training: how they begin, and what one of them does for the others."""

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

# Checking and copying shards may take long. Processes wait for it on the CPU: NCCL gives up after
# ten minutes, and is to notice as soon as that when one of them is lost later on.
_PATIENCE = timedelta(hours=6)


def join_processes() -> PartialState:
    """Meet the other processes of this training, if there are any.

    Raises
    ------
    ConfigError
        When there are more processes on this node than GPUs.
    """
    several = "LOCAL_RANK" in os.environ
    gpus = torch.cuda.device_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if several and 0 < gpus < here:
        raise ConfigError(
            f"training.devices is {here}, but this job sees {gpus} GPU{'s' if gpus > 1 else ''} on "
            "a node: lower it, or ask for as many."
        )
    # Without being told, accelerate lets processes without GPUs train each for itself.
    return PartialState(cpu=several and not gpus)


@dataclass(frozen=True)
class Shards:
    """Where a process reads shards.

    Attributes
    ----------
    indices
        Indices of array shards, kind by kind, as they were asked for.
    verify
        Whether this process compares them with their checksums.
    """

    indices: list[list[Path]]
    verify: bool


@contextmanager
def shared_shards(
    indices: Sequence[Sequence[str | Path]], staging: str | None = None
) -> Iterator[Shards]:
    """Check shards once for all processes, and copy them to each node's disk where asked to.

    Shards are opened within the block. Copies are unlinked at its end: they last as long as a
    process has them open, and nothing is left of them however it ends.

    Parameters
    ----------
    indices
        Indices of array shards, kind by kind.
    staging
        See `morphpipe.tables.staging.stage_shards`. Where that cannot be, shards are read where
        they lie, and a message says so.

    Raises
    ------
    DataError
        When a shard is missing or damaged.
    """
    state = PartialState()
    group = None
    if state.num_processes > 1:
        group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    copied: tuple[Path, list[list[Path]]] | None = None
    if staging is not None and state.is_local_main_process:
        staged = stage_shards(indices, staging)
        if isinstance(staged, str):
            tqdm.write(f"{staged}: reading the shards where they lie.")
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
