"""What CellProfiler says of an experiment: outlines, numbers, figures and tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.morphology.tables import FAILED, common_source, read_image_measurements
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures import plots
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.morphology import figure_correlations, figure_families
from morphpipe.report.figures.outlines import outline_tiles
from morphpipe.report.figures.pictures import Tile
from morphpipe.report.inputs import MorphologyFiles
from morphpipe.report.results import over_seeds, read_metrics, select, single
from morphpipe.report.tables import Cell, Table, number, table, value_cell
from morphpipe.tables.schemas import (
    CORRELATION_SCHEMA,
    DIFFERENCE_SCHEMA,
    MATCHED,
    SCORE_SCHEMA,
    SCORES_KEY,
)

# Romano et al. (2006) call a Cliff's delta of 0.33 medium and of 0.474 large.
LARGE = 0.474
_MOST_FEATURES = 25


@dataclass(frozen=True)
class MorphologySection:
    """What the page shows of morphology; tables that few will open are `details`."""

    pipeline: str
    recipe: str
    summary: pd.DataFrame
    statements: list[str]
    real: list[Tile]
    generated: list[Tile]
    plots: list[Plot]
    tables: list[Table]
    details: list[tuple[str, Table]] = field(default_factory=list)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    found = read_parquet(path, own=True)
    if set(found.schema.names) != set(columns):
        raise DataError(f"{path} is not the table it should be: let the workflow make it again.")
    return found.to_pandas()


@dataclass(frozen=True)
class _Measured:
    """How many fields were measured, and which failed: by side."""

    fields: dict[str, int]
    failed: pd.DataFrame
    pipeline: str


def _measured(files: MorphologyFiles) -> _Measured:
    fields, failed = {}, []
    for side, paths in (("real", files.real_images), ("generated", files.generated_images)):
        images = read_image_measurements(list(paths))
        fields[side] = len(images)
        broken = images.loc[images["status"] == FAILED, ["field_id", "reason"]]
        failed.append(broken.assign(side=side))
    source = common_source([*files.real_images, *files.generated_images])
    text = f"{source.pipeline}, CellProfiler {source.cellprofiler}"
    return _Measured(fields, pd.concat(failed, ignore_index=True), text)


# Rows of the table of numbers: what is said, then the metric, and comparisons (upper bound or
# floor, generated, control) with their regime or task where it has one.
_ROWS: tuple[tuple[str, str, dict[str, str], dict[str, str]], ...] = (
    (
        "Correlation of mean profiles, by condition (1 is alike)",
        "profile_correlation",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
    (
        "… of generated fields of other perturbations",
        "profile_correlation",
        {},
        {"comparison": "shuffled-real"},
    ),
    (
        "Agreement of the correlations of ten features (1 is alike)",
        "feature_correlation_agreement",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
    (
        "… their root mean square difference (0 is alike)",
        "feature_correlation_rms",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
    (
        "Linear classification of perturbations, trained as said, tested on real fields: accuracy",
        "accuracy",
        {"regime": "real-real"},
        {"regime": "generated-real"},
    ),
    (
        "… macro F1",
        "macro_f1",
        {"regime": "real-real"},
        {"regime": "generated-real"},
    ),
    (
        "… generated fields tested on generated ones: accuracy",
        "accuracy",
        {},
        {"regime": "generated-generated"},
    ),
    (
        "Clusters against perturbations (adjusted Rand index; 0 is chance)",
        "cluster_adjusted_rand",
        {"comparison": "real", "task": "perturbation"},
        {"comparison": "generated", "task": "perturbation"},
    ),
    (
        "… generated fields in the clusters of real ones",
        "cluster_adjusted_rand",
        {},
        {"comparison": "generated-real", "task": "perturbation"},
    ),
    (
        "Clusters against mechanisms (adjusted Rand index)",
        "cluster_adjusted_rand",
        {"comparison": "real", "task": "mechanism"},
        {"comparison": "generated", "task": "mechanism"},
    ),
    (
        "… normalised mutual information with perturbations (chance is above 0)",
        "cluster_mutual_information",
        {"comparison": "real", "task": "perturbation"},
        {"comparison": "generated", "task": "perturbation"},
    ),
    (
        "… and with mechanisms",
        "cluster_mutual_information",
        {"comparison": "real", "task": "mechanism"},
        {"comparison": "generated", "task": "mechanism"},
    ),
    (
        "Nearest mechanism told rightly, other compounds only",
        "nearest_mechanism_accuracy",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
)


def _numbers(summary: pd.DataFrame, recipe: str) -> Table:
    everything = select(summary, perturbation="all", cell_type="all")
    # Probes are over all cell types, and name none.
    everything = pd.concat([everything, select(summary, metric=("accuracy", "macro_f1"))])
    everything = everything.drop_duplicates(
        ["metric", "view", "comparison", "regime", "task", "cell_type"]
    )
    rows: list[list[Cell | str]] = []
    for title, metric, real, generated in _ROWS:
        cells: list[Cell] = []
        for view, which in (
            (recipe, real),
            (recipe, generated),
            (recipe + MATCHED, generated),
        ):
            found = single(everything, metric=metric, view=view, **which) if which else None
            if not which or (found is None and view != recipe):
                cells.append(Cell("–", "number"))
                continue
            cells.append(_with_chance(found))
        if any(cell.kind != "absent" and cell.text != "–" for cell in cells):
            rows.append([Cell(title, "long"), *cells])
    counts = [
        single(everything, metric="mean_cell_count", view=view, comparison=side)
        for view, side in ((recipe, "real"), (recipe, "generated"), (recipe + MATCHED, "generated"))
    ]
    rows.insert(0, [Cell("Nuclei in a field, mean", "long"), *(value_cell(row) for row in counts)])
    caption = (
        "Morphology of generated against held-out real fields. “Real” is what real fields reach "
        "against other real ones, as far as there is such a number: the best that can be hoped "
        "for. In the last column real and generated fields have the same numbers of cells, so "
        "that what differs is the cells, not how many there are."
    )
    heads = ["", "real", "generated", "generated, cell count matched"]
    return table(caption, heads, rows, 3)


def _with_chance(row: pd.Series | None) -> Cell:
    cell = value_cell(row)
    if row is None or not np.isfinite(row["value"]) or not np.isfinite(row["chance"]):
        return cell
    chance = f"chance {number(row['chance'])}"
    return Cell(cell.text, cell.kind, "; ".join(n for n in (cell.note, chance) if n))


def _differences_table(differences: pd.DataFrame) -> Table:
    chosen = select(differences, comparison="generated-real")
    floor = select(differences, comparison="real-real").set_index("feature")["cliffs_delta"]
    order = chosen["cliffs_delta"].abs().sort_values(ascending=False, kind="stable").index
    rows = [
        [
            Cell(row.feature, "mono"),
            Cell(number(row.mean_real), "number"),
            Cell(number(row.mean_generated), "number"),
            Cell(f"{row.cliffs_delta:+.2f}", "number"),
            Cell(_signed(floor.get(row.feature)), "number"),
            Cell("< 0.001" if row.p_corrected < 0.001 else f"{row.p_corrected:.3f}", "number"),
        ]
        for row in chosen.loc[order[:_MOST_FEATURES]].itertuples()
    ]
    caption = (
        f"The {len(rows)} features that differ most, at equal numbers of every condition. p: "
        "Mann–Whitney, corrected after Benjamini and Hochberg over all features; it takes fields "
        "as independent, so read the effect size beside that of two halves of the real fields."
    )
    heads = ["feature", "mean, real", "mean, generated", "Cliff's delta", "halves of real", "p"]
    return table(caption, heads, rows, 5)


def _signed(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:+.2f}"


def _first_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first pair of seeds, and those that have none (the floor)."""
    seeds = frame[["training_seed", "sampling_seed"]].dropna().drop_duplicates()
    if seeds.empty:
        return frame
    first = seeds.sort_values(["training_seed", "sampling_seed"]).iloc[0]
    none = frame["training_seed"].isna()
    same = (frame["training_seed"] == first.iloc[0]) & (frame["sampling_seed"] == first.iloc[1])
    return frame[none | same]


