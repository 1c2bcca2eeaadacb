"""Matching of real and generated fields by condition and cell count.

Many features of a field follow from its number of cells: crowded cells are smaller, touch more
neighbours and share their stain. A generator with the wrong cell count differs in all of them;
comparing fields of equal cell count shows what else differs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.subsample import priorities

Indices = npt.NDArray[np.intp]


def matched_rows(
    left_ids: Sequence[str],
    left_strata: npt.ArrayLike,
    right_ids: Sequence[str],
    right_strata: npt.ArrayLike,
    *,
    seed: int,
) -> tuple[Indices, Indices]:
    """Draw equally many rows of each stratum from two sets at random.

    Parameters
    ----------
    left_ids, right_ids
        Unique names, [n] and [m]; the draw depends on name and seed, not on order.
    left_strata, right_strata
        The stratum of each row.


    Returns
    -------
    tuple
        Sorted positions in both sets, equal in number. A stratum of only one set is excluded.
    """
    left, right = pd.Series(np.asarray(left_strata)), pd.Series(np.asarray(right_strata))
    quota = pd.concat([left.value_counts(), right.value_counts()], axis=1).min(axis=1, skipna=False)
    chosen = []
    for ids, strata in ((left_ids, left), (right_ids, right)):
        order = np.argsort(priorities(ids, seed), kind="stable")
        shuffled = strata.iloc[order]
        rank = shuffled.groupby(shuffled).cumcount()
        taken = (rank < shuffled.map(quota.fillna(0))).to_numpy()
        chosen.append(np.sort(order[taken]).astype(np.intp))
    return chosen[0], chosen[1]


def count_bins(counts: Sequence[npt.NDArray[np.int64]], bins: int) -> list[Indices]:
    """Sort cell counts into bins shared by all sets.

    Parameters
    ----------
    counts
        Cell counts of each set.
    bins
        Maximum number of bins; each has about equally many fields of all sets together.

    Returns
    -------
    list of numpy.ndarray
        Bin of each field, per set.
    """
    edges = np.unique(np.quantile(np.concatenate(counts), np.linspace(0, 1, bins + 1)[1:-1]))
    return [np.searchsorted(edges, values, side="right").astype(np.intp) for values in counts]


def condition_labels(sets: Sequence[FeatureSet], generated: FeatureSet) -> list[npt.NDArray]:
    """Label each image by cell type and perturbation, per set.

    A column that is empty for generated images (e.g. no conditioning on the perturbation) is
    ignored.
    """
    columns = [c for c in ("cell_type", "perturbation") if (generated.column(c) != "").any()]
    labels = []
    for images in sets:
        parts = [images.column(column) for column in columns] or [np.full(len(images), "")]
        names = ["\x1f".join(map(str, key)) for key in zip(*parts, strict=True)]
        labels.append(np.array(names, dtype=object))
    return labels


def match_sets(
    real: FeatureSet,
    generated: FeatureSet,
    *,
    counts: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
    bins: int = 10,
    seed: int,
) -> tuple[Indices, Indices]:
    """Draw equally many real and generated images of each condition and cell count.

    Parameters
    ----------
    counts
        Cell counts of both; None matches conditions only.
    bins
        See `count_bins`.

    Returns
    -------
    tuple
        Positions of real and of generated images.
    """
    strata = condition_labels([real, generated], generated)
    if counts is not None:
        numbers = count_bins(counts, bins)
        strata = [
            np.array([f"{label}\x1f{number}" for label, number in zip(a, b, strict=True)], object)
            for a, b in zip(strata, numbers, strict=True)
        ]
    return matched_rows(
        list(real.column("field_id")),
        strata[0],
        list(generated.column("field_id")),
        strata[1],
        seed=seed,
    )
