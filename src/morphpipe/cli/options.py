"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.console import log_to

Fields = Annotated[Path, typer.Option(help="Field table (.parquet) or image archive (.zip).")]
Split = Annotated[Path, typer.Option(help="Split table (.parquet).")]
Threads = Annotated[int | None, typer.Option(help="Threads on the CPU; default: all cores.")]
Log = Annotated[Path | None, typer.Option(help="Write all messages to this file as well.")]


def prepare(threads: int | None, log: Path | None) -> None:
    """Set the log and the number of threads, before anything heavy is imported."""
    if log is not None:
        log_to(log, echo=True)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