def _statements(measured: _Measured, summary: pd.DataFrame, differences: pd.DataFrame,
                recipe: str) -> list[str]:  # fmt: skip
    failed = measured.failed["side"].value_counts()
    said = [
        f"CellProfiler measured {measured.fields['real']:,} real and "
        f"{measured.fields['generated']:,} generated fields ({measured.pipeline})"
        + (
            f"; {int(failed.get('real', 0)):,} real and {int(failed.get('generated', 0)):,} "
            "generated ones failed and are left out."
            if len(measured.failed)
            else "; none failed."
        )
    ]
    chosen = select(summary, view=recipe, metric="profile_correlation", cell_type="all",
                    perturbation="all")  # fmt: skip
    made, bound, other = (
        single(chosen, comparison=name) for name in ("generated-real", "real-real", "shuffled-real")
    )
    if made is not None and np.isfinite(made["value"]):
        text = (
            "Mean profiles of generated fields correlate with those of real fields of the same "
            f"condition by {number(made['value'])}"
        )
        if bound is not None and np.isfinite(bound["value"]):
            text += f"; two halves of the real fields by {number(bound['value'])}"
        if other is not None and np.isfinite(other["value"]):
            text += f"; generated fields of other perturbations by {number(other['value'])}"
        said.append(text + ".")
    shares = {
        name: (select(differences, comparison=name)["cliffs_delta"].dropna().abs() > LARGE)
        for name in ("generated-real", "real-real")
    }
    if len(shares["generated-real"]):
        text = (
            f"{shares['generated-real'].mean():.0%} of {len(shares['generated-real']):,} features "
            f"differ much between generated and real fields (Cliff's delta beyond {LARGE})"
        )
        if len(shares["real-real"]):
            text += f"; between two halves of the real fields {shares['real-real'].mean():.0%} do"
        said.append(text + ".")
    said.append(
        "What CellProfiler finds in a generated image need not be a cell: look at the outlines "
        "before the numbers."
    )
    return said


