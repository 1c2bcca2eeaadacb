"""Values of a run with intervals, read from metric tables for the papers' items.

There are two intervals: that of the metric tables is over wells and images within a pair of seeds;
the papers' ± is a 95 % t-interval over seeds. Means over perturbations have intervals computed from
those of the perturbations by MOVER (Zou and Donner, Statistics in Medicine 27, 2008), which
preserves skewness. Real images of two perturbations are from different wells, so errors are
independent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.seed_interval import Seeds, seed_interval
from morphpipe.evaluation.core.summary import IDENTITY, over_seeds


@dataclass(frozen=True)
class Estimate:
    """A value of this run.

    Attributes
    ----------
    value
        Mean over seeds; None if missing.
    low, high
        95 % interval over wells and images within seeds; None if missing. A one-sided interval has
        only `low`.
    by_seed
        Value of every pair of seeds.
    n_left, n_right
        Smallest number of images on each side of the comparisons.
    parts
        Number of averaged values (perturbations).
    reason
        Reason for missing values.
    settings
        Settings of the first row of the metric table.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    by_seed: Mapping[Seeds, float] = field(default_factory=dict)
    n_left: int | None = None
    n_right: int | None = None
    parts: int = 1
    reason: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def over_seeds(self) -> tuple[float, float] | None:
        """The interval over seeds (the papers' ±); None with fewer than two."""
        return seed_interval(self.by_seed)


def absent(reason: str) -> Estimate:
    """Return an estimate without a value."""
    return Estimate(reason=reason)


def mover(
    estimates: Sequence[Estimate], weights: Sequence[float]
) -> tuple[float | None, float | None]:
    """Return confidence limits of a weighted sum of independent estimates.

    Parameters
    ----------
    estimates
        With values.
    weights
        One each; a negative weight swaps its limits.

    Returns
    -------
    tuple
        Low and high; None if a required limit is missing.
    """
    total = sum(w * (e.value or 0.0) for e, w in zip(estimates, weights, strict=True))
    squares: list[float | None] = [0.0, 0.0]
    for estimate, weight in zip(estimates, weights, strict=True):
        limits = [estimate.low, estimate.high]
        for side in (0, 1):
            limit = limits[side if weight >= 0 else 1 - side]
            before = squares[side]
            if limit is None or before is None:
                squares[side] = None
            else:
                squares[side] = before + (weight * (limit - (estimate.value or 0.0))) ** 2
    low, high = (None if square is None else float(np.sqrt(square)) for square in squares)
    return (
        None if low is None else total - low,
        None if high is None else total + high,
    )


def mean_of(estimates: Iterable[Estimate]) -> Estimate:
    """Return the mean of estimates; missing ones are excluded and counted in the reason."""
    parts = list(estimates)
    known = [part for part in parts if part.value is not None]
    lacking = [part for part in parts if part.value is None]
    reasons = sorted({part.reason for part in lacking if part.reason})
    reason = ""
    if lacking:
        reason = f"{len(lacking)} of {len(parts)} have no value"
        reason += f": {reasons[0]}" if reasons else ""
    if not known:
        return absent(reason or "there is nothing to average")
    weights = [1 / len(known)] * len(known)
    low, high = mover(known, weights)
    seeds = set.intersection(*(set(part.by_seed) for part in known))
    ordered = sorted(seeds, key=str)
    return Estimate(
        value=float(np.mean([part.value for part in known])),
        low=low,
        high=high,
        by_seed={s: float(np.mean([part.by_seed[s] for part in known])) for s in ordered},
        n_left=_fewest(part.n_left for part in known),
        n_right=_fewest(part.n_right for part in known),
        parts=len(known),
        reason=reason,
        settings=known[0].settings,
    )


def difference(left: Estimate, right: Estimate) -> Estimate:
    """Return the difference of two independent estimates."""
    if left.value is None or right.value is None:
        return absent(left.reason or right.reason)
    low, high = mover([left, right], [1.0, -1.0])
    return Estimate(left.value - right.value, low, high)


def _fewest(numbers: Iterable[int | None]) -> int | None:
    return min((n for n in numbers if n is not None), default=None)


class Metrics:
    """The metric tables of one experiment.

    Parameters
    ----------
    tables
        By name (`distances`, `effects`, …): see `evaluation.core.summary.read_metrics`.
    """

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self.tables = dict(tables)
        self._rows: dict[str, dict[tuple[str, ...], np.ndarray]] = {}
        self._summaries: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {}

    def _index(self, table: str) -> dict[tuple[str, ...], np.ndarray]:
        """Positions of the rows by `IDENTITY`; each has a summary."""
        if table not in self._rows:
            frame = self.tables[table]
            twice = frame.duplicated([*IDENTITY, "training_seed", "sampling_seed"])
            if twice.any():
                row = frame.loc[twice, IDENTITY].iloc[0]
                raise DataError(
                    f"The table {table} contains more than one value for "
                    f"{', '.join(f'{k} {v}' for k, v in row.items() if v)} and one pair of seeds."
                )
            self._rows[table] = dict(frame.groupby(IDENTITY, sort=False).indices)
            summary = over_seeds(frame)
            keys = summary[IDENTITY].itertuples(index=False, name=None)
            self._summaries[table] = dict(zip(keys, summary.to_dict("records"), strict=True))
        return self._rows[table]

    def values(self, table: str, column: str, **columns: str) -> list[str]:
        """The values of a column of identity among rows with these others, sorted."""
        if table not in self.tables:
            return []
        places = {name: IDENTITY.index(name) for name in (column, *columns)}
        return sorted(
            {
                key[places[column]]
                for key in self._index(table)
                if all(key[places[name]] == value for name, value in columns.items())
            }
            - {""}
        )

    def number(self, table: str, **columns: str) -> Estimate:
        """Return the estimate that these columns select, over seeds.

        Parameters
        ----------
        table
            Name of the metric table.
        **columns
            Values of columns of `IDENTITY`; others must be empty.

        Raises
        ------
        DataError
            If more than one row of a pair of seeds matches.
        """
        if table not in self.tables:
            return absent(f"this run does not measure {table}")
        key = tuple(columns.get(name, "") for name in IDENTITY)
        positions = self._index(table).get(key)
        if positions is None:
            return absent(f"the table {table} has no such value")
        return _estimate(self._summaries[table][key], self.tables[table].iloc[positions])


def _estimate(row: Mapping[str, Any], rows: pd.DataFrame) -> Estimate:
    """The number of a row of `over_seeds`, with the values of every seed."""
    known = rows[rows["value"].notna()]
    settings = (known if len(known) else rows)["notes"].iloc[0]
    if not len(known):
        return Estimate(reason=row["reason"], settings=settings)
    seeds = known[["training_seed", "sampling_seed", "value"]].itertuples(index=False)
    return Estimate(
        value=float(row["value"]),
        low=None if pd.isna(row["ci_low"]) else float(row["ci_low"]),
        high=None if pd.isna(row["ci_high"]) else float(row["ci_high"]),
        by_seed={(_whole(t), _whole(s)): float(value) for t, s, value in seeds},
        n_left=_whole(row["n_left"]),
        n_right=_whole(row["n_right"]),
        reason=row["reason"],
        settings=settings,
    )


def _whole(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)
