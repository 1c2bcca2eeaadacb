"""Validation of feature arrays, shared by all measures."""

from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError

Array = npt.NDArray[np.float64]


# Rows checked at a time, to bound the memory of a check.
_BLOCK = 16_384


def checked(features: npt.ArrayLike, name: str, *, minimum: int = 1) -> Array:
    """Return features as float64 [n, d].

    Raises
    ------
    DataError
        Unless they are a 2-D array of finite numbers with at least `minimum` rows.
    """
    check_features(features, name, minimum=minimum)
    return np.asarray(features).astype(np.float64)


def check_features(features: npt.ArrayLike, name: str, *, minimum: int = 1) -> None:
    """Check features as `checked` does, without copying them."""
    array: npt.NDArray[Any] = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(
            f"the {name} features must be an array [n, d], but have shape {array.shape}"
        )
    if array.dtype.kind not in "fiu":
        raise DataError(f"the {name} features must be real numbers, but are of type {array.dtype}")
    if len(array) < minimum:
        raise DataError(
            f"the {name} features have {len(array)} rows, but at least {minimum} are needed"
        )
    finite = finite_rows(array)
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise DataError(
            f"the {name} features hold NaN or infinity in {len(rows)} of {len(array)} rows, "
            f"first in row {rows[0]}; check the image in this row"
        )


def finite_rows(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Find the rows of an array [n, d] that are all finite: bool [n]."""
    blocks = [array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK)]
    return np.concatenate([np.ones(0, bool), *(np.isfinite(b).all(axis=1) for b in blocks)])


def check_pair(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("first", "second"),
    minimum: int = 1,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return two feature arrays [n, d] and [m, d] unchanged, or raise DataError."""
    x, y = np.asarray(left), np.asarray(right)
    check_features(x, names[0], minimum=minimum)
    check_features(y, names[1], minimum=minimum)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"the {names[0]} features have {x.shape[1]} columns and the {names[1]} ones "
            f"{y.shape[1]}; both must come from the same encoder and view"
        )
    return x, y


def checked_pair(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("first", "second"),
    minimum: int = 1,
) -> tuple[Array, Array]:
    """Return two feature arrays as float64 [n, d] and [m, d], or raise DataError."""
    x, y = check_pair(left, right, names=names, minimum=minimum)
    return x.astype(np.float64), y.astype(np.float64)
