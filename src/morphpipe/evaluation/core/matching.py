"""Real and generated fields with the same mix of conditions, and of cell counts.

Many features of a field follow from how many cells it holds: crowded cells are smaller, touch
more neighbours and share their stain. A generator that misses the number of cells differs in all
of them. Comparing fields of the same cell count tells what differs besides.
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
    """Choose equally many rows of every stratum from two sets, at random.

    Parameters
    ----------
    left_ids, right_ids
        Unique names, [n] and [m]; who is chosen depends on the name and the seed, not on the
        order.
    left_strata, right_strata
        The stratum of each row.
    seed
        Another one chooses others.

    Returns
    -------
    tuple
        Positions in both sets, sorted and of the same number. A stratum that only one set has is
        left out.
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
    """Sort cell counts into bins that all sets share.

    Parameters
    ----------
    counts
        Cell counts of each set.
    bins
        At most so many, with about equally many fields of all sets together in each.

    Returns
    -------
    list of numpy.ndarray
        The number of the bin of each field, set by set.
    """
    edges = np.unique(np.quantile(np.concatenate(counts), np.linspace(0, 1, bins + 1)[1:-1]))
    return [np.searchsorted(edges, values, side="right").astype(np.intp) for values in counts]


def condition_labels(sets: Sequence[FeatureSet], generated: FeatureSet) -> list[npt.NDArray]:
    """Name the condition of each image by cell type and perturbation, set by set.

    A column that the generated images leave empty (cell types drawn without conditioning on the
    perturbation) does not tell conditions apart.
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
    """Choose equally many real and generated images of every condition, and cell count.

    Parameters
    ----------
    real, generated
        Images.
    counts
        Cell counts of both; None matches conditions alone.
    bins
        See `count_bins`.
    seed
        Of the choice.

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
