"""The start of a job: its log, its threads, and whether its inputs fit together."""

from collections.abc import Iterable
from pathlib import Path

from morphpipe.core.console import log_to
from morphpipe.tables.lineage import read_from


def start_job(
    log: str | Path,
    inputs: Iterable[str | Path],
    *,
    echo: bool = False,
    threads: int | None = None,
) -> None:
    """Send a job's messages to its log, and compare the lineages of its inputs.

    Parameters
    ----------
    log, echo
        See `morphpipe.core.console.log_to`.
    inputs
        See `morphpipe.tables.lineage.read_from`.
    threads
        Threads of PyTorch; None for a job that does not use it.
    """
    log_to(log, echo=echo)
    read_from(inputs)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
