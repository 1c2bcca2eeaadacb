"""Random subsets of images that do not depend on what else is in the table, or in which order."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd


def priorities(ids: Iterable[str], seed: int) -> npt.NDArray[np.uint64]:
    """Give every id a random number of its own: a keyed hash, uint64 [n]."""
    key = str(seed).encode()
    digests = (blake2b(i.encode(), digest_size=8, key=key).digest() for i in ids)
    return np.array([int.from_bytes(digest) for digest in digests], dtype=np.uint64)


def thinned(
    ids: Iterable[str], groups: npt.ArrayLike, at_most: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose at random at most so many of each group.

    Those with the lowest `priorities` are taken. A table may therefore be thinned shard by shard
    and the rest once more, with the same result as at once.

    Parameters
    ----------
    ids
        Unique names, [n].
    groups
        The group of each, [n].
    at_most
        How many of a group are taken; a smaller group is taken whole.
    seed
        Another one chooses others.

    Returns
    -------
    numpy.ndarray
        bool [n]: whether it is taken.
    """
    order = np.argsort(priorities(ids, seed), kind="stable")
    labels = pd.Series(np.asarray(groups)[order])
    taken = (labels.groupby(labels).cumcount() < at_most).to_numpy()
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[taken]] = True
    return chosen
