"""Rank of a generated perturbation's own real images among those of all perturbations.

For each generated perturbation we compute its distance to the real images of every perturbation of
the cell type (a cohort), and the rank of its own cohort among them (MorphoDiff, section 3.3.1 and
appendix table 5). A generator that ignores its condition ranks cohorts by chance.

With C cohorts there are C x C pairs; quantities of one side (mean, factor, mean kernel with itself)
are computed once per cohort.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, check_comparable
from morphpipe.evaluation.core.subsample import priorities, thinned
from morphpipe.evaluation.distances.frechet import Factored, factored_distance
from morphpipe.evaluation.distances.kernel import mean_kernel, own_mean_kernel
from morphpipe.evaluation.distances.measures import distance_names

RANKING_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("generator", pa.string()),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("extractor", pa.string(), nullable=False),
        pa.field("view", pa.string(), nullable=False),
        pa.field("cell_type", pa.string(), nullable=False),
        pa.field("perturbation", pa.string(), nullable=False),
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        # Rank of the own cohort, 1 for the nearest; ties share their mean rank.
        pa.field("rank", pa.float64()),
        # Number of cohorts, including the own one.
        pa.field("cohorts", pa.int64()),
        pa.field("distance", pa.float64()),
        pa.field("best_cohort", pa.string()),
        pa.field("best_distance", pa.float64()),
        # Expected by chance.
        pa.field("expected_rank", pa.float64()),
        pa.field("expected_top1", pa.float64()),
        # Number of generated images, and of real ones per cohort.
        pa.field("n_generated", pa.int64()),
        pa.field("n_real", pa.int64()),
        pa.field("reason", pa.string()),
        # A JSON object.
        pa.field("settings", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Cohort:
    """A set of images with its precomputed statistics.

    Attributes
    ----------
    features
        [n, d].
    factored
        For Fréchet distances.
    own_kernel
        Mean of KID's kernel over pairs of different images.
    """

    features: npt.NDArray[Any]
    factored: Factored
    own_kernel: float

    @classmethod
    def of(cls, features: npt.NDArray[Any]) -> "Cohort":
        """Prepare features [n, d] of at least two images."""
        return cls(features, Factored.of(features), float(own_mean_kernel(features).mean()))


def distances(left: Cohort, right: Cohort) -> tuple[float, float]:
    """Fréchet distance and unbiased squared MMD (KID over all images) of two cohorts."""
    between = float(mean_kernel(left.features, right.features)[0].mean())
    mmd = left.own_kernel + right.own_kernel - 2 * between
    return factored_distance(left.factored, right.factored), mmd


def rank_of_own(found: Mapping[str, float], own: str) -> float:
    """Rank the own cohort by distance: 1 for the nearest, the mean rank for ties."""
    values = np.array(list(found.values()))
    return 1 + float((values < found[own]).sum()) + ((values == found[own]).sum() - 1) / 2


def blocks(perturbations: Sequence[str], number: int) -> list[list[str]]:
    """Split the perturbations into blocks of nearly equal length, for parallel jobs."""
    ordered = np.array(sorted(perturbations), dtype=object)
    return [part.tolist() for part in np.array_split(ordered, number)]


@dataclass(frozen=True)
class _CellType:
    """The cohorts of a cell type.

    Attributes
    ----------
    cohorts
        By perturbation, each of `size` images.
    sizes
        Number of real images, including cohorts that are too small.
    order
        Shuffled names of the cohorts.
    """

    cohorts: Mapping[str, Cohort]
    sizes: Mapping[str, int]
    order: Sequence[str]
    size: int

    def among(self, own: str, number: int | None) -> list[str]:
        """The own cohort and the first shuffled others, `number` in total."""
        others = [name for name in self.order if name != own]
        return [own, *(others if number is None else others[: number - 1])]


def _cell_type(real: FeatureSet, minimum_images: int, seed: int) -> _CellType:
    """Make cohorts of equal size, since a Fréchet distance falls as images are added."""
    names = real.column("perturbation")
    sizes = {str(k): int(v) for k, v in pd.Series(names).value_counts().items()}
    enough = [name for name in sizes if sizes[name] >= max(minimum_images, 2)]
    size = min((sizes[name] for name in enough), default=0)
    chosen = thinned(real.keys["field_id"], names, size, seed)
    cohorts = {name: Cohort.of(real.features[chosen & (names == name)]) for name in sorted(enough)}
    order = np.array(list(cohorts))[np.argsort(priorities(cohorts, seed))].tolist()
    return _CellType(cohorts, sizes, order, size)


def rank_rows(
    generated: FeatureSet,
    real: FeatureSet,
    *,
    context: Mapping[str, Any],
    cohorts: int | None,
    minimum_images: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rank the own cohort of every generated perturbation by both distances.

    Parameters
    ----------
    generated
        Generated images of all perturbations or of one of the `blocks`, with the same result. Each
        pair of training and sampling seed is ranked separately.
    real
        All real images that cohorts are drawn from, including perturbations that were not
        generated.
    cohorts
        Number of cohorts: the own one and others drawn at random; None for all.
    minimum_images
        Minimum real images per cohort, and generated images per perturbation.

    Returns
    -------
    list of dict
        Rows of `RANKING_SCHEMA`. Cohorts of a cell type are subsampled to the smallest that has
        `minimum_images`; smaller ones are excluded, and a perturbation whose own cohort is excluded
        has no rank but a reason.

    Raises
    ------
    DataError
        If the sets come from different encoders or views, or have the wrong origin.
    """
    check_comparable(generated, real)
    if not generated.is_generated or real.is_generated or len(real) == 0:
        raise DataError("a ranking needs generated images on one side and real ones on the other")
    rows = []
    for cell_type in sorted(set(generated.column("cell_type"))):
        made = generated.select(generated.column("cell_type") == cell_type)
        cell = _cell_type(real.select(real.column("cell_type") == cell_type), minimum_images, seed)
        for training_seed, sampling_seed, images in made.by_seed():
            names = images.column("perturbation")
            for name in sorted(set(names)):
                known = {
                    **context,
                    "extractor": generated.extractor,
                    "view": generated.view,
                    "cell_type": cell_type,
                    "perturbation": name,
                    "training_seed": training_seed,
                    "sampling_seed": sampling_seed,
                }
                features = images.features[names == name]
                for ranked in _ranked(name, features, cell, cohorts, minimum_images, seed):
                    rows.append(known | _named(ranked, generated.extractor))
    return rows


