"""Retrieval of perturbations by mean average precision.

Profiles (mean features of a well) are ranked by cosine similarity to a query; mean average
precision then measures how distinguishable a perturbation is (Kalinin et al., Nature Communications
2025, whose package copairs has the same definition).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.subsample import priorities
from morphpipe.evaluation.robustness.batch_correction import centre_and_scale

# Images in float64 at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class ProfileSet:
    """Profiles: mean features of the images of a well.

    Attributes
    ----------
    values
        float64 [p, d].
    cell_types, perturbations, mechanisms
        [p]; an unknown mechanism is empty.
    """

    values: Array
    cell_types: npt.NDArray[Any]
    perturbations: npt.NDArray[Any]
    mechanisms: npt.NDArray[Any]

    def __len__(self) -> int:
        """Number of profiles."""
        return len(self.values)

    def select(self, rows: npt.ArrayLike) -> "ProfileSet":
        """Select rows by a mask [p] or by position."""
        chosen: npt.NDArray[Any] = np.asarray(rows)
        return ProfileSet(
            self.values[chosen],
            self.cell_types[chosen],
            self.perturbations[chosen],
            self.mechanisms[chosen],
        )


def normalised(images: FeatureSet) -> tuple[FeatureSet, bool]:
    """Centre and scale the images of each cell type on their negative controls.

    Real and generated images are each normalised by their own controls, as plates are, so that
    effects of perturbations are compared.

    Returns
    -------
    tuple
        The images without negative controls, and whether all cell types had two controls. A cell
        type without them is normalised on all of its images and keeps its controls.
    """
    control = images.column("control") == "negative"
    cell_types = images.column("cell_type")
    reference, by_controls = control.copy(), True
    for name in set(cell_types):
        rows = cell_types == name
        if (rows & control).sum() < 2:
            reference[rows], by_controls = True, False
            control[rows] = False
    values = centre_and_scale(images.features, reference, cell_types)
    done = replace(images, features=values.astype(np.float32))
    return done.select(~control), by_controls


def well_profiles(images: FeatureSet, mechanisms: dict[str, str]) -> ProfileSet:
    """One profile per well of real images, sorted by well."""
    return _profiles(images, images.groups, mechanisms)


def generated_profiles(
    images: FeatureSet, mechanisms: dict[str, str], *, size: int, at_most: int, seed: int
) -> ProfileSet:
    """Average random groups of generated images, as many per profile as in a real well.

    Parameters
    ----------
    images
        Images of one pair of seeds.
    mechanisms
        Mechanism of each perturbation, from real images.
    size
        Images per profile; a condition with fewer images gives one profile.
    at_most
        Maximum profiles per condition.
    seed
        Seed of the draw, which does not depend on the order of the images.
    """
    order = np.argsort(priorities(images.column("field_id"), seed), kind="stable")
    labels = pd.Series(images.conditions[order])
    number = labels.groupby(labels).cumcount().to_numpy() // size
    whole = labels.groupby(labels).transform("size").to_numpy() // size
    kept = number < np.clip(whole, 1, at_most)
    chosen = images.select(order[kept])
    names = [f"{a}\x1f{b}" for a, b in zip(labels[kept], number[kept], strict=True)]
    return _profiles(chosen, pd.factorize(np.array(names, dtype=object))[0], mechanisms)


def _profiles(
    images: FeatureSet, groups: npt.NDArray[np.intp], mechanisms: dict[str, str]
) -> ProfileSet:
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    totals = np.zeros((len(first), images.features.shape[1]))
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        np.add.at(totals, index[rows], images.features[rows].astype(np.float64))
    perturbations = images.column("perturbation")[first]
    return ProfileSet(
        totals / np.bincount(index)[:, None],
        images.column("cell_type")[first],
        perturbations,
        np.array([mechanisms.get(str(name), "") for name in perturbations], dtype=object),
    )


def expected_average_precision(relevant: int, candidates: int) -> float:
    """Compute the expected average precision of a random order.

    With M relevant of N candidates, the mean over positions k of the expected precision at k given
    that k is relevant: (H_N + (M - 1) / (N - 1) (N - H_N)) / N, H_N the harmonic number.

    Parameters
    ----------
    relevant, candidates
        1 <= relevant <= candidates.

    Raises
    ------
    DataError
        If the numbers are out of range.
    """
    if not 1 <= relevant <= candidates:
        raise DataError(f"{relevant} of {candidates} candidates cannot be relevant")
    if candidates == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, candidates + 1)).sum())
    others = (relevant - 1) / (candidates - 1) * (candidates - harmonic)
    return (harmonic + others) / candidates


def average_precisions(
    queries: ProfileSet, candidates: ProfileSet, task: str
) -> tuple[Array, Array]:
    """Compute the average precision of each query among the candidates of its cell type.

    Parameters
    ----------
    queries, candidates
        Profiles of the same features.
    task
        ``perturbation``: candidates of the same perturbation are relevant. ``moa``: those of the
        same mechanism but another perturbation; candidates of the same perturbation or without a
        known mechanism are excluded.

    Returns
    -------
    values, chance : numpy.ndarray
        float64 [q]: average precision, and its expectation for a random order. NaN if no or all
        candidates are relevant.
    """
    values, chance = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    for cell_type in set(queries.cell_types):
        rows = np.flatnonzero(queries.cell_types == cell_type)
        among = candidates.select(candidates.cell_types == cell_type)
        if not len(among):
            continue
        similarity = cosine_similarity(queries.values[rows], among.values)
        for row, similar in zip(rows, similarity, strict=True):
            same = among.perturbations == queries.perturbations[row]
            relevant, listed = same, np.ones(len(among), dtype=bool)
            if task == "moa":
                mechanism = queries.mechanisms[row]
                listed = (among.mechanisms != "") & ~same
                relevant = listed & (among.mechanisms == mechanism) & (mechanism != "")
            number, total = int(relevant[listed].sum()), int(listed.sum())
            if 0 < number < total:
                values[row] = average_precision_score(relevant[listed], similar[listed])
                chance[row] = expected_average_precision(number, total)
    return values, chance
