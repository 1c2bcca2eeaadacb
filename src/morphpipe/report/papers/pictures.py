"""Which images the papers' figures show, and how their pixels become pictures.

Nothing is picked by hand: of a condition the first held-out fields by name, and the first samples
of the first seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphpipe.datasets.splits.table import select_side
from morphpipe.imaging.rgb import RGB_CHANNELS, RXRX1_CHANNELS, to_rgb
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable

# The brightest 0.5 % of the shown real pixels of a channel are white.
WHITE_PERCENTILE = 99.5
_SHOWN = ("actin", "ER", "DNA")


@dataclass
class ImageSource:
    """Real held-out and generated fields of one experiment.

    Attributes
    ----------
    real
        Table of the held-out real fields.
    generated
        Tables of the archives.
    recursion
        Whether six channels are shown by Recursion's table, made for RxRx1's own grey values.
    """

    real: FieldTable
    generated: list[FieldTable]
    recursion: bool
    _white: dict[str, float] = field(default_factory=dict)

    def real_images(self, cell_type: str, perturbation: str, number: int) -> list[NDArray[Any]]:
        """The first held-out fields of a condition: [C, H, W] each."""
        keys = self.real.keys()
        chosen = keys[(keys["cell_type"] == cell_type) & (keys["perturbation"] == perturbation)]
        # The first site of every well before the second of any.
        rows = chosen.sort_values(["site", "field_id"], na_position="last").index[:number]
        with FieldReader(self.real) as reader:
            return [reader.read(int(row)) for row in rows]

    def generated_images(
        self, cell_type: str, perturbation: str, number: int
    ) -> list[NDArray[Any]]:
        """The first samples of a condition: [C, H, W] each."""
        parts = []
        for archive, table in enumerate(self.generated):
            keys = table.keys()
            mask = (keys["cell_type"] == cell_type) & (keys["perturbation"] == perturbation)
            parts.append(keys[mask].assign(archive=archive).rename_axis("row").reset_index())
        order = ["training_seed", "sampling_seed", "sample_index"]
        chosen = pd.concat(parts, ignore_index=True).sort_values(order).head(number)
        images = []
        for archive, row in chosen[["archive", "row"]].itertuples(index=False):
            with FieldReader(self.generated[int(archive)]) as reader:
                images.append(reader.read(int(row)))
        return images

    def white(self, images: Sequence[NDArray[Any]]) -> dict[str, float]:
        """Set and give the grey value shown as white, channel by channel, from real images."""
        for channel, name in enumerate(self.real.manifest.names):
            planes = [image[channel].ravel() for image in images]
            level = np.percentile(np.concatenate(planes), WHITE_PERCENTILE) if planes else 255.0
            self._white[name] = max(float(level), 1.0)
        return self._white

    def grey(self, plane: NDArray[Any], name: str) -> NDArray[np.uint8]:
        """One channel, 0 to white."""
        scaled = np.clip(plane / self._white.get(name, 255.0), 0, 1)
        return np.round(scaled * 255).astype(np.uint8)

    def colour(self, image: NDArray[Any], *, generated: bool) -> NDArray[np.uint8]:
        """A field in colour, real and generated ones by one rule: uint8 [H, W, 3]."""
        names = (self.generated[0] if generated else self.real).manifest.names
        if names == RGB_CHANNELS or (names == RXRX1_CHANNELS and self._by_table):
            return to_rgb(image, names)
        shown = [name for name in self._shown if name in names]
        planes = [self.grey(image[names.index(name)], name) for name in shown]
        while len(planes) < 3:
            planes.append(planes[-1] if len(shown) == 1 else np.zeros_like(planes[0]))
        return np.stack(planes, axis=-1)

    @property
    def _by_table(self) -> bool:
        """Whether six channels are shown as the generator's RGB images were made of them."""
        return self.recursion or self.generated[0].manifest.names == RGB_CHANNELS

    @property
    def _shown(self) -> tuple[str, ...]:
        """Channels shown as red, green and blue."""
        manifest = self.real.manifest
        if manifest.rgb is not None:
            return manifest.rgb
        return _SHOWN if set(_SHOWN) <= set(manifest.names) else manifest.names[:3]

    @property
    def colours(self) -> str:
        """How the pictures got their colours, as a sentence."""
        if self.real.manifest.names == RXRX1_CHANNELS and self._by_table:
            return "Colours follow Recursion's table for RxRx1's six stains."
        return (
            f"Red, green and blue are {', '.join(self._shown)}; white is the {WHITE_PERCENTILE} "
            "percentile of held-out real fields of the same conditions, for generated ones as well."
        )


def read_images(
    fields: str | Path, split: str | Path, samples: Sequence[str | Path], *, recursion: bool
) -> ImageSource:
    """Open the images of an experiment.

    Parameters
    ----------
    fields, split
        Field table of the real fields, and the split table; its side `test` is shown.
    samples
        Archives of generated images.
    recursion
        See `ImageSource`.
    """
    held_out = select_side(read_fields(fields), split, "test")
    return ImageSource(held_out, [read_fields(path) for path in samples], recursion)
