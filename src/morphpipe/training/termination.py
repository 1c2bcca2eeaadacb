"""Handling of SIGTERM (time limit, preemption, user)."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator

from morphpipe.training.launch import PATIENCE

_COMPARE_EVERY = 10


class Termination:
    """Records SIGTERM, so that the loop can save before it exits."""

    def __init__(self) -> None:
        self.asked = False
        self._before = signal.signal(signal.SIGTERM, self._notice)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def asked_of_any(self, accelerator: Accelerator, step: int) -> bool:
        """Whether any process was asked to end: all must save at the same step.

        Several processes synchronise every ten steps only, since it waits for the device.
        """
        if accelerator.num_processes == 1:
            return self.asked
        if step % _COMPARE_EVERY:
            return False
        asked = torch.tensor([float(self.asked)], device=accelerator.device)
        return bool(accelerator.reduce(asked, "sum").item())

    def restore(self) -> None:
        """Restore the previous SIGTERM handler."""
        signal.signal(signal.SIGTERM, self._before)


def end() -> None:
    """Exit after a SIGTERM, once everything is saved.

    Under SLURM a preempted job that exits by itself counts as failed, while one that waits to be
    killed is requeued and resumes. All processes wait, or torchrun would end the others.
    """
    if "SLURM_JOB_ID" in os.environ:
        time.sleep(PATIENCE)
    raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def ending_when_asked() -> Iterator[None]:
    """Exit immediately on SIGTERM, see `end`: for work that may stop anywhere."""
    before = signal.signal(signal.SIGTERM, lambda *_: end())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
