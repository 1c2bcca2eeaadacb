"""Summaries of metric tables over seeds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from morphpipe.evaluation.core.seed_interval import Seeds, mean_limits, seed_interval
from morphpipe.tables.metric_table import read_metric_table

IDENTITY = [
    "metric", "extractor", "view", "comparison", "regime", "task", "cell_type", "perturbation",
    "group", "variant",
]  # fmt: skip
# Settings that distinguish rows with equal columns; "none" is the default.
_VARIANTS = ("correction", "other")


def read_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """Read and concatenate metric tables, see `prepare`.

    Raises
    ------
    DataError
        If a file does not have the columns of a metric table.
    """
    parts = [read_metric_table(path).to_pandas() for path in paths]
    return prepare(pd.concat(parts, ignore_index=True))


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that metric tables are summarised by.

    `notes` holds the settings as a dictionary, `reason` their reason for a null value, `variant`
    what else distinguishes rows (a correction, another perturbation). Columns of `IDENTITY` that do
    not apply are empty.
    """
    frame = frame.copy()
    # Many rows share few distinct settings.
    settings = {text: json.loads(text) for text in frame["settings"].unique()}
    frame["notes"] = [settings[text] for text in frame["settings"]]
    frame["reason"] = [notes.get("reason", "") for notes in frame["notes"]]
    frame["variant"] = [
        ", ".join(str(notes[key]) for key in _VARIANTS if notes.get(key) not in (None, "none"))
        for notes in frame["notes"]
    ]
    for column in IDENTITY:
        frame[column] = frame[column].astype(object).where(frame[column].notna(), "")
    return frame


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Aggregate rows that differ only in their seeds.

    Returns
    -------
    pandas.DataFrame
        The mean `value` of the seeds that have one, its interval (`ci_low`, `ci_high`, see
        `morphpipe.evaluation.core.seed_interval.mean_limits`), the fewest images (`n_left`,
        `n_right`), the number of `seeds` and the interval over them (`seeds_low`, `seeds_high`),
        the mean `chance` (or `expected_share`) from the settings, and the `reason` of missing
        values.
    """
    columns = [*IDENTITY, "value", "ci_low", "ci_high", "n_left", "n_right"]
    columns += ["seeds", "seeds_low", "seeds_high", "chance", "reason"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    known = frame["value"].notna()
    chances = [notes.get("chance", notes.get("expected_share")) for notes in frame["notes"]]
    some = known.groupby([frame[name] for name in IDENTITY]).transform("any")
    work = frame[[*IDENTITY, "value"]].assign(
        n_left=frame["n_left"].where(known | ~some),
        n_right=frame["n_right"].where(known | ~some),
        chance=pd.Series(chances, index=frame.index, dtype=float).where(known),
        without=~known,
    )
    summary = work.groupby(IDENTITY, sort=False, as_index=False).agg(
        value=("value", "mean"), n_left=("n_left", "min"), n_right=("n_right", "min"),
        seeds=("without", "size"), chance=("chance", "mean"), without=("without", "sum"),
    )  # fmt: skip
    limits = mean_limits(frame[known], IDENTITY)
    summary = summary.merge(limits, left_on=IDENTITY, right_index=True, how="left")
    summary = summary.merge(_seed_intervals(frame[known]), on=IDENTITY, how="left")
    return _with_reasons(summary, frame)[columns]


def _seed_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    values: dict[tuple[Any, ...], dict[Seeds, float]] = {}
    seeds = frame[["training_seed", "sampling_seed"]].astype(object)
    pairs = seeds.where(seeds.notna(), None).itertuples(index=False, name=None)
    of = frame[IDENTITY].itertuples(index=False, name=None)
    for identity, pair, value in zip(of, pairs, frame["value"], strict=True):
        values.setdefault(identity, {})[pair] = value
    rows = [
        (*identity, *interval)
        for identity, by_seed in values.items()
        if len(by_seed) > 1 and (interval := seed_interval(by_seed)) is not None
    ]
    ends = ["seeds_low", "seeds_high"]
    return pd.DataFrame(rows, columns=[*IDENTITY, *ends]).astype(dict.fromkeys(ends, float))


def _with_reasons(summary: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    given = frame[frame["reason"] != ""]
    reasons: dict[tuple[Any, ...], set[str]] = {}
    of = given[IDENTITY].itertuples(index=False, name=None)
    for identity, reason in zip(of, given["reason"], strict=True):
        reasons.setdefault(identity, set()).add(reason)
    rows = [(*identity, "; ".join(sorted(texts))) for identity, texts in reasons.items()]
    by_identity = pd.DataFrame(rows, columns=[*IDENTITY, "reason"]).astype(object)
    joined = summary.merge(by_identity, on=IDENTITY, how="left")
    partly = joined["reason"].notna() & (joined["without"] < joined["seeds"])
    counts = joined["without"].astype(str) + " of " + joined["seeds"].astype(str)
    partly_said = counts + " seeds have no value: " + joined["reason"].fillna("")
    return joined.assign(reason=joined["reason"].fillna("").mask(partly, partly_said))
