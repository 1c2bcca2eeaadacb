"""Generated and held-out images that are closest to a training image."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pandas as pd

from morphpipe.report.evidence import Evidence
from morphpipe.report.figures.pictures import Tile, to_colour
from morphpipe.report.figures.thumbnails import shrunk
from morphpipe.tables.field_reader import FieldReader

MOST_PAIRS = 6


@dataclass(frozen=True)
class ClosePair:
    """An image and the training image nearest to it.

    Attributes
    ----------
    image, training
        The two images.
    condition, training_condition
        Their conditions.
    nearness
        Distance relative to that of the next training images.
    near
        Whether the image counts as memorised; None if unknown.
    """

    image: Tile
    training: Tile
    condition: str
    training_condition: str
    nearness: float
    near: bool | None


def _chosen(pairs: pd.DataFrame, comparison: str, extractor: str, view: str) -> pd.DataFrame:
    """Return the closest pairs of a comparison for one encoder and view, each image once."""
    of = pairs[pairs["comparison"] == comparison]
    wanted = of[(of["extractor"] == extractor) & (of["view"] == view)]
    of = wanted if len(wanted) else of
    if len(of):
        first = of.iloc[0]
        of = of[(of["extractor"] == first["extractor"]) & (of["view"] == first["view"])]
    return of.sort_values("nearness", kind="stable").drop_duplicates("field_id")


def close_pairs(
    evidence: Evidence, windows: dict[str, float], extractor: str, view: str
) -> dict[str, list[ClosePair]]:
    """Return the closest pairs as images: `generated`, and for comparison `real`.

    Parameters
    ----------
    evidence
        Evidence with pairs; without pairs both lists are empty.
    windows
        Grey value shown as white, by channel of the real images.
    extractor, view
        Preferred encoder and view.
    """
    pairs = evidence.pairs
    if pairs is None:
        return {"generated": [], "real": []}
    tables = (evidence.real, *evidence.generated)
    places = {f: (table, row) for table in tables for row, f in enumerate(table.field_ids)}
    with ExitStack() as stack:
        readers = {id(table): stack.enter_context(FieldReader(table)) for table in tables}

        def tile(field_id: str) -> Tile:
            table, row = places[field_id]
            image = readers[id(table)].read(row)
            return Tile(field_id, shrunk(to_colour(image, table.manifest, windows, evidence)))

        return {
            side: [
                ClosePair(
                    tile(pair.field_id),
                    tile(pair.training_field_id),
                    f"{pair.cell_type}, {pair.perturbation}",
                    f"{pair.training_cell_type}, {pair.training_perturbation}",
                    float(pair.nearness),
                    None if not np.isfinite(pair.threshold) else pair.distance < pair.threshold,
                )
                for pair in _chosen(pairs, f"{side}-training", extractor, view)
                .head(MOST_PAIRS)
                .itertuples()
                if {pair.field_id, pair.training_field_id} <= places.keys()
            ]
            for side in ("generated", "real")
        }
