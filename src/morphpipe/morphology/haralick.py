"""Haralick's texture features, bit for bit those of mahotas, in less time.

MeasureTexture calls `mahotas.features.haralick` once per object, image and scale. Nearly all of its
time goes into matrices of all pairs of grey levels, of which an object has a few hundred: their
logarithms, and constants that are the same at every call. Here constants are kept, pairs are
counted where they are, and logarithms taken where there is something. Sums run over the same
numbers in the same order, zeros included, so that nothing is rounded otherwise.

R. M. Haralick, K. Shanmugam and I. Dinstein, Textural Features for Image Classification, IEEE
Transactions on Systems, Man, and Cybernetics 3 (1973), 610-621.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from mahotas.features import texture  # type: ignore[import-not-found]
from numpy.typing import NDArray

_MAHOTAS = texture.haralick
# (y, x) from a pixel to its partner, in mahotas's order of the directions.
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))


class _Levels(NamedTuple):
    """What depends on the number of grey levels n only."""

    # Grey levels and their squares, [n], and the same of sums of two of them, [2n].
    level: NDArray[np.float64]
    level_squared: NDArray[np.float64]
    total: NDArray[np.float64]
    total_squared: NDArray[np.float64]
    # Of two levels, [n * n]: product and 1 / (1 + squared difference).
    product: NDArray[np.float64]
    closeness: NDArray[np.float64]


# Of all sizes, 1 to 256, some 90 MB.
@lru_cache(maxsize=256)
def _levels(number: int) -> _Levels:
    level = np.arange(number)
    total = np.arange(2 * number)
    i, j = np.mgrid[:number, :number]
    return _Levels(
        level.astype(np.float64),
        (level**2).astype(np.float64),
        total.astype(np.float64),
        (total**2).astype(np.float64),
        (i * j).ravel().astype(np.float64),
        (1.0 / ((i - j) ** 2 + 1)).ravel(),
    )


def haralick(
    image: NDArray[Any], ignore_zeros: bool = False, distance: int = 1, **others: Any
) -> NDArray[np.float64]:
    """The 13 features in every direction, as `mahotas.features.haralick` gives them.

    Parameters
    ----------
    image
        uint8 [H, W]. Of anything else, mahotas's own function does the work.
    ignore_zeros
        Leave out pairs with a pixel of 0.
    distance
        Between the two pixels of a pair.
    others
        Further settings of mahotas's function, which then does the work.

    Returns
    -------
    numpy.ndarray
        float64 [4, 13].

    Raises
    ------
    ValueError
        When there is no pair in one of the directions.
    """
    if others or image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        return _MAHOTAS(image, ignore_zeros=ignore_zeros, distance=distance, **others)
    number = int(image.max()) + 1
    levels = _levels(number)
    wide = image.astype(np.intp)
    features = np.zeros((len(_STEPS), 13))
    for (y, x), found in zip(_STEPS, features, strict=True):
        pairs = _pairs(wide, number, y * distance, x * distance, ignore_zeros)
        if not pairs.any():
            raise ValueError("there is no pair of pixels: texture cannot be computed")
        _fill(found, pairs, levels)
    return features


def _pairs(
    image: NDArray[np.intp], number: int, y: int, x: int, ignore_zeros: bool
) -> NDArray[np.intp]:
    """How often each pair of grey levels stands (y, x) apart, counted both ways: [n * n]."""
    height, width = image.shape
    first = image[: max(height - y, 0), max(-x, 0) : max(width - max(x, 0), 0)].ravel()
    second = image[y:, max(x, 0) : max(width + min(x, 0), 0)].ravel()
    if ignore_zeros:
        kept = (first != 0) & (second != 0)
        first, second = first[kept], second[kept]
    counts = np.bincount(first * number + second, minlength=number * number)
    counts += np.bincount(second * number + first, minlength=number * number)
    return counts


def _sums(places: NDArray[np.intp], values: NDArray[np.float64], number: int) -> NDArray[Any]:
    """Sums of the values at each place, [number]."""
    return np.bincount(places, values, number)


def _log2(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms, and 0 of nothing."""
    return np.log2(values, out=np.zeros(values.shape), where=values != 0)


def _entropy(values: NDArray[np.float64]) -> Any:
    return -np.dot(_log2(values), values)


def _fill(found: NDArray[np.float64], pairs: NDArray[np.intp], levels: _Levels) -> None:
    """Features of the counts of pairs, in mahotas's order of the sums."""
    number = len(levels.level)
    there = np.flatnonzero(pairs != 0)
    some = pairs[there] / float(pairs[there].sum())
    rows = there // number
    columns = there - rows * number
    p = np.zeros(number * number)
    p[there] = some
    px, py = _sums(columns, some, number), p.reshape(number, number).sum(1)
    mean_x, mean_y = np.dot(px, levels.level), np.dot(py, levels.level)
    variance_x = np.dot(px, levels.level_squared) - mean_x**2
    variance_y = np.dot(py, levels.level_squared) - mean_y**2
    sd_x, sd_y = np.sqrt(variance_x), np.sqrt(variance_y)
    plus = _sums(rows + columns, some, 2 * number)
    minus = _sums(np.abs(rows - columns), some, number)
    found[0] = np.dot(p, p)
    found[1] = np.dot(levels.level_squared, minus)
    if sd_x == 0.0 or sd_y == 0.0:
        found[2] = 1.0
    else:
        found[2] = (1.0 / sd_x / sd_y) * (np.dot(levels.product, p) - mean_x * mean_y)
    found[3] = variance_x
    found[4] = np.dot(levels.closeness, p)
    found[5] = np.dot(levels.total, plus)
    found[6] = np.dot(levels.total_squared, plus) - found[5] ** 2
    found[7] = _entropy(plus)
    logarithm = np.zeros(number * number)
    logarithm[there] = np.log2(some)
    found[8] = -np.dot(logarithm, p)
    found[9] = minus.var()
    found[10] = _entropy(minus)
    # The two measures of information: against the product of the margins.
    largest = max(_entropy(px), _entropy(py))
    rows, columns = np.flatnonzero(px), np.flatnonzero(py)
    product = np.multiply.outer(px[rows], py[columns]).ravel()
    # Products too small for a float64 count as mahotas counts what is nothing.
    product[product == 0] = 1.0
    place = np.add.outer(rows * number, columns).ravel()
    cross = np.ones(number * number)
    cross[place] = product
    logarithm[there] = 0.0
    logarithm[place] = np.log2(product)
    crossed = -np.dot(p, logarithm)
    independent = -np.dot(logarithm, cross)
    found[11] = (found[8] - crossed) if largest == 0.0 else (found[8] - crossed) / largest
    found[12] = np.sqrt(max(0, 1 - np.exp(-2.0 * (independent - found[8]))))


def install() -> None:
    """Have `mahotas.features.haralick`, and with it MeasureTexture, compute as here."""
    import mahotas.features  # type: ignore[import-not-found]

    mahotas.features.haralick = haralick
