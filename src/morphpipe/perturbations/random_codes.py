"""Random codes: fixed embeddings of perturbations of which nothing is known."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def random_code(name: str, width: int, seed: int) -> NDArray[np.float32]:
    """Standard normal numbers that depend on seed and name alone.

    Another width gives the same numbers, more or fewer of them. What other perturbations there
    are changes nothing.

    Parameters
    ----------
    name
        Of the perturbation.
    width
        How many numbers.
    seed
        Another seed, other numbers.

    Returns
    -------
    numpy.ndarray
        float32 [width].
    """
    # Python's own hash of a text differs between runs.
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4").tolist()
    source = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))
    return source.standard_normal(width, dtype=np.float32)
