"""Reconstruction error of an autoencoder, by channel and as RGB (MorphGen, table 5).

No generator can show what its autoencoder cannot.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.autoencoders.latents import autoencoder_input
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.config.base import ImageMode
from morphpipe.core.devices import best_device
from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.assign import well_index
from morphpipe.datasets.splits.table import select_side
from morphpipe.evaluation.core.statistics import LEVEL, InfluenceValues, influence_interval
from morphpipe.evaluation.core.subsample import thinned
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]
COMPARISON = "reconstruction"


def mean_squared_errors(left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> npt.NDArray:
    """Compute the mean squared error of each image, with intensities scaled to [0, 1].

    Parameters
    ----------
    left, right
        uint8 [n, ...].

    Returns
    -------
    numpy.ndarray
        float64 [n].
    """
    difference = left.astype(np.float64) - right
    errors = (difference**2).reshape(len(left), -1).mean(axis=1) / 255**2
    return np.asarray(errors)


def _and_back(autoencoder: Autoencoder, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    moments = autoencoder.moments(torch.from_numpy(np.ascontiguousarray(images)))
    return autoencoder.decode(moments[:, 0], images.shape[1]).numpy()


def reconstruction_rows(
    fields: FieldTable,
    autoencoders: Sequence[Autoencoder],
    *,
    autoencoder: str,
    context: Mapping[str, Any],
    fields_at_most: int,
    batch_size: int,
    seed: int,
) -> Rows:
    """Measure the error of encoding and decoding images with an autoencoder.

    Parameters
    ----------
    fields
        Real held-out fields.
    autoencoders
        The autoencoder in the modes to measure: ``channels``, ``rgb``, or both.
    autoencoder
        Its name, for the column extractor.
    fields_at_most
        Maximum number of fields, drawn at random.
    batch_size
        Fields per batch.

    Returns
    -------
    list of dict
        Rows ``mse``, of 8-bit images scaled to [0, 1], by view: ``channels`` (mean over all planes,
        encoded one by one), each channel by name, ``channels-to-rgb`` (RGB rendering of the decoded
        planes against that of the originals) and ``rgb`` (the rendering, encoded and decoded). Over
        all fields, and by cell type. Null with a reason if there is no RGB rendering.

    Raises
    ------
    DataError
        If there are no fields, or they cannot be encoded.
    """
    ids = fields.field_ids
    if not ids:
        raise DataError("a reconstruction needs at least one held-out field")
    chosen = thinned(ids, np.zeros(len(ids)), fields_at_most, seed)
    fields = fields.take(np.flatnonzero(chosen))
    errors, reasons = _errors(fields, autoencoders, batch_size)
    keys = fields.keys()
    wells = well_index(keys)
    cell_types = keys["cell_type"].to_numpy()
    columns = {**context, "extractor": autoencoder, "metric": "mse", "comparison": COMPARISON}
    rows: Rows = [
        metric_row(**columns, view=view, cell_type="all", settings={"reason": reason})
        for view, reason in reasons.items()
    ]
    for view, values in errors.items():
        for cell_type in ["all", *sorted(set(cell_types))]:
            mask = np.ones(len(values), bool) if cell_type == "all" else cell_types == cell_type
            value = float(values[mask].mean())
            interval: dict[str, float] = {}
            notes: dict[str, Any] = {
                "intensities": "8 bit, scaled to [0, 1]",
                "latents": "means",
                "seed": seed,
            }
            if len(np.unique(wells[mask])) > 1:
                contributions = (values[mask] - value) / mask.sum()
                low, high = influence_interval(
                    value,
                    [InfluenceValues(contributions, wells[mask], cell_types[mask])],
                )
                interval = {"ci_low": max(low, 0.0), "ci_high": high}
                notes |= {
                    "interval": "linearised, wells within cell types as units",
                    "level": LEVEL,
                }
            rows.append(
                metric_row(
                    **columns,
                    **interval,
                    view=view,
                    cell_type=cell_type,
                    perturbation="all",
                    n_left=int(mask.sum()),
                    value=value,
                    settings=notes,
                )
            )
    return rows


def measure_reconstruction(
    fields: str | Path,
    split: str | Path,
    folder: str | Path,
    *,
    experiment: str,
    dataset: str,
    generator: str,
    autoencoder: str,
    image_mode: ImageMode,
    scaling_factor: float | None,
    fields_at_most: int,
    batch_size: int,
    seed: int,
) -> Rows:
    """Measure the reconstruction of an experiment's held-out fields by its autoencoder.

    Parameters
    ----------
    fields, split
        Field table and split table.
    folder
        Folder of the autoencoder.
    experiment, dataset, generator, autoencoder
        Names for the table.
    image_mode
        Image mode of the experiment. For channels all three variants of MorphGen's table 5 are
        measured.
    scaling_factor
        See `morphpipe.autoencoders.load.load_autoencoder`.
    fields_at_most, batch_size, seed
        See `reconstruction_rows`.
    """
    modes: tuple[ImageMode, ...] = ("channels", "rgb") if image_mode == "channels" else ("rgb",)
    autoencoders = [
        load_autoencoder(folder, mode, scaling_factor=scaling_factor, device=best_device())
        for mode in modes
    ]
    return reconstruction_rows(
        select_side(read_fields(fields), split, "test"),
        autoencoders,
        autoencoder=autoencoder,
        context={"experiment": experiment, "dataset": dataset, "generator": generator},
        fields_at_most=fields_at_most,
        batch_size=batch_size,
        seed=seed,
    )


def _errors(
    fields: FieldTable, autoencoders: Sequence[Autoencoder], batch_size: int
) -> tuple[dict[str, npt.NDArray], dict[str, str]]:
    found: dict[str, list[npt.NDArray]] = {}
    reasons: dict[str, str] = {}

    def add(view: str, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> None:
        found.setdefault(view, []).append(mean_squared_errors(left, right))

    with FieldReader(fields) as reader:
        for _, images in tqdm(
            reader.batches(batch_size),
            total=-(-len(fields) // batch_size),
            desc="reconstruction",
            unit="batch",
            mininterval=5,
        ):
            try:
                rendered = autoencoder_input(images, fields.manifest, "rgb")
            except DataError as error:
                rendered, reasons = None, {"rgb": str(error), "channels-to-rgb": str(error)}
            for autoencoder in autoencoders:
                if autoencoder.mode == "rgb":
                    if rendered is not None:
                        add("rgb", _and_back(autoencoder, rendered), rendered)
                    continue
                planes = _and_back(autoencoder, images)
                add("channels", planes, images)
                for place, name in enumerate(fields.manifest.names):
                    add(name, planes[:, place], images[:, place])
                if rendered is not None:
                    again = autoencoder_input(planes, fields.manifest, "rgb")
                    add("channels-to-rgb", again, rendered)
    measured = {autoencoder.mode for autoencoder in autoencoders}
    if "rgb" not in measured:
        reasons.pop("rgb", None)
    if "channels" not in measured:
        reasons.pop("channels-to-rgb", None)
    return {view: np.concatenate(parts) for view, parts in found.items()}, reasons
