"""Outlines of CellProfiler's segmentation over real and generated fields."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import skimage  # its parts load when used
from numpy.typing import NDArray
from PIL import Image

from morphpipe.core.errors import DataError
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures.composite import composite
from morphpipe.report.figures.pictures import (
    Tile,
    display_windows,
    shown_as_trained,
    to_colour,
    uses_recursion_table,
)
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.zip_directory import ZIP_ERRORS

MOST_FIELDS = 4
# Small fields are enlarged to about this side, so that an outline does not cover a nucleus.
_SIDE = 384
# Nuclei in yellow over cells in white: both stand out from red, green and blue.
_COLOURS = {"Cells": (255, 255, 255), "Nuclei": (255, 221, 51)}


def read_labels(path: Path) -> dict[str, dict[str, NDArray[np.int32]]]:
    """Label images of the fields that a measurement kept, by field and compartment.

    Parameters
    ----------
    path
        `labels.npz` of `morphpipe.morphology.measure`.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    found: dict[str, dict[str, NDArray[np.int32]]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                field_id, _, compartment = key.rpartition("/")
                found.setdefault(field_id, {})[compartment] = file[key]
    except (KeyError, *ZIP_ERRORS) as error:
        raise DataError(f"{path} contains no label images ({error}): rerun the workflow.") from None
    return found


def outlined(
    colour: NDArray[np.uint8], labels: Mapping[str, NDArray[np.int32]]
) -> NDArray[np.uint8]:
    """Draw the outlines of nuclei and cells into a colour picture.

    Parameters
    ----------
    colour
        uint8 [H, W, 3].
    labels
        int32 [H, W] by compartment, 0 where there is no object.

    Returns
    -------
    numpy.ndarray
        uint8 [k H, k W, 3], enlarged by a whole number.
    """
    scale = max(1, round(_SIDE / max(colour.shape[:2])))
    size = (colour.shape[1] * scale, colour.shape[0] * scale)
    drawn = np.array(Image.fromarray(colour).resize(size, Image.Resampling.BICUBIC))
    for compartment, ink in _COLOURS.items():
        if compartment in labels:
            large = np.kron(labels[compartment], np.ones((scale, scale), np.int32))
            drawn[skimage.segmentation.find_boundaries(large, mode="inner")] = ink
    return drawn


def _tiles(
    tables: Sequence[FieldTable],
    labels: Mapping[str, Mapping[str, NDArray[np.int32]]],
    evidence: Evidence,
) -> list[Tile]:
    windows = display_windows(evidence)
    # Recursion's colours turn crowded fields white, in which no outline could be judged.
    scaled = uses_recursion_table(evidence) and not shown_as_trained(evidence)
    tiles: list[Tile] = []
    for table in tables:
        ids = [i for i in table.field_ids if i in labels]
        chosen = table.select(ids)
        with FieldReader(chosen) as reader:
            for row, field_id in enumerate(chosen.field_ids):
                if len(tiles) == MOST_FIELDS:
                    return tiles
                image = reader.read(row)
                colour = (
                    composite(image, chosen.manifest, windows)
                    if scaled
                    else to_colour(image, chosen.manifest, windows, evidence)
                )
                tiles.append(Tile(field_id, outlined(colour, labels[field_id])))
    return tiles


def outline_tiles(
    evidence: Evidence, real: Sequence[Path], generated: Sequence[Path]
) -> tuple[list[Tile], list[Tile]]:
    """Real and generated fields with their outlines, the first few of those that were kept.

    Parameters
    ----------
    evidence
        Of the experiment.
    real, generated
        Files of label images.
    """

    def joined(paths: Sequence[Path]) -> dict[str, dict[str, NDArray[np.int32]]]:
        return {field_id: kept for path in paths for field_id, kept in read_labels(path).items()}

    return (
        _tiles([evidence.real], joined(real), evidence),
        _tiles(evidence.generated, joined(generated), evidence),
    )
