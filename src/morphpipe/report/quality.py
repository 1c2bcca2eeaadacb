"""Quality control of raw fields: exclusions with reasons, and nuclei counts."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from morphpipe.report import tables
from morphpipe.report.evidence import Evidence
from morphpipe.report.tables import number

MEASURES = ("focus", "contrast", "saturation", "debris")
# A larger relative change from the controls gives a warning that effects may be cell count alone.
COUNT_CHANGE = 0.2

# Reasons as written by `morphpipe.imaging.quality.reasons` and preprocessing.
_BROKEN = (
    (re.compile(r"(?P<channel>.+): the focus is .*\(limit (?P<limit>\S+)\)"),
     "out of focus: slope of the power spectrum below {}"),
    (re.compile(r"(?P<channel>.+): the focus cannot be measured"), "a constant plane"),
    (re.compile(r"(?P<channel>.+): the contrast is .*\(limit (?P<limit>\S+)\)"),
     "too little contrast: below {} deviations of the noise"),
    (re.compile(r"(?P<channel>.+): .* of the pixels are saturated \(limit (?P<limit>\S+) %\)"),
     "saturated: more than {} % of the pixels"),
    (re.compile(r"(?P<channel>.+): one bright object covers .*\(limit (?P<limit>\S+) %\)"),
     "debris: one bright object over more than {} % of the field"),
    (re.compile(r".* nuclei were found \(limit (?P<limit>\S+)\)"),
     "too few nuclei: fewer than {}"),
    (re.compile(r"its maximum after scaling is .*\(limit (?P<limit>\S+)\)"),
     "too dark: maximum after scaling below {}"),
)  # fmt: skip
_UNREADABLE, _MISSING = "a plane is damaged or could not be scaled", "a plane is missing"


def _faults(reason: str) -> Iterator[tuple[str, str]]:
    """Yield fault and channel of a reason from the quality table."""
    for part in reason.split("; "):
        for pattern, words in _BROKEN:
            match = pattern.match(part)
            if match is not None:
                parts = match.groupdict()
                yield words.format(parts.get("limit", "")), parts.get("channel") or ""
                break


def grouped_reasons(quarantine: pd.DataFrame, quality_checked: frozenset[str]) -> pd.DataFrame:
    """Count excluded fields by fault.

    Parameters
    ----------
    quarantine
        Columns field_id and reason.
    quality_checked
        Ids of the fields whose planes could be opened; the others have missing planes.

    Returns
    -------
    pandas.DataFrame
        Columns what, channels (text, with numbers of fields) and fields; most frequent first. A
        field beyond several limits is counted for each of them.
    """
    rows = []
    for row in quarantine.itertuples():
        found = set(_faults(str(row.reason)))
        unknown = _UNREADABLE if row.field_id in quality_checked else _MISSING
        rows += [(row.field_id, what, channel) for what, channel in found or {(unknown, "")}]
    frame = pd.DataFrame(rows, columns=["field_id", "what", "channel"])
    counts = []
    for what, part in frame.groupby("what", sort=False):
        named = part[part["channel"] != ""]["channel"].value_counts()
        channels = ", ".join(f"{channel} {count:,}" for channel, count in named.items())
        counts.append((what, channels, part["field_id"].nunique()))
    counted = pd.DataFrame(counts, columns=["what", "channels", "fields"])
    return counted.sort_values("fields", ascending=False, kind="stable", ignore_index=True)


def quality_checked(evidence: Evidence) -> int:
    """Number of fields in the data, including excluded ones."""
    excluded = set(evidence.quarantine["field_id"])
    if evidence.quality is None:
        return len(evidence.real) + len(excluded)
    # Tiles of a field have their own ids, so fields are counted before tiling.
    return len(excluded | set(evidence.quality["field_id"]))


def excluded_table(evidence: Evidence) -> tables.Table:
    """Excluded fields by reason."""
    ids = frozenset() if evidence.quality is None else frozenset(evidence.quality["field_id"])
    rows = [
        [
            tables.Cell(row.what, "long"),
            tables.Cell(row.channels or "–", "long"),
            tables.Cell(f"{row.fields:,}", "number"),
        ]
        for row in grouped_reasons(evidence.quarantine, ids).itertuples()
    ]
    caption = (
        "Excluded fields by reason; a field beyond several limits is counted for each of them."
    )
    return tables.table(caption, ["reason", "channels (fields)", "fields"], rows, 1)


def quality_points(quality: pd.DataFrame, channels: tuple[str, ...]) -> pd.DataFrame:
    """Quality measures of single channels in long form, for the figure.

    Parameters
    ----------
    quality
        See `morphpipe.datasets.preparation.quality`.
    channels
        Channels in the order of the manifest; other measured channels follow by name.

    Returns
    -------
    pandas.DataFrame
        Columns measure, channel, value and kept; saturation and debris in per cent. Missing values
        are dropped.
    """
    parts = []
    for column in quality.columns:
        measure, _, channel = column.partition("_")
        if measure not in MEASURES or not channel:
            continue
        scale = 100 if measure in ("saturation", "debris") else 1
        values = {"value": quality[column] * scale, "kept": quality["reason"].isna()}
        parts.append(pd.DataFrame(values).assign(measure=measure, channel=channel))
    columns = ["measure", "channel", "value", "kept"]
    if not parts:
        return pd.DataFrame(columns=columns)
    points = pd.concat(parts, ignore_index=True)[columns]
    points = points[np.isfinite(points["value"])]
    order = {name: i for i, name in enumerate(channels)}
    return points.sort_values(
        "channel", key=lambda names: names.map(order).fillna(len(order)), kind="stable",
        ignore_index=True,
    )  # fmt: skip


def nuclei(evidence: Evidence) -> pd.DataFrame:
    """Return nuclei per field of the generated perturbations and the negative controls.

    Returns
    -------
    pandas.DataFrame
        Columns cell_type, perturbation, median, fields and change: the relative change of the
        median from the negative controls of the cell type (NaN without controls). Only kept fields;
        empty if nuclei were not counted.
    """
    columns = ["cell_type", "perturbation", "median", "fields", "change"]
    table = evidence.quality
    if table is None or "nuclei" not in table:
        return pd.DataFrame(columns=columns)
    controls = evidence.negative_controls
    wanted = set(evidence.perturbations) | controls
    kept = table[
        table["reason"].isna() & table["nuclei"].notna() & table["perturbation"].isin(wanted)
        & table["cell_type"].isin(evidence.cell_types)
    ]  # fmt: skip
    untreated = kept[kept["perturbation"].isin(controls)].groupby("cell_type")["nuclei"].median()
    rows = []
    for (cell_type, perturbation), part in kept.groupby(["cell_type", "perturbation"]):
        median = float(part["nuclei"].median())
        base = float(untreated.get(cell_type, np.nan))
        change = median / base - 1 if base > 0 else np.nan
        rows.append((cell_type, perturbation, median, len(part), change))
    return pd.DataFrame(rows, columns=columns)


def nuclei_table(evidence: Evidence) -> tables.Table | None:
    """Median number of nuclei by perturbation and cell type; None without counts."""
    counts = nuclei(evidence)
    if counts.empty:
        return None
    controls = sorted(evidence.negative_controls & set(counts["perturbation"]))
    farthest = counts.groupby("perturbation")["change"].agg(lambda c: c.abs().max())
    others = [p for p in evidence.perturbations if p in farthest.index and p not in controls]
    if len(others) > tables.MOST_ROWS:
        others.sort(key=lambda name: -farthest[name] if np.isfinite(farthest[name]) else 0.0)
    rows: list[list[tables.Cell | str]] = []
    for perturbation in [*controls, *others]:
        cells: list[tables.Cell | str] = [perturbation]
        for cell_type in evidence.cell_types:
            here = counts[
                (counts["cell_type"] == cell_type) & (counts["perturbation"] == perturbation)
            ]
            if here.empty:
                cells.append(tables.Cell("–", "number"))
                continue
            found = here.iloc[0]
            fields = int(found["fields"])
            note = f"{fields:,} field" + ("" if fields == 1 else "s")
            if perturbation in controls:
                note += ", negative control"
            elif np.isfinite(found["change"]):
                note = f"{found['change']:+.0%}; {note}"
            cells.append(tables.Cell(number(found["median"]), "number", note))
        rows.append(cells)
    caption = (
        "Median number of nuclei per kept field, and its change from the negative controls. Cell "
        "count contributes to every effect measured on images: if it changes, features change, "
        "whatever the cells look like. Touching nuclei count as one."
    )
    return tables.table(caption, ["perturbation", *evidence.cell_types], rows,
                        len(evidence.cell_types))  # fmt: skip


def count_changes(evidence: Evidence) -> tuple[int, int]:
    """Number of conditions with a changed nuclei count, and of all counted conditions."""
    counts = nuclei(evidence)
    treated = counts[~counts["perturbation"].isin(evidence.negative_controls)]
    known = treated["change"].dropna()
    return int((known.abs() > COUNT_CHANGE).sum()), len(known)
