"""Generators of the same data beside each other: pictures, measures, conditions and costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures.pictures import (
    Tile,
    display_windows,
    sample_rows,
    shown_as_trained,
)
from morphpipe.report.measures import headline_row
from morphpipe.report.results import (
    COPY,
    FLOOR,
    FRECHET,
    GENERATED,
    GENERATED_AT_FLOOR,
    KERNEL,
    select,
)
from morphpipe.report.run_times import duration, known_cell, measured_seconds
from morphpipe.report.section import Section
from morphpipe.report.tables import Cell, Table, count, number, table, value_cell
from morphpipe.transport.times import evaluations

UNTREATED = "untreated-real"
PICTURES = 8
"""Images of each generator and condition."""
_MADE = (GENERATED_AT_FLOOR, GENERATED, "generated-training")
# What every generator is held against: head of the column, and the comparisons that it has.
_BESIDE = (
    ("real against real", (FLOOR, "real-training")),
    ("training images replayed", (COPY, "copy-training")),
    ("untreated cells", (UNTREATED,)),
)
# Row, metric table (none: distances) and metrics.
_MEASURES = (
    ("Fréchet distance ↓", "", FRECHET),
    ("kernel distance ↓", "", KERNEL),
    ("precision ↑", "manifold", ("precision",)),
    ("recall ↑", "manifold", ("recall",)),
    ("coverage ↑", "manifold", ("coverage",)),
    ("energy distance to the own condition ↓", "condition_fidelity", ("energy_distance",)),
    ("percentile of the own condition ↓", "condition_fidelity", ("own_rank_percentile",)),
    ("share that looks like copies ↓", "memorisation", ("memorised_share",)),
)


@dataclass(frozen=True)
class PictureRow:
    """One source of images under one condition."""

    source: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class SideBySide:
    """Experiments on one split that are judged by one encoder.

    Attributes
    ----------
    split, encoder
        What they share.
    names
        The experiments.
    statements
        What follows from the tables.
    pictures
        By condition: the real images, then those of every generator.
    tables
        Measures, single conditions, costs.
    """

    split: str
    encoder: str
    names: list[str]
    statements: list[str]
    pictures: dict[tuple[str, str], list[PictureRow]]
    tables: list[Table]


def side_by_side(sections: Sequence[Section], benchmarks: Path | None) -> list[SideBySide]:
    """Put experiments beside each other that have a split, an encoder and a view in common.

    Parameters
    ----------
    sections
        Of all experiments.
    benchmarks
        Folder of what Snakemake measured of its jobs; None where there is none.

    Returns
    -------
    list of SideBySide
        One for every two or more such experiments.
    """
    groups: dict[tuple[str, str, str], list[Section]] = {}
    for section in sections:
        key = section.evidence.experiment.split, section.encoder, section.view
        groups.setdefault(key, []).append(section)
    return [
        _together(split, encoder, view, found, benchmarks)
        for (split, encoder, view), found in groups.items()
        if len(found) > 1 and encoder
    ]


def _together(
    split: str, encoder: str, view: str, sections: list[Section], benchmarks: Path | None
) -> SideBySide:
    every = [section.evidence for section in sections]
    where = {"extractor": encoder, "view": view}
    conditions = _conditions(every, where)
    tables = [
        _measures_table(every, where),
        *([_conditions_table(conditions, every)] if len(conditions) else []),
        _costs_table(every, benchmarks),
    ]
    return SideBySide(
        split=split,
        encoder=encoder,
        names=[evidence.name for evidence in every],
        statements=[*_statements(conditions, every, where), *_wells(every[0])],
        pictures=_pictures(every),
        tables=[replace(t, name=f"side-by-side-{split}-{i}") for i, t in enumerate(tables, 1)],
    )


def _pictures(every: Sequence[Evidence]) -> dict[tuple[str, str], list[PictureRow]]:
    """The same number of images from each, in the colours of one of them."""
    lead = next((e for e in every if not shown_as_trained(e)), every[0])
    windows = display_windows(lead)
    found: dict[tuple[str, str], list[PictureRow]] = {}
    for evidence in every:
        for row in sample_rows(evidence, windows, PICTURES, like=lead):
            condition = row.cell_type, row.perturbation
            rows = found.setdefault(condition, [PictureRow("real, held out", row.real)])
            rows.append(PictureRow(evidence.name, row.generated))
    return found


def _row(
    evidence: Evidence,
    measure: str,
    metrics: Sequence[str],
    comparisons: Sequence[str],
    where: dict[str, str],
) -> pd.Series | None:
    if measure:
        for metric in metrics:
            found = headline_row(evidence, measure, metric, comparisons, **where)
            if found is not None:
                return found
        return None
    rows = select(evidence.metrics, metric=metrics, cell_type="all", perturbation="all", **where)
    rows = over_seeds(rows[rows["group"] == "all"] if "all" in set(rows["group"]) else rows)
    for comparison in comparisons:
        of_comparison = rows[rows["comparison"] == comparison]
        if len(of_comparison):
            return of_comparison.iloc[0]
    return None


def _measures_table(every: Sequence[Evidence], where: dict[str, str]) -> Table:
    rows = []
    for name, measure, metrics in _MEASURES:
        beside = [
            _of_any(every, measure, metrics, comparisons, where) for _, comparisons in _BESIDE
        ]
        made = [_row(evidence, measure, metrics, _MADE, where) for evidence in every]
        if all(row is None for row in made):
            continue
        shown = [Cell("–", "number") if row is None else value_cell(row) for row in beside]
        rows.append([Cell(name, "long"), *shown, *(value_cell(row) for row in made)])
    caption = (
        "Every generator on the same held-out images, with what it is held against. Arrows say "
        "which way is better. Intervals of distances are over the units of the real images, those "
        "of the own condition over conditions."
    )
    heads = ["", *(head for head, _ in _BESIDE), *(evidence.name for evidence in every)]
    return table(caption, heads, rows, len(heads) - 1)


def _of_any(
    every: Sequence[Evidence],
    measure: str,
    metrics: Sequence[str],
    comparisons: Sequence[str],
    where: dict[str, str],
) -> pd.Series | None:
    """What is said of real images is the same for all: the first that there is."""
    found = (_row(evidence, measure, metrics, comparisons, where) for evidence in every)
    return next((row for row in found if row is not None), None)


def _conditions(every: Sequence[Evidence], where: dict[str, str]) -> pd.DataFrame:
    """Energy distances to single conditions: a row per condition, a column per source."""
    found: dict[str, pd.Series] = {}
    for evidence in every:
        frame = evidence.measures.get("condition_fidelity")
        if frame is None or frame.empty:
            continue
        rows = over_seeds(select(frame, metric="energy_distance", **where))
        rows = rows[(rows["perturbation"] != "all") & rows["value"].notna()]
        index = ["cell_type", "perturbation"]
        for comparison in (FLOOR, COPY, UNTREATED):
            if comparison not in found:
                one = rows[rows["comparison"] == comparison].set_index(index)["value"]
                if len(one):
                    found[comparison] = one
        found[evidence.name] = rows[rows["comparison"] == GENERATED].set_index(index)["value"]
    return pd.DataFrame(found)


def _conditions_table(conditions: pd.DataFrame, every: Sequence[Evidence]) -> Table:
    beside = [(head, names[0]) for head, names in _BESIDE if names[0] in conditions]
    untreated = conditions.get(UNTREATED, pd.Series(np.nan, index=conditions.index))
    rows = []
    for place, values in conditions.iterrows():
        cell_type, perturbation = place
        shown: list[Cell | str] = [cell_type, perturbation]
        shown += [Cell(number(values[c]), "number", value=float(values[c])) for _, c in beside]
        for evidence in every:
            value = float(values.get(evidence.name, np.nan))
            further = value > untreated[place]
            note = "further than untreated cells" if further else ""
            shown.append(Cell(number(value), "fault" if further else "number", note, value))
        rows.append(shown)
    caption = (
        "Energy distance to the real held-out images of each condition, in features of the "
        "encoder; 0 for images of the same distribution. Untreated cells are the real held-out "
        "controls: a generator that is further from the treated cells than these are (red) would "
        "better have drawn no effect at all."
    )
    heads = ["cell type", "condition", *(head for head, _ in beside), *(e.name for e in every)]
    return table(caption, heads, rows, len(heads) - 2)


def _costs_table(every: Sequence[Evidence], benchmarks: Path | None) -> Table:
    rows: list[list[Cell | str]] = []
    for evidence in every:
        experiment, training = evidence.experiment, evidence.experiment.training
        trained = measured_seconds(benchmarks, "train", experiment.trained_by or evidence.name)
        sampled = measured_seconds(benchmarks, "sample", evidence.name)
        images = len(evidence.generated_keys)
        seen = training.steps * training.batch_size * len(training.seeds)
        sizes = [r.parameters for r in evidence.trainings if r.parameters is not None]
        size = float(max(sizes, default=np.nan))
        passes = evaluations(experiment.sampling, experiment.generator.path)
        rows.append(
            [
                evidence.name,
                experiment.generator.architecture,
                known_cell(size, count(size)),
                Cell(count(seen), "number", value=seen),
                known_cell(trained, duration(trained)),
                Cell(count(passes), "number", value=passes),
                known_cell(images / sampled, number(images / sampled)),
            ]
        )
    caption = (
        "What each took on this machine, beside whatever else ran. Times are of whole jobs, with "
        "loading and decoding, without what an interrupted job did before. Parameters are of all "
        "networks that are trained, whether or not they are needed to generate."
    )
    heads = ["", "network", "parameters", "images seen in training", "time to train",
             "evaluations an image", "images a second"]  # fmt: skip
    return table(caption, heads, rows, 5)


def _statements(
    conditions: pd.DataFrame, every: Sequence[Evidence], where: dict[str, str]
) -> list[str]:
    """Which generator is best by realism, which by its condition, and which beat no treatment."""
    names = [evidence.name for evidence in every]
    said = []
    distances = {e.name: _value(_row(e, "", FRECHET, _MADE, where)) for e in every}
    fidelity = {
        e.name: _value(_row(e, "condition_fidelity", ("energy_distance",), (GENERATED,), where))
        for e in every
    }
    for found, what in (
        (distances, "Fréchet distance, which does not see whether the condition was followed"),
        (fidelity, "energy distance to the own condition"),
    ):
        known = {name: value for name, value in found.items() if np.isfinite(value)}
        if known:
            best = min(known, key=lambda name: known[name])
            order = ", ".join(f"{n} {number(v)}" for n, v in sorted(known.items(), key=_second))
            said.append(f"By the {what}, {best} is best: {order}.")
    if UNTREATED not in conditions:
        return said
    treated = conditions[conditions[UNTREATED].notna()]
    by_number: dict[str, list[str]] = {}
    for name in [name for name in names if name in treated]:
        both = treated[treated[name].notna()]
        closer = int((both[name] < both[UNTREATED]).sum())
        by_number.setdefault(f"{closer} of {len(both)}", []).append(name)
    said += [
        f"Closer to the treated cells than untreated cells are, for {share} treatments: "
        f"{', '.join(found)}."
        for share, found in by_number.items()
    ]
    return said


def _value(row: pd.Series | None) -> float:
    return float("nan") if row is None else float(row["value"])


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def _wells(evidence: Evidence) -> list[str]:
    """What the number of held-out wells allows to conclude."""
    keys = evidence.test_fields.keys()
    places = ["batch", "plate", "well"]
    wells = keys.drop_duplicates([*places, "perturbation"]).groupby("perturbation").size()
    if wells.empty or wells.min() > 1:
        return []
    return [
        f"{int((wells == 1).sum())} of {len(wells)} conditions have one held-out well each. How "
        "much wells of one condition differ is then unknown, so for a single condition no "
        "interval is given: a difference as small as that between two wells cannot be told from "
        "none. What the training images of the condition get, of other wells, is the only hint at "
        "its size."
    ]
