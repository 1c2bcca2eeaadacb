"""Per-feature differences between real and generated fields.

Effect size: Cliff's delta (Cliff, Psychological Bulletin 114, 494, 1993), the probability that a
generated field has a larger value than a real one minus that of a smaller one. It lies between -1
and 1, is independent of the feature's unit and distribution, and equals 2 U / (n m) - 1 with the
statistic U of the Mann-Whitney test, which is reported as well.

The p-values treat fields as independent. Fields of one well are not, and any true difference
becomes significant with enough images: read the effect size next to that of two halves of the real
fields.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import scipy  # its parts load when used

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.statistics import Array
from morphpipe.morphology.feature_names import parse_feature
from morphpipe.tables.schemas import DIFFERENCE_SCHEMA

# Columns at a time, to bound memory with thousands of fields and features.
_CHUNK = 256


class RankTest(NamedTuple):
    """Effect sizes and p-values of d features; NaN if a side has fewer than two values."""

    cliffs_delta: Array
    p_value: Array


def rank_test(left: npt.ArrayLike, right: npt.ArrayLike) -> RankTest:
    """Compare each column of two sets by Cliff's delta and the two-sided Mann-Whitney test.

    Parameters
    ----------
    left, right
        float [n, d] and [m, d]; NaN is ignored per feature. Delta is positive if the left values
        are larger.

    Raises
    ------
    DataError
        If the numbers of columns differ.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (left, right))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DataError(f"features of shapes {x.shape} and {y.shape} cannot be compared")
    delta, p_value = np.full(x.shape[1], np.nan), np.full(x.shape[1], np.nan)
    sizes = np.array([np.isfinite(values).sum(axis=0) for values in (x, y)])
    complete = (sizes[0] == len(x)) & (sizes[1] == len(y))
    enough = (sizes >= 2).all(axis=0)
    whole = np.flatnonzero(complete & enough)
    for start in range(0, len(whole), _CHUNK):
        chunk = whole[start : start + _CHUNK]
        delta[chunk], p_value[chunk] = _mann_whitney(x[:, chunk], y[:, chunk])
    for column in np.flatnonzero(~complete & enough):
        a, b = x[:, column], y[:, column]
        found = _mann_whitney(a[np.isfinite(a)][:, None], b[np.isfinite(b)][:, None])
        delta[column], p_value[column] = found[0][0], found[1][0]
    return RankTest(delta, p_value)


def _mann_whitney(left: Array, right: Array) -> tuple[Array, Array]:
    # If all values are equal the test has no variance: nothing differs.
    tied = (np.concatenate([left, right]) == left[0]).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = scipy.stats.mannwhitneyu(left, right, axis=0, method="asymptotic")
    delta = 2 * result.statistic / (len(left) * len(right)) - 1
    return np.where(tied, 0.0, delta), np.where(tied, 1.0, result.pvalue)


def corrected(p_values: npt.ArrayLike) -> Array:
    """Adjust p-values after Benjamini and Hochberg; NaN stays NaN and is not counted as a test."""
    p = np.asarray(p_values, dtype=np.float64)
    result = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        result[tested] = scipy.stats.false_discovery_control(p[tested], method="bh")
    return result


def feature_differences(
    real: npt.ArrayLike,
    generated: npt.ArrayLike,
    features: Sequence[str],
    channels: Iterable[str],
) -> pd.DataFrame:
    """Compare every feature between two sets of fields.

    Parameters
    ----------
    real, generated
        float [n, d] and [m, d]: profiles in CellProfiler's units, NaN for missing values.
    features
        Their d names.
    channels
        The pipeline's image names, to derive the channel of a feature.

    Returns
    -------
    pandas.DataFrame
        One row per feature with the columns of `DIFFERENCE_SCHEMA` from ``feature`` on.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (real, generated))
    test = rank_test(y, x)
    names = list(channels)
    parts = [parse_feature(feature, names) for feature in features]
    frame = pd.DataFrame(
        {
            "feature": list(features),
            "compartment": [part.compartment for part in parts],
            "family": [part.family for part in parts],
            "channel": [part.channel for part in parts],
        }
    )
    for name, values in (("real", x), ("generated", y)):
        table = pd.DataFrame(values)
        frame[f"n_{name}"] = table.notna().sum().to_numpy()
        frame[f"mean_{name}"] = table.mean().to_numpy()
        frame[f"median_{name}"] = table.median().to_numpy()
    frame["cliffs_delta"] = test.cliffs_delta
    frame["p_value"] = test.p_value
    frame["p_corrected"] = corrected(test.p_value)
    return frame


def difference_table(parts: Sequence[pd.DataFrame]) -> pa.Table:
    """Concatenate labelled `feature_differences` into `DIFFERENCE_SCHEMA`."""
    if not parts:
        return DIFFERENCE_SCHEMA.empty_table()
    tables = [
        pa.Table.from_pandas(part[DIFFERENCE_SCHEMA.names], preserve_index=False).cast(
            DIFFERENCE_SCHEMA
        )
        for part in parts
    ]
    return pa.concat_tables(tables)
