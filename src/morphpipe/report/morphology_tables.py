"""Tables of CellProfiler results."""

import numpy as np
import pandas as pd

from morphpipe.report.results import select, single
from morphpipe.report.tables import Cell, Table, number, table, value_cell
from morphpipe.tables.schemas import (
    MATCHED,
)

_MOST_FEATURES = 25
# Rows of the agreement table: label, metric, and the columns that select real and generated values.
_ROWS: tuple[tuple[str, str, dict[str, str], dict[str, str]], ...] = (
    (
        "Correlation of mean profiles, by condition",
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
        "Agreement of the correlations of ten features",
        "feature_correlation_agreement",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
    (
        "… root mean square difference",
        "feature_correlation_rms",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
    (
        "Linear probe of perturbations, tested on real fields: accuracy",
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
        "… trained and tested on generated fields: accuracy",
        "accuracy",
        {},
        {"regime": "generated-generated"},
    ),
    (
        "Clusters vs perturbations (adjusted Rand index; 0 is chance)",
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
        "Clusters vs mechanisms (adjusted Rand index)",
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
        "Accuracy of the nearest mechanism, other compounds only",
        "nearest_mechanism_accuracy",
        {"comparison": "real-real"},
        {"comparison": "generated-real"},
    ),
)


def agreement_table(summary: pd.DataFrame, recipe: str) -> Table:
    """Agreement of generated and real profiles, with the floor."""
    everything = select(summary, perturbation="all", cell_type="all")
    # Probes are over all cell types, and have no cell type.
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
    rows.insert(0, [Cell("Mean nuclei per field", "long"), *(value_cell(row) for row in counts)])
    caption = (
        "Morphology of generated vs held-out real fields. “Real” is the attainable value, real vs "
        "real, where available. In the last column real and generated fields are matched by cell "
        "count, so that differences are not due to cell count."
    )
    heads = ["", "real", "generated", "generated, cell count matched"]
    return table(caption, heads, rows, 3)


def _with_chance(row: pd.Series | None) -> Cell:
    cell = value_cell(row)
    if row is None or not np.isfinite(row["value"]) or not np.isfinite(row["chance"]):
        return cell
    chance = f"chance {number(row['chance'])}"
    return Cell(cell.text, cell.kind, "; ".join(n for n in (cell.note, chance) if n))


def differences_table(differences: pd.DataFrame) -> Table:
    """The features that differ most between real and generated fields."""
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
        f"The {len(rows)} features that differ most, at equal numbers per condition. p: "
        "Mann–Whitney test with Benjamini–Hochberg correction over all features; it treats fields "
        "as independent, so compare effect sizes with those of split halves of real fields."
    )
    heads = ["feature", "mean, real", "mean, generated", "Cliff's delta", "split halves", "p"]
    return table(caption, heads, rows, 5)


def _signed(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:+.2f}"
