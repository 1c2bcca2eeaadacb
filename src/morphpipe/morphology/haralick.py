"""Haralick's texture features, bit-identical to mahotas but faster.

MeasureTexture calls `mahotas.features.haralick` once per object, image and scale. Most of its time
is spent on matrices of all pairs of grey levels, of which an object has a few hundred, on their
logarithms, and on constants. Here constants are cached, pairs are counted sparsely, and logarithms
are computed for non-zero entries only. Sums run over the same numbers in the same order, zeros
included, so that rounding is the same.

R. M. Haralick, K. Shanmugam and I. Dinstein, Textural Features for Image Classification, IEEE
Transactions on Systems, Man, and Cybernetics 3 (1973), 610-621.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from mahotas.features import texture  # type: ignore[import-not-found]
from numpy.typing import NDArray

_MAHOTAS = texture.haralick
# (y, x) from a pixel to its partner, in mahotas's order of the directions.
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))


class _Levels(NamedTuple):
    """Constants for n grey levels."""

    # Grey levels and their squares, [n], and the same for sums of two levels, [2n].
    level: NDArray[np.float64]
    level_squared: NDArray[np.float64]
    total: NDArray[np.float64]
    total_squared: NDArray[np.float64]
    # For pairs of levels, [n * n]: product and 1 / (1 + squared difference).
    product: NDArray[np.float64]
    closeness: NDArray[np.float64]


# About 90 MB for all sizes, 1 to 256.
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
    """Compute the 13 features in every direction, like `mahotas.features.haralick`.

    Parameters
    ----------
    image
        uint8 [H, W]; anything else is passed to mahotas.
    ignore_zeros
        Ignore pairs with a zero pixel.
    distance
        Distance between the two pixels of a pair.
    others
        Further arguments, for which mahotas is called.

    Returns
    -------
    numpy.ndarray
        float64 [4, 13].

    Raises
    ------
    ValueError
        If there is no pair in one of the directions.
    """
    if others or image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        return _MAHOTAS(image, ignore_zeros=ignore_zeros, distance=distance, **others)
    number = int(image.max()) + 1
    wide = image.astype(np.intp)
    pairs = [_pairs(wide, number, y * distance, x * distance, ignore_zeros) for y, x in _STEPS]
    if not all(len(counts) for _, counts in pairs):
        raise ValueError("there is no pair of pixels: texture cannot be computed")
    return _features(pairs, _levels(number))


def _pairs(
    image: NDArray[np.intp], number: int, y: int, x: int, ignore_zeros: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Count pairs of grey levels at offset (y, x), in both directions.

    Returns the non-empty places in the matrix of all pairs [n * n], in order, and the counts.
    """
    height, width = image.shape
    first = image[: max(height - y, 0), max(-x, 0) : max(width - max(x, 0), 0)].ravel()
    second = image[y:, max(x, 0) : max(width + min(x, 0), 0)].ravel()
    if ignore_zeros:
        kept = (first != 0) & (second != 0)
        first, second = first[kept], second[kept]
    counts = np.bincount(first * number + second, minlength=number * number)
    counts += np.bincount(second * number + first, minlength=number * number)
    there = np.flatnonzero(counts != 0)
    return there, counts[there]


def _sums(places: NDArray[np.intp], values: NDArray[np.float64], number: int) -> NDArray[Any]:
    """Sums of the values at each place, [4, number]."""
    return np.bincount(places, values, len(_STEPS) * number).reshape(len(_STEPS), number)


def _features(
    pairs: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]], levels: _Levels
) -> NDArray[np.float64]:
    """All features in the four directions, with mahotas's order of summation."""
    number = len(levels.level)
    some = [counts / float(counts.sum()) for _, counts in pairs]
    # Values per level are summed for all directions at once.
    there, values = np.concatenate([place for place, _ in pairs]), np.concatenate(some)
    step = np.repeat(np.arange(len(pairs)), [len(part) for part in some])
    rows = there // number
    columns = there - rows * number
    px = _sums(step * number + columns, values, number)
    plus = _sums(step * 2 * number + rows + columns, values, 2 * number)
    minus = _sums(step * number + np.abs(rows - columns), values, number)
    p, logarithm = np.zeros((2, number * number))
    cross, logarithms = np.zeros((number, number)), logarithm.reshape(number, number)
    py = np.empty_like(px)
    features = np.zeros((len(pairs), 13))
    features[:, 9] = minus.var(axis=1)
    for k, (found, (place, _), shares) in enumerate(zip(features, pairs, some, strict=True)):
        # One matrix is filled sparsely, and cleared for the next direction.
        p[place] = shares
        logarithm[place] = np.log2(shares)
        py[k] = p.reshape(number, number).sum(1)
        found[0] = np.dot(p, p)
        found[2] = np.dot(levels.product, p)
        found[4] = np.dot(levels.closeness, p)
        found[8] = -np.dot(logarithm, p)
        logarithm[place] = 0.0
        # Information measures: relative to the product of the margins.
        rows = np.flatnonzero(px[k])
        product = np.multiply.outer(px[k, rows], py[k])
        # Zeros and underflowing products are treated as in mahotas.
        product[product == 0] = 1.0
        cross[rows] = product
        logarithms[rows] = np.log2(product)
        found[11] = -np.dot(p, logarithm)
        found[12] = -np.dot(logarithm, cross.ravel())
        p[place] = logarithms[rows] = cross[rows] = 0.0
    margins = (px, py, plus, minus)
    entropies = [
        [-np.dot(line, log) for line, log in zip(margin, _log2(margin), strict=True)]
        for margin in margins
    ]
    for k, found in enumerate(features):
        _finish(found, px[k], py[k], plus[k], minus[k], [e[k] for e in entropies], levels)
    return features


def _log2(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log2(values, out=np.zeros(values.shape), where=values != 0)


def _finish(
    found: NDArray[np.float64],
    px: NDArray[np.float64],
    py: NDArray[np.float64],
    plus: NDArray[np.float64],
    minus: NDArray[np.float64],
    entropies: Sequence[float],
    levels: _Levels,
) -> None:
    """Features from the margins and the sums over all pairs in `found`."""
    mean_x, mean_y = np.dot(px, levels.level), np.dot(py, levels.level)
    variance_x = np.dot(px, levels.level_squared) - mean_x**2
    variance_y = np.dot(py, levels.level_squared) - mean_y**2
    sd_x, sd_y = np.sqrt(variance_x), np.sqrt(variance_y)
    found[1] = np.dot(levels.level_squared, minus)
    if sd_x == 0.0 or sd_y == 0.0:
        found[2] = 1.0
    else:
        found[2] = (1.0 / sd_x / sd_y) * (found[2] - mean_x * mean_y)
    found[3] = variance_x
    found[5] = np.dot(levels.total, plus)
    found[6] = np.dot(levels.total_squared, plus) - found[5] ** 2
    of_x, of_y, found[7], found[10] = entropies
    largest = max(of_x, of_y)
    crossed, independent = found[11], found[12]
    found[11] = (found[8] - crossed) if largest == 0.0 else (found[8] - crossed) / largest
    found[12] = np.sqrt(max(0, 1 - np.exp(-2.0 * (independent - found[8]))))


def install() -> None:
    """Replace `mahotas.features.haralick`, and thus speed up MeasureTexture."""
    import mahotas.features  # type: ignore[import-not-found]

    mahotas.features.haralick = haralick
