"""Clustering of profiles by perturbation or mechanism."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked, checked_pair

_RESTARTS = 10

PERMUTATIONS = 200
"""Permutations of the labels, for the level of chance."""


@dataclass(frozen=True)
class Clustering:
    """How well k-means clusters agree with labels.

    Attributes
    ----------
    adjusted_rand
        Adjusted Rand index (Hubert and Arabie, Journal of Classification 2, 193, 1985): 1 if
        clusters equal the labels, 0 by chance.
    chance_95
        95th percentile of the index for permuted labels.
    mutual_information
        Normalised mutual information (arithmetic mean of the entropies), averaged over k-means of
        several seeds as in MorphoDiff's released code: 1 if clusters equal the labels. Its level of
        chance is above 0 and rises with the number of labels.
    silhouette
        Mean silhouette of the labels, without clustering (Rousseeuw 1987): between -1 and 1,
        negative if images are closer to another label than to their own.
    clusters
        Number of labels, and of clusters.
    """

    adjusted_rand: float
    chance_95: float
    mutual_information: float
    silhouette: float
    clusters: int


def _labels(values: npt.ArrayLike, number: int) -> tuple[npt.NDArray[np.str_], int]:
    labels = np.asarray(values).astype(str)
    if labels.shape != (number,):
        raise DataError(f"{number} profiles have {labels.size} labels")
    kinds = len(np.unique(labels))
    if kinds < 2:
        raise DataError("profiles with a single label cannot be clustered")
    if kinds >= number:
        raise DataError(f"{number} profiles have {kinds} labels: none repeats")
    return labels, kinds


def adjusted_rand(left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> float:
    """Adjusted Rand index of two partitions, numbered from 0: intp [n] each.

    Equal to scikit-learn's `adjusted_rand_score` without its checks, which would dominate the time
    of permutations.
    """
    width = int(right.max()) + 1
    counts = np.bincount(left * width + right, minlength=(int(left.max()) + 1) * width)
    table: Array = counts.reshape(-1, width).astype(np.float64)

    def pairs(of: Array) -> float:
        return float((of * (of - 1) / 2).sum())

    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    by_chance = rows * columns / (len(left) * (len(left) - 1) / 2)
    most = (rows + columns) / 2
    return 1.0 if most == by_chance else (pairs(table) - by_chance) / (most - by_chance)


def _chance(
    clusters: npt.NDArray[np.intp], labels: npt.NDArray[np.str_], permutations: int, seed: int
) -> float:
    generator = np.random.default_rng(seed)
    numbers = np.unique(labels, return_inverse=True)[1]
    drawn = [adjusted_rand(generator.permutation(numbers), clusters) for _ in range(permutations)]
    return float(np.quantile(drawn, 0.95))


def _kmeans(values: Array, clusters: int, seed: int) -> KMeans:
    return KMeans(clusters, n_init=_RESTARTS, random_state=seed).fit(values)


def _mutual_information(
    labels: npt.NDArray[np.str_], clusterings: Sequence[npt.NDArray[np.int32]]
) -> float:
    return float(np.mean([normalized_mutual_info_score(labels, found) for found in clusterings]))


def cluster_by_label(
    values: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    permutations: int = PERMUTATIONS,
    seed: int,
    seeds: Sequence[int] = (42, 43, 44, 45, 46),
) -> Clustering:
    """Cluster profiles by k-means into as many clusters as there are labels.

    Parameters
    ----------
    values
        [n, d]: normalised features.
    labels
        n perturbations or mechanisms.
    permutations
        Permutations of the labels, for the level of chance.
    seed
        Seed of k-means and of the permutations.
    seeds
        Seeds of the k-means runs averaged for the mutual information; those of the released code.

    Raises
    ------
    DataError
        If there are fewer than two labels, or no label repeats.
    """
    x = checked(values, "morphological", minimum=2)
    names, kinds = _labels(labels, len(x))
    clusters = _kmeans(x, kinds, seed).labels_.astype(np.intp)
    return Clustering(
        adjusted_rand(np.unique(names, return_inverse=True)[1], clusters),
        _chance(clusters, names, permutations, seed),
        _mutual_information(names, [_kmeans(x, kinds, other).labels_ for other in seeds]),
        float(silhouette_score(x, names)),
        kinds,
    )


def cluster_transferred(
    real: npt.ArrayLike,
    real_labels: npt.ArrayLike,
    generated: npt.ArrayLike,
    generated_labels: npt.ArrayLike,
    *,
    permutations: int = PERMUTATIONS,
    seed: int,
    seeds: Sequence[int] = (42, 43, 44, 45, 46),
) -> Clustering:
    """Cluster real profiles and assign each generated profile to the nearest cluster.

    The scores are those of the generated profiles, comparable with `cluster_by_label` of the real
    ones.

    Parameters
    ----------
    real, generated
        [n, d] and [m, d]: features normalised alike.
    real_labels, generated_labels
        Their labels.
    permutations, seed, seeds
        As in `cluster_by_label`.

    Raises
    ------
    DataError
        As in `cluster_by_label`.
    """
    x, y = checked_pair(real, generated, names=("real", "generated"), minimum=2)
    _, kinds = _labels(real_labels, len(x))
    names, _ = _labels(generated_labels, len(y))
    clusters = _kmeans(x, kinds, seed).predict(y).astype(np.intp)
    return Clustering(
        adjusted_rand(np.unique(names, return_inverse=True)[1], clusters),
        _chance(clusters, names, permutations, seed),
        _mutual_information(names, [_kmeans(x, kinds, other).predict(y) for other in seeds]),
        float(silhouette_score(y, names)),
        kinds,
    )
