"""Nearest-mechanism accuracy, not same compound (Ljosa et al., J. Biomol. Screen. 18, 1321, 2013).

Each treatment is assigned the mechanism of the most similar treatment (cosine) among all *other*
compounds: its own compound at another dose would be too easy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics.pairwise import cosine_distances

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import checked_pair
from morphpipe.evaluation.core.statistics import Array


@dataclass(frozen=True)
class Treatments:
    """Mean profiles of treatments.

    Attributes
    ----------
    profiles
        float64 [t, d].
    compounds, mechanisms, contexts
        Labels of each treatment; only treatments of the same context (cell type) are neighbours.
    """

    profiles: Array
    compounds: npt.NDArray[np.str_]
    mechanisms: npt.NDArray[np.str_]
    contexts: npt.NDArray[np.str_]

    def __len__(self) -> int:
        """Number of treatments."""
        return len(self.profiles)


@dataclass(frozen=True)
class NearestMechanism:
    """Result of nearest-mechanism classification.

    Attributes
    ----------
    accuracy
        Fraction of treatments whose nearest neighbour has their mechanism.
    chance
        The same for a random neighbour.
    correct
        bool [q], per treatment.
    compounds
        str [q]: their compounds.
    left_out
        Treatments whose mechanism no other compound among the references has.
    """

    accuracy: float
    chance: float
    correct: npt.NDArray[np.bool_]
    compounds: npt.NDArray[np.str_]
    left_out: int


def treatment_profiles(
    values: npt.ArrayLike,
    compounds: npt.ArrayLike,
    mechanisms: npt.ArrayLike,
    *,
    doses: npt.ArrayLike | None = None,
    contexts: npt.ArrayLike | None = None,
) -> Treatments:
    """Average profiles by compound, dose and context.

    Parameters
    ----------
    values
        [n, d]: normalised profiles of fields or wells.
    compounds, mechanisms
        n labels; profiles without a mechanism (empty label) are excluded.
    doses, contexts
        n concentrations (NaN if none) and cell types; None for a single one.
    """
    x = np.asarray(values, dtype=np.float64)
    blank = np.full(len(x), "")
    keys = pd.DataFrame(
        {
            "compound": np.asarray(compounds).astype(str),
            "mechanism": np.asarray(mechanisms).astype(str),
            "context": (blank if contexts is None else np.asarray(contexts)).astype(str),
            "dose": (blank if doses is None else np.asarray(doses)).astype(str),
        }
    )
    known = (keys["mechanism"] != "").to_numpy()
    keys, x = keys[known].reset_index(drop=True), x[known]
    names = ["compound", "mechanism", "context", "dose"]
    index = keys.groupby(names, sort=True).ngroup().to_numpy()
    treatments = keys.drop_duplicates().sort_values(names)
    sums = np.zeros((len(treatments), x.shape[1]))
    np.add.at(sums, index, x)
    return Treatments(
        sums / np.bincount(index, minlength=len(treatments))[:, None],
        treatments["compound"].to_numpy(dtype=str),
        treatments["mechanism"].to_numpy(dtype=str),
        treatments["context"].to_numpy(dtype=str),
    )


def nearest_mechanism(queries: Treatments, references: Treatments) -> NearestMechanism:
    """Classify the mechanisms of queries by their nearest references of other compounds.

    Parameters
    ----------
    queries
        Treatments to classify: real or generated.
    references
        Real treatments; the queries themselves for real to real.

    Raises
    ------
    DataError
        If no query can be classified.
    """
    if not len(queries) or not len(references):
        raise DataError("no treatment has a known mechanism (moa)")
    x, y = checked_pair(queries.profiles, references.profiles, names=("query", "reference"))
    allowed = (queries.compounds[:, None] != references.compounds[None, :]) & (
        queries.contexts[:, None] == references.contexts[None, :]
    )
    same = queries.mechanisms[:, None] == references.mechanisms[None, :]
    possible = (allowed & same).any(axis=1)
    if not possible.any():
        raise DataError(
            "no mechanism has two compounds, so mechanisms cannot be predicted from other compounds"
        )
    distance = np.where(allowed, cosine_distances(x, y), np.inf)[possible]
    nearest = distance.argmin(axis=1)
    correct = same[possible][np.arange(len(nearest)), nearest]
    shares = (allowed & same)[possible].sum(axis=1) / allowed[possible].sum(axis=1)
    return NearestMechanism(
        float(correct.mean()),
        float(shares.mean()),
        correct,
        queries.compounds[possible],
        int((~possible).sum()),
    )
