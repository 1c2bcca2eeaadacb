"""CellProfiler results of an experiment: outlines, statements, figures and tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.core.summary import over_seeds, read_metrics
from morphpipe.morphology.tables import FAILED, common_source, read_image_measurements
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures import plots
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.morphology import figure_correlations, figure_families
from morphpipe.report.figures.outlines import outline_tiles
from morphpipe.report.figures.pictures import Tile
from morphpipe.report.inputs import MorphologyFiles
from morphpipe.report.morphology_tables import agreement_table, differences_table
from morphpipe.report.results import select, single
from morphpipe.report.tables import Cell, Table, number, table
from morphpipe.tables.schemas import (
    CORRELATION_SCHEMA,
    DIFFERENCE_SCHEMA,
    SCORE_SCHEMA,
    SCORES_KEY,
)

# Romano et al. (2006) call a Cliff's delta of 0.33 medium and of 0.474 large.
LARGE = 0.474


@dataclass(frozen=True)
class MorphologySection:
    """Content of the morphology section; `details` are collapsed tables."""

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
        raise DataError(f"{path} is not a valid table: rerun the workflow.")
    return found.to_pandas()


@dataclass(frozen=True)
class _Measured:
    """Numbers of measured fields by side, and failed fields."""

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


def _first_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first pair of seeds, and rows without seeds (the floor)."""
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
    sentences = [
        f"CellProfiler measured {measured.fields['real']:,} real and "
        f"{measured.fields['generated']:,} generated fields ({measured.pipeline})"
        + (
            f"; {int(failed.get('real', 0)):,} real and {int(failed.get('generated', 0)):,} "
            "generated ones failed and are excluded."
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
            text += f"; split halves of real fields by {number(bound['value'])}"
        if other is not None and np.isfinite(other["value"]):
            text += f"; generated fields of other perturbations by {number(other['value'])}"
        sentences.append(text + ".")
    shares = {
        name: (select(differences, comparison=name)["cliffs_delta"].dropna().abs() > LARGE)
        for name in ("generated-real", "real-real")
    }
    if len(shares["generated-real"]):
        text = (
            f"{shares['generated-real'].mean():.0%} of {len(shares['generated-real']):,} features "
            f"differ strongly between generated and real fields (|Cliff's delta| > {LARGE})"
        )
        if len(shares["real-real"]):
            text += f"; {shares['real-real'].mean():.0%} between split halves of real fields"
        sentences.append(text + ".")
    sentences.append(
        "Objects that CellProfiler segments in generated images need not be cells: check the "
        "outlines first."
    )
    return sentences


def _scores(path: Path, recipe: str) -> tuple[pd.DataFrame, tuple[float, float]] | None:
    found = read_parquet(path, own=True)
    if set(found.schema.names) != set(SCORE_SCHEMA.names):
        raise DataError(f"{path} is not a table of scores: rerun the workflow.")
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
                "and feature family, with the floor.",
                "Each point is a CellProfiler feature, each line a compartment and feature family. "
                "Orange points further from the centre than the grey ones are features that differ "
                "between generated and real cells by more than chance.",
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
                f"Profiles by the recipe “{recipe}”. Crosses should overlap with circles of the "
                "same colour, with a similar spread.",
            )
        )
    pairs = _read(files.correlations, CORRELATION_SCHEMA.names)
    pairs = _first_seeds(pairs[pairs["recipe"] == recipe])
    if len(pairs):
        agreement = single(summary, view=recipe, metric="feature_correlation_agreement",
                           comparison="generated-real")  # fmt: skip
        agreed = "" if agreement is None else f" Their agreement is {number(agreement['value'])}."
        found.append(
            Plot(
                "morphology-correlations",
                "Correlations of features",
                figure_correlations(pairs),
                "Correlations between ten features in real and in generated fields.",
                "Correlations between the ten features that the principal components explain best. "
                "The two matrices should look alike." + agreed,
            )
        )
    return found


def build_morphology(evidence: Evidence, files: MorphologyFiles, recipe: str) -> MorphologySection:
    """Collect the morphology results of an experiment.

    Parameters
    ----------
    evidence
        Evidence of the experiment.
    files
        CellProfiler measurements and derived tables.
    recipe
        Recipe of the profiles (`morphpipe.morphology.recipes`).

    Raises
    ------
    DataError
        If a table is invalid.
    """
    measured = _measured(files)
    summary = over_seeds(read_metrics([files.metrics]))
    differences = _read(files.differences, DIFFERENCE_SCHEMA.names)
    differences = _first_seeds(differences[differences["matched"] == "condition"])
    # Every pair of seeds has its own floor.
    differences = differences.drop_duplicates(["comparison", "feature"], ignore_index=True)
    real, generated = outline_tiles(evidence, files.real_labels, files.generated_labels)
    details = []
    if len(differences):
        details.append(("The features that differ most", differences_table(differences)))
    if len(measured.failed):
        rows = [
            [Cell(row.field_id, "mono"), row.side, Cell(str(row.reason), "fault")]
            for row in measured.failed.itertuples()
        ]
        caption = "Fields that CellProfiler could not measure, with reasons."
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
        tables=[agreement_table(summary, recipe)],
        details=details,
    )
