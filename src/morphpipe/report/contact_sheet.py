"""A contact sheet: some fields of every condition, for a first look at any field table."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morphpipe.datasets.archive import FieldReader
from morphpipe.datasets.fields import FieldTable

# Display only: red, green, blue of the composite where these channels are there.
_COMPOSITE = ("actin", "ER", "DNA")


def contact_sheet(fields: FieldTable, columns: int) -> Figure:
    """Draw the first fields of every cell type and perturbation, a row for each.

    Parameters
    ----------
    fields
        Real or generated fields.
    columns
        Fields per row.

    Returns
    -------
    matplotlib.figure.Figure
        Actin red, ER green and DNA blue where they are there, else the first three channels; each
        channel scaled to its 99.5th percentile over the fields that are shown.
    """
    keys = fields.keys()
    groups = {
        condition: rows[:columns]
        for condition, rows in keys.groupby(["cell_type", "perturbation"]).indices.items()
    }
    names = fields.manifest.names
    chosen = _COMPOSITE if set(_COMPOSITE) <= set(names) else names[:3]
    planes = [names.index(name) for name in chosen]
    with FieldReader(fields) as reader:
        images = {
            int(row): reader.read(int(row))[planes] for rows in groups.values() for row in rows
        }
    white = np.percentile(np.stack(list(images.values())), 99.5, axis=(0, 2, 3))
    figure = Figure(figsize=(columns * 1.3, len(groups) * 1.5), layout="constrained")
    grid = figure.subplots(len(groups), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, ((cell_type, perturbation), rows) in zip(grid, groups.items(), strict=True):
        line[0].set_title(f"{cell_type}, {perturbation}", loc="left", fontsize=8)
        for axes, row in zip(line, rows, strict=False):
            axes.imshow(_colour(images[int(row)], white))
    return figure


def _colour(planes: NDArray[np.generic], white: NDArray[np.float64]) -> NDArray[np.float64]:
    """Up to three planes [c, H, W] as RGB [H, W, 3] in [0, 1]."""
    scaled = np.clip(planes / np.maximum(white, 1)[:, None, None], 0, 1)
    colour = np.zeros((*planes.shape[1:], 3))
    colour[..., : len(planes)] = np.moveaxis(scaled, 0, -1)
    return colour
