"""Control images that generated ones start from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from morphpipe.core.errors import DataError
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.transport.noise import SampleNoise

# A step of its own for the draw, behind all steps of a sampler.
_DRAW = 1 << 32


class StartImages:
    """Images of negative controls, one for each generated image.

    Which one is a function of (experiment, training seed, sampling seed, image), as the noise is.

    Parameters
    ----------
    moments
        Indices of the cached latents that the generator was trained on.
    fields
        The training fields, never those that it is evaluated on.
    generator
        The generator.
    sampling_seed
        Sampling seed.

    Raises
    ------
    DataError
        If no training field is a negative control.
    """

    def __init__(
        self,
        moments: Sequence[str | Path],
        fields: pd.DataFrame,
        generator: TrainedGenerator,
        sampling_seed: int,
    ) -> None:
        settings = generator.settings
        controls = fields[fields["control"] == "negative"].sort_values("field_id")
        if controls.empty:
            raise DataError(
                f"No training field is a negative control, which {settings.experiment} starts from."
            )
        self.controls = controls.assign(batch=controls[settings.generator.batch_by])
        self._shards = ArrayShards(moments)
        index = self._shards.index
        self._positions = index[index["transform"] == 0].set_index("field_id")["position"]
        self._draws = SampleNoise(settings.experiment, settings.seed, sampling_seed)

    def choose(self, plan: pd.DataFrame) -> list[str]:
        """Field ids of the controls for the rows of a plan: of the same cell type and batch.

        Raises
        ------
        DataError
            If a cell type has no control.
        """
        draws = self._draws.draw(plan["image"].tolist(), _DRAW, (1,))
        uniform = torch.special.ndtr(draws.double())[:, 0].numpy()
        chosen = []
        for row, share in zip(plan.itertuples(), uniform, strict=True):
            fitting = self.controls[self.controls["cell_type"] == row.cell_type]
            of_batch = fitting[fitting["batch"] == row.batch]
            # A batch without any, or none: from all of the cell type.
            pool = (of_batch if len(of_batch) else fitting)["field_id"].to_numpy()
            if not len(pool):
                raise DataError(
                    f"No training field of the cell type {row.cell_type!r} is a negative control."
                )
            chosen.append(str(pool[min(int(share * len(pool)), len(pool) - 1)]))
        return chosen

    def latents(self, field_ids: Sequence[str]) -> torch.Tensor:
        """Mean latents of controls, float32 [n, C', h, w]."""
        positions = self._positions.loc[list(field_ids)].to_numpy(np.int64)
        return torch.from_numpy(self._shards.read(positions)[:, 0].astype(np.float32))