def _scores(path: Path, recipe: str) -> tuple[pd.DataFrame, tuple[float, float]] | None:
    found = read_parquet(path, own=True)
    if set(found.schema.names) != set(SCORE_SCHEMA.names):
        raise DataError(f"{path} is not a table of scores: let the workflow make it again.")
    explained = json.loads((found.schema.metadata or {}).get(SCORES_KEY, b"[]"))
    frame = found.to_pandas()
    frame = _first_seeds(frame[frame["recipe"] == recipe])
    shares = [entry["explained_variance"] for entry in explained if entry["recipe"] == recipe]
    points = frame.rename(columns={"pc1": "first", "pc2": "second"}).dropna(
        subset=["first", "second"]
    )
    if points.empty or not shares or len(shares[0]) < 2:
        return None
    return points, (shares[0][0], shares[0][1])


def _plots(evidence: Evidence, files: MorphologyFiles, differences: pd.DataFrame, recipe: str,
           summary: pd.DataFrame) -> list[Plot]:  # fmt: skip
    found = []
    if len(differences):
        found.append(
            Plot(
                "morphology-families",
                "Features by family",
                figure_families(differences),
                "Effect size of every feature between generated and real fields, by compartment "
                "and family of features, beside the floor.",
                "Every point is a feature of CellProfiler. Read it as: orange points further from "
                "the middle than the grey ones above them are features in which generated cells "
                "differ from real ones by more than chance; lines say which part of the cell and "
                "what kind of feature.",
            )
        )
    scores = _scores(files.scores, recipe)
    if scores is not None:
        points, explained = scores
        order = {name: i for i, name in enumerate(evidence.perturbations)}
        points = points[points["perturbation"].isin(list(order))]
        points = points.sort_values("perturbation", key=lambda p: p.map(order), kind="stable")
        found.append(
            Plot(
                "morphology-pca",
                "Principal components of morphology",
                plots.figure_pca(points, explained),
                "Principal components of the profiles of real and generated fields, by cell type.",
                f"Profiles by the recipe “{recipe}”. Read it as: crosses should lie where the "
                "circles of their colour lie, and spread as wide.",
            )
        )
    pairs = _read(files.correlations, CORRELATION_SCHEMA.names)
    pairs = _first_seeds(pairs[pairs["recipe"] == recipe])
    if len(pairs):
        agreement = single(summary, view=recipe, metric="feature_correlation_agreement",
                           comparison="generated-real")  # fmt: skip
        said = "" if agreement is None else f" Their agreement is {number(agreement['value'])}."
        found.append(
            Plot(
                "morphology-correlations",
                "Correlations of features",
                figure_correlations(pairs),
                "Correlations between ten features in real and in generated fields.",
                "Correlations between the ten features of which the principal components explain "
                "the most. Read it as: the two squares should look alike." + said,
            )
        )
    return found


def build_morphology(evidence: Evidence, files: MorphologyFiles, recipe: str) -> MorphologySection:
    """Put together what the page shows of an experiment's morphology.

    Parameters
    ----------
    evidence
        Of the experiment.
    files
        What CellProfiler measured and what came of it.
    recipe
        Of the profiles (`morphpipe.morphology.recipes`).

    Raises
    ------
    DataError
        When a table is not what it has to be.
    """
    measured = _measured(files)
    summary = over_seeds(read_metrics([files.metrics]))
    differences = _read(files.differences, DIFFERENCE_SCHEMA.names)
    differences = _first_seeds(differences[differences["matched"] == "condition"])
    # Every pair of seeds brings a floor of its own.
    differences = differences.drop_duplicates(["comparison", "feature"], ignore_index=True)
    real, generated = outline_tiles(evidence, files.real_labels, files.generated_labels)
    details = []
    if len(differences):
        details.append(("The features that differ most", _differences_table(differences)))
    if len(measured.failed):
        rows = [
            [Cell(row.field_id, "mono"), row.side, Cell(str(row.reason), "fault")]
            for row in measured.failed.itertuples()
        ]
        caption = "Fields that CellProfiler could not measure, and why."
        title = f"Fields that failed ({len(rows):,})"
        details.append((title, table(caption, ["field", "side", "reason"], rows)))
    return MorphologySection(
        pipeline=measured.pipeline,
        recipe=recipe,
        summary=summary,
        statements=_statements(measured, summary, differences, recipe),
        real=real,
        generated=generated,
        plots=_plots(evidence, files, differences, recipe, summary),
        tables=[_numbers(summary, recipe)],
        details=details,
    )
