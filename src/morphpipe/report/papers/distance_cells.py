"""Distances as cells: generated images, floor and controls, over the same perturbations."""

from collections.abc import Callable, Sequence

from morphpipe.evaluation.distances.measures import INCEPTION
from morphpipe.report.papers.cells import COPY, FLOOR, SHUFFLED, PaperTable, at_floor
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.measured import Estimate, Metrics, mean_of
from morphpipe.report.papers.run import PaperRun

# By the papers' column: the metric on Inception features, on any others, and what that is called.
MEASURES = {
    "FID": ("FID", "frechet_distance", "Fréchet distance"),
    "KID": ("KID", "kernel_distance", "Kernel distance"),
    "Relative FID": (
        "relative_FID",
        "relative_frechet_distance",
        "Relative Fréchet distance",
    ),
}


def is_inception(facts: ExperimentFacts, encoder: str) -> bool:
    """Whether a distance on these features may be called FID or KID."""
    return facts.encoders[encoder]["kind"] == INCEPTION[0]


def metric_of(facts: ExperimentFacts, encoder: str, column: str) -> str:
    """The metric behind a column of the paper, by its name in the metric table."""
    return MEASURES[column][0 if is_inception(facts, encoder) else 1]


def column_of(facts: ExperimentFacts, encoder: str, column: str) -> str:
    """The paper's column, or another where the features are not Inception's: never called FID."""
    return column if is_inception(facts, encoder) else f"{MEASURES[column][2]} ({encoder})"


def over(
    scopes: Sequence[tuple[str, str]], metrics: Metrics, table: str, **columns: str
) -> Estimate:
    """The number of one cell type and perturbation, or the mean over several such pairs."""
    found = [
        metrics.number(table, cell_type=cell_type, perturbation=perturbation, **columns)
        for cell_type, perturbation in scopes
    ]
    return found[0] if len(found) == 1 else mean_of(found)


def drawn_perturbations(metrics: Metrics, facts: ExperimentFacts, table: str) -> list[str]:
    """The perturbations that an experiment drew at random; all it has where it drew none."""
    found = metrics.values(table, "perturbation", group="")
    named = set(facts.perturbations or []) if facts.drawn else set()
    return [name for name in found if name != "all" and name not in named]


def add_distances(
    table: PaperTable,
    run: PaperRun,
    facts: ExperimentFacts,
    scopes: Sequence[tuple[str, str]],
    *,
    row: str | Callable[[str], str],
    column: str | None = None,
    columns: Sequence[str] = ("FID", "KID", "Relative FID"),
    system: str,
    role: str,
    view: str,
    comparison: str = "generated-real",
    source: str = "distances",
) -> None:
    """Add the distances of some scopes with floor and controls.

    Parameters
    ----------
    table, run, facts
        Where to, and what of.
    scopes
        Cell type and perturbation of what is averaged over.
    row
        The row, or a function that gives it by the measure (tables that have measures as rows).
    column
        The column, where measures are rows; None where they are columns.
    columns
        Which measures.
    system, role
        Of the generated images.
    view
        Of the encoder.
    comparison
        Of the generated images against all real ones.
    source
        The metric table.
    """
    metrics = run.metrics(facts)
    encoder = run.encoder(facts, "distances", table.item.paper)
    for measure in columns:
        metric = metric_of(facts, encoder, measure)
        shown = column_of(facts, encoder, measure)
        lines = [(system, comparison)]
        if measure == "Relative FID":
            lines = [(system, "generated-real@floor-n")]
        else:
            lines += [
                (at_floor(system), "generated-real@floor-n"),
                (FLOOR, "real-real"),
                (COPY, "copy-real"),
                (SHUFFLED, "shuffled-real"),
            ]
        for name, compared in lines:
            columns_of = {"metric": metric, "extractor": encoder, "view": view}
            estimate = over(scopes, metrics, source, comparison=compared, **columns_of)
            place = (row, shown) if isinstance(row, str) else (row(shown), column or shown)
            table.add(*place, name, estimate, role=role, encoder=encoder)
