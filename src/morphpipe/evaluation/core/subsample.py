"""Random subsets that do not depend on the order or on other rows of a table."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd


def priorities(ids: Iterable[str], seed: int) -> npt.NDArray[np.uint64]:
    """Hash each id with the seed to a pseudo-random number: uint64 [n]."""
    key = str(seed).encode()
    digests = (blake2b(i.encode(), digest_size=8, key=key).digest() for i in ids)
    return np.array([int.from_bytes(digest) for digest in digests], dtype=np.uint64)


def thinned(
    ids: Iterable[str], groups: npt.ArrayLike, at_most: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Draw at most `at_most` items per group at random.

    Items with the lowest `priorities` are kept, so thinning shard by shard and then once more gives
    the same result as thinning all at once.

    Parameters
    ----------
    ids
        Unique names, [n].
    groups
        Group of each, [n].
    at_most
        Maximum per group; a smaller group is kept whole.

    Returns
    -------
    numpy.ndarray
        bool [n]: whether the item is kept.
    """
    order = np.argsort(priorities(ids, seed), kind="stable")
    labels = pd.Series(np.asarray(groups)[order])
    taken = (labels.groupby(labels).cumcount() < at_most).to_numpy()
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[taken]] = True
    return chosen
