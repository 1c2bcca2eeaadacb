"""The training log: a CSV file and TensorBoard."""

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch.utils.tensorboard import SummaryWriter

from morphpipe.core.errors import TrainingError
from morphpipe.core.storage import atomic_path
from morphpipe.generators.base import Losses

COLUMNS = ("step", "loss", "diffusion", "alignment", "gradient_norm", "learning_rate", "seconds")
"""Of every `log.csv`; behind them stand a family's own parts of the loss."""


class TrainingLog:
    """Running averages of losses since the last entry.

    Parameters
    ----------
    work
        Folder for `log.csv` and TensorBoard's files.
    first_step
        Step to resume from; later entries of a killed run are dropped.
    earlier
        A `log.csv` to start from if `work` has none.
    main
        Whether this process writes the files (one of several).
    mean
        Collective that averages a tensor over all processes; None for a single one.
    """

    def __init__(
        self,
        work: str | Path,
        first_step: int,
        earlier: Path | None = None,
        *,
        main: bool = True,
        mean: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self._mean = mean
        self.path = Path(work) / "log.csv"
        source = self.path if self.path.exists() else earlier
        self._frame = pd.DataFrame(columns=list(COLUMNS))
        if source is not None and source.exists():
            frame = pd.read_csv(source)
            self._frame = frame[frame["step"] <= first_step]
        self._board = (
            SummaryWriter(str(Path(work) / "tensorboard"), purge_step=first_step + 1)
            if main
            else None
        )
        self._sums: torch.Tensor | None = None
        self._parts: tuple[str, ...] = ()
        self._count = 0
        self._started = time.monotonic()

    def add(self, losses: Losses, gradient_norm: torch.Tensor) -> None:
        """Add one step, without synchronising the device."""
        none = torch.full_like(losses.total, float("nan"))
        known = (losses.diffusion, losses.alignment)
        self._parts = tuple(losses.parts)
        values = torch.stack(
            [
                losses.total.detach().float(),
                *((none if loss is None else loss).detach().float() for loss in known),
                gradient_norm.detach().float().to(losses.total.device),
                *(part.detach().float() for part in losses.parts.values()),
            ]
        )
        self._sums = values if self._sums is None else self._sums + values
        self._count += 1

    def write(self, step: int, learning_rate: float) -> dict[str, float]:
        """Write the averages up to a step.

        Raises
        ------
        TrainingError
            If the loss or gradient was not finite since the last entry.
        """
        if self._sums is None:
            return {}
        averages = self._sums / self._count
        if self._mean is not None:
            averages = self._mean(averages)
        # Loss, diffusion, alignment, norm of the gradient, and a family's own parts.
        means = averages.tolist()
        loss, norm = means[0], means[3]
        if not (abs(loss) < float("inf") and abs(norm) < float("inf")):
            raise TrainingError(
                f"The loss or its gradient is no longer finite in the {self._count} batches before "
                f"step {step} (loss {loss}, gradient norm {norm}): lower the learning rate, or "
                "train in fp32; the last checkpoint is not affected."
            )
        now = time.monotonic()
        seconds = now - self._started
        entry = dict(zip(COLUMNS, (step, *means[:4], learning_rate, seconds), strict=True))
        entry |= dict(zip(self._parts, means[4:], strict=True))
        self._started, self._sums, self._count = now, None, 0
        self._frame = pd.concat([self._frame, pd.DataFrame([entry])], ignore_index=True)
        if self._board is None:
            return entry
        with atomic_path(self.path) as temporary:
            temporary.write_text(self.text(), "utf-8")
        for name, value in entry.items():
            if name != "step" and value == value:
                self._board.add_scalar(f"training/{name}", value, step)
        return entry

    def text(self) -> str:
        """The whole log as CSV."""
        return self._frame.to_csv(index=False)

    def close(self) -> None:
        """Flush TensorBoard's file."""
        if self._board is not None:
            self._board.close()
