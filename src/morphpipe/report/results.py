"""Metric tables as the report reads them: over seeds, and by the encoder that a claim rests on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.config import Configuration
from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.seed_interval import Seeds, mean_limits, seed_interval
from morphpipe.tables.metric_table import read_metric_table

FLOOR, COPY, SHUFFLED = "real-real", "copy-real", "shuffled-real"
GENERATED, GENERATED_AT_FLOOR = "generated-real", "generated-real@floor-n"
FRECHET, KERNEL = ("FID", "frechet_distance"), ("KID", "kernel_distance")
DISTANCE_NAMES = {
    "FID": "FID",
    "KID": "KID",
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "kernel distance",
}

_IDENTITY = [
    "metric", "extractor", "view", "comparison", "regime", "task", "cell_type", "perturbation",
    "variant",
]  # fmt: skip
# Settings that tell rows apart which agree in every column; "none" is the plain case.
_VARIANTS = ("correction", "other")


def read_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """Join metric tables; `notes` holds the settings as a dictionary, `reason` what they give.

    `variant` names what tells rows apart beside the columns: a correction, another perturbation.

    Raises
    ------
    DataError
        If a file has other columns than a metric table.
    """
    parts = [read_metric_table(path).to_pandas() for path in paths]
    frame = pd.concat(parts, ignore_index=True)
    # Few settings, on very many rows.
    settings = {text: json.loads(text) for text in frame["settings"].unique()}
    frame["notes"] = [settings[text] for text in frame["settings"]]
    frame["reason"] = [notes.get("reason", "") for notes in frame["notes"]]
    frame["variant"] = [
        ", ".join(str(notes[key]) for key in _VARIANTS if notes.get(key) not in (None, "none"))
        for notes in frame["notes"]
    ]
    for column in _IDENTITY:
        frame[column] = frame[column].astype(object).where(frame[column].notna(), "")
    return frame


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for what is the same but for the seeds.

    Returns
    -------
    pandas.DataFrame
        The mean `value` of the seeds that have one, its interval (`ci_low`, `ci_high`, see
        `morphpipe.evaluation.core.seed_interval.mean_limits`), the fewest images (`n_left`,
        `n_right`), how many `seeds` there are and the interval over them (`seeds_low`,
        `seeds_high`), the mean `chance` (or `expected_share`) where the settings name it, and the
        `reason` of values that are missing.
    """
    columns = [*_IDENTITY, "value", "ci_low", "ci_high", "n_left", "n_right"]
    columns += ["seeds", "seeds_low", "seeds_high", "chance", "reason"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    known = frame["value"].notna()
    told = [notes.get("chance", notes.get("expected_share")) for notes in frame["notes"]]
    work = frame[[*_IDENTITY, "value", "n_left", "n_right"]].assign(
        chance=pd.Series(told, index=frame.index, dtype=float).where(known),
        without=~known,
    )
    summary = work.groupby(_IDENTITY, sort=False, as_index=False).agg(
        value=("value", "mean"), n_left=("n_left", "min"), n_right=("n_right", "min"),
        seeds=("without", "size"), chance=("chance", "mean"), without=("without", "sum"),
    )  # fmt: skip
    limits = mean_limits(frame[known], _IDENTITY)
    summary = summary.merge(limits, left_on=_IDENTITY, right_index=True, how="left")
    summary = summary.merge(_seed_intervals(frame[known]), on=_IDENTITY, how="left")
    return _with_reasons(summary, frame)[columns]


def _seed_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Ends of the intervals over seeds of what has several, by what it is."""
    values: dict[tuple[Any, ...], dict[Seeds, float]] = {}
    seeds = frame[["training_seed", "sampling_seed"]].astype(object)
    pairs = seeds.where(seeds.notna(), None).itertuples(index=False, name=None)
    of = frame[_IDENTITY].itertuples(index=False, name=None)
    for identity, pair, value in zip(of, pairs, frame["value"], strict=True):
        values.setdefault(identity, {})[pair] = value
    rows = [
        (*identity, *interval)
        for identity, by_seed in values.items()
        if len(by_seed) > 1 and (interval := seed_interval(by_seed)) is not None
    ]
    ends = ["seeds_low", "seeds_high"]
    return pd.DataFrame(rows, columns=[*_IDENTITY, *ends]).astype(dict.fromkeys(ends, float))


def _with_reasons(summary: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Why values are missing, and of how many of the seeds."""
    given = frame[frame["reason"] != ""]
    reasons: dict[tuple[Any, ...], set[str]] = {}
    of = given[_IDENTITY].itertuples(index=False, name=None)
    for identity, reason in zip(of, given["reason"], strict=True):
        reasons.setdefault(identity, set()).add(reason)
    rows = [(*identity, "; ".join(sorted(told))) for identity, told in reasons.items()]
    told = pd.DataFrame(rows, columns=[*_IDENTITY, "reason"]).astype(object)
    joined = summary.merge(told, on=_IDENTITY, how="left")
    partly = joined["reason"].notna() & (joined["without"] < joined["seeds"])
    counts = joined["without"].astype(str) + " of " + joined["seeds"].astype(str)
    said = counts + " seeds have no value: " + joined["reason"].fillna("")
    return joined.assign(reason=joined["reason"].fillna("").mask(partly, said))


def named_cell_type(summary: pd.DataFrame, cell_types: Sequence[str]) -> pd.DataFrame:
    """Rows as they are shown: with a single cell type nothing is said twice.

    Its own rows equal those over all cell types, which then take its name. Measures that are never
    pooled over cell types have its own rows alone.
    """
    if len(cell_types) != 1:
        return summary
    others = pd.MultiIndex.from_frame(summary[[c for c in _IDENTITY if c != "cell_type"]])
    twice = others.isin(others[summary["cell_type"] == "all"])
    kept = summary[~(twice & (summary["cell_type"] == cell_types[0]))]
    return kept.assign(cell_type=kept["cell_type"].replace("all", cell_types[0]))


def select(frame: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Rows whose columns have these values; a tuple or list stands for any of its members."""
    mask = np.ones(len(frame), dtype=bool)
    for name, value in columns.items():
        if isinstance(value, tuple | list):
            mask &= frame[name].isin(list(value)).to_numpy(dtype=bool)
        else:
            mask &= (frame[name] == value).to_numpy(dtype=bool)
    return frame[mask]


def single(frame: pd.DataFrame, **columns: Any) -> pd.Series | None:
    """The first row whose columns have these values, or None."""
    rows = select(frame, **columns)
    return None if rows.empty else rows.iloc[0]


def first_by(frame: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What `single` gives for each combination of these columns, found in one pass."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        found.setdefault(tuple(row[column] for column in columns), row)
    return found


def served_alignment(configuration: Configuration, experiment: str, extractor: str) -> bool:
    """Whether the encoder of a metric is also the one that training was aligned with.

    Encoders of two names that rest on the same weights, or are trained alike, are one encoder.
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
    """Encoder and view that headline and claims rest on, by a rule fixed beforehand.

    The first encoder that the experiment's evaluation names and that did not serve alignment
    (the first at all, where each did); of its views `all`, else `rgb`, else the first.

    Returns
    -------
    tuple of str or None
        None where there are no metrics of a configured encoder.
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
