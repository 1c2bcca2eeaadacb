"""Random codes: fixed embeddings without prior knowledge of perturbations."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def random_code(name: str, width: int, seed: int) -> NDArray[np.float32]:
    """Draw standard normal numbers that depend only on seed and name: float32 [width].

    Another width gives the same numbers, more or fewer of them; other perturbations have no
    influence.
    """
    # Python's hash of a string differs between runs.
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4").tolist()
    source = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))
    return source.standard_normal(width, dtype=np.float32)
