"""What happens at a SIGTERM: the time limit, a preemption, or somebody who asks politely."""

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
    """Notices SIGTERM, so that the loop can save before it ends."""

    def __init__(self) -> None:
        self.asked = False
        self._before = signal.signal(signal.SIGTERM, self._notice)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def asked_of_any(self, accelerator: Accelerator, step: int) -> bool:
        """Whether some process was asked to end: all of them have to save at the same step.

        Several processes compare every ten steps only, since comparing waits for the device.
        """
        if accelerator.num_processes == 1:
            return self.asked
        if step % _COMPARE_EVERY:
            return False
        asked = torch.tensor([float(self.asked)], device=accelerator.device)
        return bool(accelerator.reduce(asked, "sum").item())

    def restore(self) -> None:
        """Let SIGTERM do what it did before."""
        signal.signal(signal.SIGTERM, self._before)


def end() -> None:
    """Leave after a SIGTERM, once everything is saved.

    Under SLURM a preempted job that ends by itself counts as failed, one that waits to be killed
    is requeued and resumes. Each of several processes waits, or torchrun would end the others.
    """
    if "SLURM_JOB_ID" in os.environ:
        time.sleep(PATIENCE)
    raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def ending_when_asked() -> Iterator[None]:
    """Leave at once at a SIGTERM, see `end`: for what can be stopped anywhere."""
    before = signal.signal(signal.SIGTERM, lambda *_: end())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