def _named(row: dict[str, Any], extractor: str) -> dict[str, Any]:
    frechet, kernel = distance_names(extractor)
    return row | {"metric": frechet if row["metric"] == "frechet" else kernel}


def _ranked(
    name: str,
    features: npt.NDArray[Any],
    cell: _CellType,
    cohorts: int | None,
    minimum_images: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rank one perturbation of one pair of seeds: one row per distance."""
    among = cell.among(name, cohorts)
    notes = {
        "seed": seed,
        "cohorts_there_are": len(cell.cohorts),
        "cohorts_with_too_few_images": len(cell.sizes) - len(cell.cohorts),
        "minimum_images": minimum_images,
        "kernel_estimator": "unbiased MMD over all images",
    }
    row: dict[str, Any] = {
        "n_generated": len(features),
        "n_real": cell.size or None,
        "settings": json.dumps(notes, sort_keys=True),
    }
    reason = ""
    if name not in cell.cohorts:
        reason = (
            f"{cell.sizes.get(name, 0)} real images of it, fewer than the minimum of "
            f"{minimum_images}"
        )
    elif len(features) < max(minimum_images, 2):
        reason = f"{len(features)} generated images, fewer than the minimum of {minimum_images}"
    elif len(among) < 2:
        reason = "there is no other cohort to rank it among"
    if reason:
        return [row | {"metric": metric, "reason": reason} for metric in ("frechet", "kernel")]
    made = Cohort.of(features)
    pairs = {other: distances(made, cell.cohorts[other]) for other in among}
    rows = []
    for position, metric in enumerate(("frechet", "kernel")):
        found = {other: pair[position] for other, pair in pairs.items()}
        best = min(found, key=lambda other: found[other])
        rows.append(
            row
            | {
                "metric": metric,
                "rank": rank_of_own(found, name),
                "cohorts": len(among),
                "distance": found[name],
                "best_cohort": best,
                "best_distance": found[best],
                "expected_rank": (len(among) + 1) / 2,
                "expected_top1": 1 / len(among),
            }
        )
    return rows


def ranking_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Collect rows of `rank_rows` into a table of `RANKING_SCHEMA`."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=RANKING_SCHEMA)
