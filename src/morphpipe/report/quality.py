"""How good the raw fields are: which were excluded and why, and how many nuclei they hold."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from morphpipe.report import tables
from morphpipe.report.evidence import Evidence
from morphpipe.report.tables import number

MEASURES = ("focus", "contrast", "saturation", "debris")
# Beyond this share of the controls' count a caveat says that an effect may be cell count alone.
COUNT_CHANGE = 0.2

# What `morphpipe.imaging.quality.reasons` and preprocessing say of a field, in their words.
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
    """What was broken, and in which channel, of a reason as the quality table holds it."""
    for part in reason.split("; "):
        for pattern, words in _BROKEN:
            match = pattern.match(part)
            if match is not None:
                parts = match.groupdict()
                yield words.format(parts.get("limit", "")), parts.get("channel") or ""
                break


def grouped_reasons(quarantine: pd.DataFrame, looked_at: frozenset[str]) -> pd.DataFrame:
    """Fields that were excluded, counted by what was broken.

    Parameters
    ----------
    quarantine
        Columns field_id and reason.
    looked_at
        Ids of the fields whose planes could be opened; the others have none.

    Returns
    -------
    pandas.DataFrame
        Columns what, channels (text: in which, and of how many fields) and fields; most frequent
        first. A field that breaks several limits is counted at each of them.
    """
    rows = []
    for row in quarantine.itertuples():
        found = set(_faults(str(row.reason)))
        unknown = _UNREADABLE if row.field_id in looked_at else _MISSING
        rows += [(row.field_id, what, channel) for what, channel in found or {(unknown, "")}]
    frame = pd.DataFrame(rows, columns=["field_id", "what", "channel"])
    counts = []
    for what, part in frame.groupby("what", sort=False):
        named = part[part["channel"] != ""]["channel"].value_counts()
        channels = ", ".join(f"{channel} {count:,}" for channel, count in named.items())
        counts.append((what, channels, part["field_id"].nunique()))
    counted = pd.DataFrame(counts, columns=["what", "channels", "fields"])
    return counted.sort_values("fields", ascending=False, kind="stable", ignore_index=True)


def looked_at(evidence: Evidence) -> int:
    """Number of fields there are in the data, used or excluded."""
    aside = set(evidence.quarantine["field_id"])
    if evidence.quality is None:
        return len(evidence.real) + len(aside)
    # The cut squares of a field have ids of their own: fields are counted before.
    return len(aside | set(evidence.quality["field_id"]))


def aside_table(evidence: Evidence) -> tables.Table:
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
        "Excluded fields by reason; a field that breaks several limits is counted at each of them."
    )
    return tables.table(caption, ["what was broken", "channels (fields)", "fields"], rows, 1)


def quality_points(quality: pd.DataFrame, channels: tuple[str, ...]) -> pd.DataFrame:
    """Measures of single channels in long form, for the figure.

    Parameters
    ----------
    quality
        See `morphpipe.datasets.preparation.quality`.
    channels
        In the order of the manifest; others that were measured follow by name.

    Returns
    -------
    pandas.DataFrame
        Columns measure, channel, value and kept; shares (saturation, debris) in per cent. Values
        that could not be measured are left out.
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
    """Nuclei per field of the generated perturbations and the negative controls.

    Returns
    -------
    pandas.DataFrame
        Columns cell_type, perturbation, median, fields and change: the median over that of the
        negative controls of the cell type, less one (NaN without them). Of fields that were kept;
        empty where nuclei were not counted.
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
    """Median number of nuclei by perturbation and cell type; None where none were counted."""
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
        "Median number of nuclei in a field of those that were kept, and how far it is from that "
        "of the negative controls. Cell count is part of every effect that is measured on images: "
        "where it changes, features change, whatever the cells look like. Touching nuclei count "
        "as one."
    )
    return tables.table(caption, ["perturbation", *evidence.cell_types], rows,
                        len(evidence.cell_types))  # fmt: skip


def count_changes(evidence: Evidence) -> tuple[int, int]:
    """Conditions whose number of nuclei is far from the controls', and how many were counted."""
    counts = nuclei(evidence)
    treated = counts[~counts["perturbation"].isin(evidence.negative_controls)]
    known = treated["change"].dropna()
    return int((known.abs() > COUNT_CHANGE).sum()), len(known)
