"""Selection of rows from summarised metric tables, and of the primary encoder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.config import Configuration
from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.summary import IDENTITY

FLOOR, COPY, SHUFFLED = "real-real", "copy-real", "shuffled-real"
GENERATED, GENERATED_AT_FLOOR = "generated-real", "generated-real@floor-n"
FRECHET, KERNEL = ("FID", "frechet_distance"), ("KID", "kernel_distance")
DISTANCE_NAMES = {
    "FID": "FID",
    "KID": "KID",
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "kernel distance",
}


def named_cell_type(summary: pd.DataFrame, cell_types: Sequence[str]) -> pd.DataFrame:
    """Remove duplicate rows if there is only one cell type.

    Its rows equal those over all cell types, which are renamed to the cell type. Rows of measures
    that are not pooled over cell types are kept.
    """
    if len(cell_types) != 1:
        return summary
    others = pd.MultiIndex.from_frame(summary[[c for c in IDENTITY if c != "cell_type"]])
    twice = others.isin(others[summary["cell_type"] == "all"])
    kept = summary[~(twice & (summary["cell_type"] == cell_types[0]))]
    return kept.assign(cell_type=kept["cell_type"].replace("all", cell_types[0]))


def select(frame: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Return rows with these column values; a tuple or list matches any of its members."""
    mask = np.ones(len(frame), dtype=bool)
    for name, value in columns.items():
        if isinstance(value, tuple | list):
            mask &= frame[name].isin(list(value)).to_numpy(dtype=bool)
        else:
            mask &= (frame[name] == value).to_numpy(dtype=bool)
    return frame[mask]


def single(frame: pd.DataFrame, **columns: Any) -> pd.Series | None:
    """Return the first row with these column values, or None."""
    rows = select(frame, **columns)
    return None if rows.empty else rows.iloc[0]


def first_by(frame: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the first row for each combination of these columns."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        found.setdefault(tuple(row[column] for column in columns), row)
    return found


def served_alignment(configuration: Configuration, experiment: str, extractor: str) -> bool:
    """Whether the encoder of a metric was also used for alignment in training.

    Encoders with the same weights or training are the same encoder, whatever their names.
    """
    alignment = configuration.experiments[experiment].generator.alignment
    if alignment is None:
        return False
    aligned = configuration.encoders[alignment.encoder]
    if extractor in configuration.encoders:
        apart = {"batch_size"}
        return configuration.encoders[extractor].model_dump(exclude=apart) == aligned.model_dump(
            exclude=apart
        )
    return extractor == aligned.kind


def primary_encoder(
    configuration: Configuration, experiment: str, metrics: pd.DataFrame
) -> tuple[str, str] | None:
    """Return encoder and view for headline and claims, by a predefined rule.

    The first configured encoder that was not used for alignment (or the first, if all were); its
    view `all`, else `rgb`, else the first.

    Returns
    -------
    tuple of str or None
        None without metrics of a configured encoder.
    """
    found = set(metrics["extractor"])
    names = [n for n in configuration.experiments[experiment].evaluation.encoders if n in found]
    names.sort(key=lambda name: served_alignment(configuration, experiment, name))
    if not names:
        names = sorted(found - {""})
    if not names:
        return None
    views = list(dict.fromkeys(metrics.loc[metrics["extractor"] == names[0], "view"]))
    view = next((view for view in ("all", "rgb") if view in views), views[0])
    return names[0], view


def distance_points(
    summary: pd.DataFrame, *, metric: str, extractor: str, relative: bool
) -> pd.DataFrame:
    """Distances overall and per cell type, for `morphpipe.report.figures.plots.figure_distances`.

    Parameters
    ----------
    summary
        From `over_seeds`.
    metric, extractor
        Which distance.
    relative
        As multiples of the real-vs-real floor. The interval of generated images is then that of
        the ratio; the others are divided by the floor's value.

    Returns
    -------
    pandas.DataFrame
        Columns view, cell_type, comparison, value, low, high; only what could be computed.
    """
    chosen = select(
        summary, metric=metric, extractor=extractor, perturbation="all",
        comparison=(FLOOR, GENERATED_AT_FLOOR, COPY, SHUFFLED),
    )  # fmt: skip
    floors = select(chosen, comparison=FLOOR).set_index(["view", "cell_type"])["value"]
    ratios = select(
        summary, metric=f"relative_{metric}", extractor=extractor, perturbation="all"
    )  # fmt: skip
    limits = {
        (row.view, row.cell_type): (row.ci_low, row.ci_high)
        for row in ratios.drop_duplicates(["view", "cell_type"]).itertuples()
    }
    rows = []
    for row in chosen[chosen["value"].notna()].itertuples():
        low, high, divisor = row.ci_low, row.ci_high, 1.0
        if relative:
            divisor = floors.get((row.view, row.cell_type), np.nan)
            if not divisor > 0:
                continue
            low, high = low / divisor, high / divisor
            if row.comparison == GENERATED_AT_FLOOR:
                low, high = limits.get((row.view, row.cell_type), (low, high))
        rows.append((row.view, row.cell_type, row.comparison, row.value / divisor, low, high))
    names = ["view", "cell_type", "comparison", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def principal_components(
    keys: pd.DataFrame, features: np.ndarray
) -> tuple[pd.DataFrame, tuple[float, float]]:
    """First two principal components, fitted to the real images alone.

    Parameters
    ----------
    keys
        Columns cell_type, perturbation and origin, [n].
    features
        float [n, d].

    Returns
    -------
    tuple
        `keys` with the columns `first` and `second`, and the share of the real images' variance
        that each of the two explains.

    Raises
    ------
    DataError
        With fewer than three real images.
    """
    real = (keys["origin"] == "real").to_numpy()
    if real.sum() < 3:
        raise DataError(f"{real.sum()} real images are too few for principal components")
    centred = features.astype(np.float64) - features[real].mean(axis=0, dtype=np.float64)
    _, singular, directions = np.linalg.svd(centred[real], full_matrices=False)
    # A direction's sign is arbitrary; its largest entry is made positive.
    axes = directions[:2] * np.sign(
        directions[np.arange(2), np.abs(directions[:2]).argmax(axis=1)]
    ).reshape(2, 1)
    total = float((singular**2).sum())
    if total == 0:
        raise DataError("the features of all real images are the same")
    first, second = (centred @ axes.T).T
    shares = singular[:2] ** 2 / total
    return keys.assign(first=first, second=second), (float(shares[0]), float(shares[1]))
