"""Compare two experiments on the same split over the perturbations that both generated.

The value of a perturbation is its distance to its real images, averaged over seeds. Both sides have
the same perturbations, so the paired t-test is the one to read. MorphoDiff's table 1 names a
"two-sample t-test" without saying which; Student's and Welch's are therefore reported as well,
along with the smallest true difference that the paired test would detect
(`morphpipe.evaluation.distances.paired_tests`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.scopes import DISTRIBUTION
from morphpipe.evaluation.distances.paired_tests import ALPHA, POWER, paired_tests

FLOOR, AT_FLOOR, ALL_IMAGES = "real-real", "generated-real@floor-n", "generated-real"
DISTANCES = (
    "FID", "KID", "relative_FID", "frechet_distance", "kernel_distance",
    "relative_frechet_distance",
)  # fmt: skip
# Metrics that depend on the number of images.
_FRECHET = ("FID", "relative_FID", "frechet_distance", "relative_frechet_distance")
_KEYS = ["metric", "extractor", "view", "cell_type", "perturbation"]

COMPARISON_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("baseline", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("extractor", pa.string(), nullable=False),
        pa.field("view", pa.string(), nullable=False),
        # From the metric table: generated-real@floor-n or generated-real.
        pa.field("comparison", pa.string(), nullable=False),
        pa.field("cell_type", pa.string(), nullable=False),
        # "all", or the name of a group of perturbations.
        pa.field("group", pa.string(), nullable=False),
        pa.field("perturbations", pa.int64(), nullable=False),
        # Minimum over perturbations.
        pa.field("seeds_model", pa.int64()),
        pa.field("seeds_baseline", pa.int64()),
        pa.field("mean_model", pa.float64()),
        pa.field("mean_baseline", pa.float64()),
        # Real against real, of the same perturbations.
        pa.field("mean_floor", pa.float64()),
        # Model minus baseline: negative if the model is closer to the real images.
        pa.field("difference", pa.float64()),
        pa.field("ci_low", pa.float64()),
        pa.field("ci_high", pa.float64()),
        *(
            pa.field(f"{test}_{name}", pa.float64())
            for test in ("paired", "welch", "student")
            for name in ("t", "df", "p")
        ),
        pa.field("smallest_difference", pa.float64()),
        # Why there is no test.
        pa.field("reason", pa.string()),
        pa.field(
            "left_out", pa.list_(pa.struct({"perturbation": pa.string(), "reason": pa.string()}))
        ),
        pa.field(
            "pairs",
            pa.list_(
                pa.struct(
                    {
                        "perturbation": pa.string(),
                        "model": pa.float64(),
                        "baseline": pa.float64(),
                        "floor": pa.float64(),
                    }
                )
            ),
        ),
        # A JSON object: level, alpha and power.
        pa.field("settings", pa.string(), nullable=False),
    ]
)


def _over_seeds(table: pd.DataFrame, comparison: str) -> pd.DataFrame:
    """Mean over seeds, numbers of images and reason for a missing value, per perturbation."""
    rows = table[
        (table["comparison"] == comparison)
        & table["group"].isna()
        & table["perturbation"].notna()
        & (table["perturbation"] != "all")
    ]
    known = rows[rows["value"].notna()]
    numbers = [known[side].astype("Int64").astype("string") for side in ("n_left", "n_right")]
    means = (
        known.assign(sizes=(numbers[0] + " / " + numbers[1]).fillna("unknown"))
        .groupby(_KEYS)
        .agg(
            value=("value", "mean"),
            seeds=("value", "size"),
            sizes=("sizes", lambda found: " and ".join(sorted(set(found)))),
        )
    )
    lacking = rows[rows["value"].isna()]
    reasons = [json.loads(text).get("reason", "") for text in lacking["settings"]]
    first = lacking.assign(reason=reasons).groupby(_KEYS).agg(reason=("reason", "first"))
    return means.join(first, how="outer")


def _side_by_side(
    model: pd.DataFrame, baseline: pd.DataFrame, names: tuple[str, str], comparison: str
) -> pd.DataFrame:
    """One row per perturbation: both values, the floor, and why it cannot be compared."""
    both = _over_seeds(model, comparison).join(
        _over_seeds(baseline, comparison), how="outer", lsuffix="_model", rsuffix="_baseline"
    )
    floors = [_over_seeds(table, FLOOR)["value"] for table in (model, baseline)]
    both["floor"] = pd.concat(floors, axis=1).mean(axis=1).reindex(both.index)
    both = both.reset_index()
    # In multiples of the floor, the floor itself is one.
    both.loc[both["metric"].str.startswith("relative_"), "floor"] = 1.0
    if comparison != AT_FLOOR:
        # The floor has other numbers of images.
        both.loc[both["metric"].isin(_FRECHET), "floor"] = np.nan
    both["why"] = [_why_not(row, names) for row in both.to_dict("records")]
    return both


def _why_not(row: Mapping[Any, Any], names: tuple[str, str]) -> str:
    """Why a perturbation cannot be compared; empty if it can."""
    faults = []
    for side, name in zip(("model", "baseline"), names, strict=True):
        if pd.isna(row[f"value_{side}"]):
            reason = row[f"reason_{side}"]
            faults.append(f"{name}: {'not in its table' if pd.isna(reason) else reason}")
    sizes = row["sizes_model"], row["sizes_baseline"]
    if not faults and row["metric"] in _FRECHET and sizes[0] != sizes[1]:
        faults.append(
            f"images (generated / real): {sizes[0]} by {names[0]}, {sizes[1]} by {names[1]}, and "
            "a Fréchet distance depends on their number"
        )
    return "; ".join(faults)


def _groups(tables: list[pd.DataFrame]) -> dict[str, set[str]]:
    members: dict[str, set[str]] = {}
    for table in tables:
        rows = table[table["group"].notna()].drop_duplicates("group")
        for group, settings in zip(rows["group"], rows["settings"], strict=True):
            members.setdefault(str(group), set()).update(json.loads(settings)["perturbations"])
    inside, outside = (members.get(f"{DISTRIBUTION}: {side}", set()) for side in ("in", "out"))
    if inside & outside:
        raise DataError(
            f"The perturbation {min(inside & outside)!r} was seen in the training of one "
            "experiment and not in that of the other: only experiments on the same split can be "
            "compared."
        )
    return dict(sorted(members.items()))


def _the_only(table: pd.DataFrame, column: str, side: str) -> str:
    found = sorted(set(table[column]))
    if len(found) != 1:
        raise DataError(
            f"The metric tables of the {side} have rows of {len(found)} {column}s "
            f"({', '.join(map(str, found)) or 'none'}): give those of one."
        )
    return str(found[0])


def _chosen(found: pd.DataFrame, column: str, wanted: Sequence[str] | None) -> pd.DataFrame:
    if wanted is None:
        return found
    missing = [name for name in wanted if name not in set(found[column])]
    if missing:
        raise DataError(
            f"Neither experiment has a distance of the {column} {missing[0]!r} by perturbation; "
            f"there are {', '.join(sorted(set(found[column]))) or 'none'}."
        )
    return found[found[column].isin(wanted)]


def compare(
    model: pd.DataFrame,
    baseline: pd.DataFrame,
    *,
    comparison: str,
    metrics: Sequence[str] | None,
    encoders: Sequence[str] | None,
) -> pa.Table:
    """Compare two experiments over perturbations.

    Parameters
    ----------
    model, baseline
        Rows of the metric table with distances (`morphpipe.tables.metric_table`).
    comparison
        ``generated-real@floor-n`` (as many images as in the floor) or ``generated-real`` (all
        images).
    metrics, encoders
        The ones to compare; None for all in the tables.

    Returns
    -------
    pyarrow.Table
        Rows of `COMPARISON_SCHEMA` per metric, encoder, view and cell type, over all perturbations
        and over each group. ``left_out`` lists perturbations that cannot be compared.

    Raises
    ------
    DataError
        If a table spans several experiments, both are the same experiment or on different datasets
        or splits, or neither has a wanted metric or encoder.
    """
    names = _the_only(model, "experiment", "model"), _the_only(baseline, "experiment", "baseline")
    dataset = _the_only(model, "dataset", "model")
    if names[0] == names[1] or _the_only(baseline, "dataset", "baseline") != dataset:
        raise DataError(
            f"{names[0]} on {dataset} cannot be compared with {names[1]} on "
            f"{_the_only(baseline, 'dataset', 'baseline')}: two experiments on the same split are "
            "needed."
        )
    both = _side_by_side(model, baseline, names, comparison)
    both = both[both["metric"].isin(DISTANCES)]
    if both["cell_type"].nunique() == 2:
        # With a single cell type it would repeat "all".
        both = both[both["cell_type"] == "all"]
    both = _chosen(_chosen(both, "metric", metrics), "extractor", encoders)
    if both.empty:
        raise DataError(
            f"Neither {names[0]} nor {names[1]} has a distance {comparison} of single "
            "perturbations: nothing can be compared."
        )
    groups = _groups([model, baseline])
    notes = {"alpha": ALPHA, "level": 1 - ALPHA, "power": POWER}
    common = {
        "dataset": dataset,
        "model": names[0],
        "baseline": names[1],
        "comparison": comparison,
        "settings": json.dumps(notes, sort_keys=True),
    }
    rows = []
    for key, part in both.groupby(_KEYS[:-1], sort=False):
        scope = common | dict(zip(_KEYS[:-1], key, strict=True))
        for group, members in _parts(part, groups):
            rows.append(scope | {"group": group} | _row(members))
    return pa.Table.from_pylist(rows, schema=COMPARISON_SCHEMA)


def _parts(
    perturbations: pd.DataFrame, groups: Mapping[str, set[str]]
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", perturbations
    for name, members in groups.items():
        part = perturbations[perturbations["perturbation"].isin(members)]
        if len(part):
            yield name, part


def _row(perturbations: pd.DataFrame) -> dict[str, Any]:
    used = perturbations[perturbations["why"] == ""]
    aside = perturbations[perturbations["why"] != ""]
    model, baseline, floor = (
        used[name].to_numpy(dtype=np.float64) for name in ("value_model", "value_baseline", "floor")
    )
    row: dict[str, Any] = {
        "perturbations": len(used),
        "left_out": [
            {"perturbation": name, "reason": why}
            for name, why in zip(aside["perturbation"], aside["why"], strict=True)
        ],
        "pairs": [
            {"perturbation": name, "model": a, "baseline": b, "floor": _known(c)}
            for name, a, b, c in zip(used["perturbation"], model, baseline, floor, strict=True)
        ],
    }
    if len(used):
        row |= {
            "seeds_model": int(used["seeds_model"].min()),
            "seeds_baseline": int(used["seeds_baseline"].min()),
            "mean_model": float(model.mean()),
            "mean_baseline": float(baseline.mean()),
            "mean_floor": _known(floor.mean()),
            "difference": float((model - baseline).mean()),
        }
    return row | paired_tests(model, baseline)


def _known(value: float) -> float | None:
    """Null if the floor of a perturbation, and thus the mean, is missing."""
    return float(value) if np.isfinite(value) else None
