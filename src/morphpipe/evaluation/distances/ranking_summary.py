"""Summary statistics of cohort ranks, with the level of chance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.statistics import Interval, bootstrap_interval, wilson_interval

_KEYS = ["experiment", "metric", "extractor", "view"]
TOP = (1, 5)


def ranking_summary(
    ranking: pd.DataFrame, *, replicates: int = 1000, seed: int = 2020, level: float = 0.95
) -> pd.DataFrame:
    """Summarise the rank of the own cohort: mean, median, and how often it is in the top 1 or 5.

    Parameters
    ----------
    ranking
        Rows of `morphpipe.evaluation.distances.ranking.RANKING_SCHEMA`.
    replicates, seed
        Settings of the bootstrap over perturbations.

    Returns
    -------
    pandas.DataFrame
        One row per experiment, metric, encoder, view, cell type (``all`` first, then each if there
        are several) and ``statistic``: mean_rank, median_rank, top1, top5. Columns ``value``,
        ``ci_low``, ``ci_high`` and ``chance``; the numbers of ranked ``perturbations`` and of those
        ``without_rank``; the mean number of ``cohorts``. A perturbation counts once, as the mean
        over its seeds and cell types. Intervals of proportions are Wilson's, since a bootstrap of a
        proportion of 0 or 1 has no width.
    """
    rows = []
    for key, part in ranking.groupby(_KEYS, sort=False):
        types = sorted(set(part["cell_type"]))
        for cell_type in ["all", *(types if len(types) > 1 else [])]:
            here = part if cell_type == "all" else part[part["cell_type"] == cell_type]
            known = dict(zip(_KEYS, key, strict=True)) | {"cell_type": cell_type}
            rows += [known | dict(row) for row in _statistics(here, replicates, seed, level)]
    return pd.DataFrame(rows)


def _statistics(
    ranking: pd.DataFrame, replicates: int, seed: int, level: float
) -> list[Mapping[str, Any]]:
    ranked = ranking[ranking["rank"].notna()]
    shares = {f"top{k}": (ranked["rank"] <= k).astype(float) for k in TOP}
    # By chance every rank from 1 to the number of cohorts is equally likely.
    chances = {f"chance{k}": np.minimum(k / ranked["cohorts"], 1) for k in TOP}
    by_perturbation = (
        ranked.assign(**shares, **chances)
        .groupby("perturbation")[["rank", "expected_rank", "cohorts", *shares, *chances]]
        .mean()
    )
    number = len(by_perturbation)
    common = {
        "perturbations": number,
        "without_rank": ranking["perturbation"].nunique() - number,
        "cohorts": by_perturbation["cohorts"].mean(),
    }
    ranks, expected = by_perturbation["rank"].to_numpy(float), by_perturbation["expected_rank"]
    found = []
    for statistic, function in (("mean_rank", np.mean), ("median_rank", np.median)):
        interval = Interval(np.nan, np.nan)
        if number > 1:
            interval = bootstrap_interval(
                function, [ranks], [None], replicates=replicates, seed=seed, level=level
            )
        value = float(function(ranks)) if number else np.nan
        found.append((statistic, value, interval, expected.mean()))
    for k in TOP:
        share = by_perturbation[f"top{k}"].to_numpy(float)
        interval = wilson_interval(share, level=level) if number else Interval(np.nan, np.nan)
        value = float(share.mean()) if number else np.nan
        found.append((f"top{k}", value, interval, by_perturbation[f"chance{k}"].mean()))
    return [
        common
        | {
            "statistic": statistic,
            "value": value,
            "ci_low": interval.low,
            "ci_high": interval.high,
            "chance": chance,
        }
        for statistic, value, interval, chance in found
    ]
