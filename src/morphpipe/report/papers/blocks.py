"""Filling a table from what its blocks declare (`morphpipe.report.papers.items.Block`)."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from morphpipe.evaluation.distances.measures import INCEPTION
from morphpipe.report.papers.cells import SYSTEMS, PaperTable
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.items import AUTOENCODER, CELLPROFILER, NUMBERS, Block, Query
from morphpipe.report.papers.measured import Estimate, Metrics, absent, mean_of
from morphpipe.report.papers.run import PaperRun, no_counterpart
from morphpipe.report.papers.setups import PAPERS

# By the papers' column: the metric on Inception features, on any others, and what that is called.
MEASURES = {
    "FID": ("FID", "frechet_distance", "Fréchet distance"),
    "KID": ("KID", "kernel_distance", "Kernel distance"),
    "Relative FID": ("relative_FID", "relative_frechet_distance", "Relative Fréchet distance"),
}
# Columns of a metric table that a query names as they are.
_COLUMNS = ("metric", "comparison", "regime", "task", "cell_type", "perturbation", "variant")
_LABELS = {"cell_type": "cell type", "perturbation": "perturbation", "variant": "perturbation"}


def _is_inception(facts: ExperimentFacts, encoder: str) -> bool:
    """Whether a distance on these features may be called FID or KID."""
    return facts.encoders[encoder]["kind"] == INCEPTION[0]


def metric_of(facts: ExperimentFacts, encoder: str, column: str) -> str:
    """The metric behind a column of the paper, by its name in the metric table."""
    return MEASURES[column][0 if _is_inception(facts, encoder) else 1]


def column_of(facts: ExperimentFacts, encoder: str, column: str) -> str:
    """The paper's column, or another where the features are not Inception's: never called FID."""
    return column if _is_inception(facts, encoder) else f"{MEASURES[column][2]} ({encoder})"


def rows_of(block: Block) -> Iterator[tuple[str, Query]]:
    """Every row of a block, and what its numbers have in common."""
    options = [
        [(key, label, label if isinstance(values, list) else values[label]) for label in values]
        for key, values in block.each.items()
    ]
    for chosen in product(*options):
        labels = {key: label for key, label, _ in chosen}
        yield (
            block.row.format(**labels) if labels else block.row,
            block.query | {key: value for key, _, value in chosen},
        )


def add_numbers(table: PaperTable, run: PaperRun, block: Block, row: str, query: Query) -> None:
    """Add the numbers of a row; nothing where its role is empty.

    Parameters
    ----------
    table, run
        Where to, and what of.
    block
        Which the row is of.
    row, query
        As `rows_of` gives them.
    """
    paper, role = table.item.paper, query.get("role", table.item.main_role)
    _, reason = _named(run, paper, query)
    if reason and block.lacking:
        reason = no_counterpart(block.lacking.format(row=row))
    if reason and block.without_name == "note":
        table.add_note(reason)
        return
    facts = run.baseline(role, paper) if block.of_baseline else run.experiment(role, paper)
    if facts is None:
        return
    system = PAPERS[paper].baseline if block.of_baseline else block.system or PAPERS[paper].name
    if reason and isinstance(block.without_name, list):
        for column in block.without_name:
            table.add(row, column, system, absent(reason))
        return
    encoder = _encoder(table, run, block, facts)
    known = _views(facts, encoder)
    view = run.channel(paper, query["channel"]) if "channel" in query else _view(query, known)
    if view is None:
        if block.without_view:
            table.add_note(block.without_view.format(experiment=facts.name))
        return
    row, first = block.row_by_view.get(view, row), None
    for cell in block.cells:
        column, asked = _column(query | cell, facts, encoder)
        at, under = (column, row) if block.transposed else (row, column)
        if reason and block.without_name == "own":
            if not cell.keys() & {"system", "take"}:
                table.add(at, under, system, absent(reason))
            continue
        asked, _ = _named(run, paper, asked | {"extractor": encoder, "view": view})
        estimate = absent(reason) if reason else _number(run, paper, facts, block.source, asked)
        first = first or estimate
        if "take" in cell:
            estimate = _taken(estimate, cell)
            if estimate.value is None and cell.get("optional"):
                continue
        of = SYSTEMS.get(cell.get("system", ""), "{}").format(system)
        table.add(at, under, of, estimate, role=role, encoder=encoder)
    counted = first is not None and first.n_right is not None
    if first is not None and not reason and (counted or "{real_images}" not in block.note):
        known |= {"row": row, "real_images": first.n_right}
        known["drawn"] = "drawn at random" if facts.drawn else "all that were generated"
        if "over" in query:
            known["count"] = len(_drawn(run.metrics(facts), facts, block.source))
        table.add_note(block.note.format(**known))


def _column(asked: Query, facts: ExperimentFacts, encoder: str) -> tuple[str, Query]:
    """The column of a cell, and the query with its metric."""
    measure = asked.get("measure", "")
    column = str(asked.get("column", measure))
    if not measure:
        return column, asked
    metric = {"metric": metric_of(facts, encoder, measure)}
    return column.replace(measure, column_of(facts, encoder, measure)), asked | metric


def _named(run: PaperRun, paper: str, query: Query) -> tuple[Query, str]:
    """The query with the run's names for labels, and why it cannot be where one has none."""
    found, names, missing = dict(query), run.of(paper).names, ""
    for key, kind in _LABELS.items():
        wanted = query.get(key, "")
        label, *others = wanted if isinstance(wanted, list) else [wanted]
        if label in ("", "all"):
            continue
        name = names.cell_type(label) if key == "cell_type" else names.perturbation(label)
        if name is None and not others:
            missing = missing or no_counterpart(f"{kind} {label}")
        found[key] = others[0] if name is None and others else name
    return found, missing


def _encoder(table: PaperTable, run: PaperRun, block: Block, facts: ExperimentFacts) -> str:
    """What the numbers are of: an encoder by its name, the autoencoder by its, or CellProfiler."""
    item = table.item
    numbers = item.numbers if block.source == item.needs[0].what else NUMBERS[block.source]
    if numbers == AUTOENCODER:
        return facts.autoencoder_name
    return numbers if numbers == CELLPROFILER else run.encoder(facts, numbers, item.paper)


def _views(facts: ExperimentFacts, encoder: str) -> dict[str, Any]:
    """What the views of an experiment are made up of, as far as it has it."""
    known: dict[str, Any] = {}
    if encoder in facts.encoders:
        known["whole"] = facts.encoders[encoder]["view"]
    return known | dict(facts.crops or {}) | dict(facts.morphology or {})


def _view(query: Query, known: Mapping[str, Any]) -> str | None:
    """The view that is asked for; None where the experiment has none of the kind."""
    try:
        return str(query.get("view", "{whole}").format(**known))
    except KeyError:
        return None


def _drawn(metrics: Metrics, facts: ExperimentFacts, source: str) -> list[str]:
    """The perturbations that an experiment drew at random; all it has where it drew none."""
    found = metrics.values(source, "perturbation", group="")
    named = set(facts.perturbations or []) if facts.drawn else set()
    return [name for name in found if name != "all" and name not in named]


def _number(
    run: PaperRun, paper: str, facts: ExperimentFacts, source: str, asked: Query
) -> Estimate:
    """The number that is asked for, or the mean over several."""
    metrics = run.metrics(facts)
    columns = {key: asked[key] for key in (*_COLUMNS, "extractor", "view") if key in asked}
    if "set" in asked:
        columns["group"] = f"set: {getattr(run.of(paper), asked['set'])}"
        columns.setdefault("perturbation", columns["group"])
    if "over" in asked:
        columns.setdefault("cell_type", "all")
        parts = [
            metrics.number(source, **columns | {"perturbation": name})
            for name in _drawn(metrics, facts, source)
        ]
        return parts[0] if len(parts) == 1 else mean_of(parts)
    choices: list[Mapping[str, str]] = [columns]
    if asked.get("otherwise") == "swapped":
        swapped = {"perturbation": columns["variant"], "variant": columns["perturbation"]}
        choices.insert(0, columns | swapped)
    elif "otherwise" in asked:
        choices.append(columns | asked["otherwise"])
    found = [metrics.number(source, **choice) for choice in choices]
    return next((estimate for estimate in found if estimate.value is not None), found[0])


def _taken(estimate: Estimate, cell: Query) -> Estimate:
    """A number that comes with another one, and has no interval."""
    what = cell["take"]
    images = what in ("n_left", "n_right")
    value = getattr(estimate, what) if images else estimate.settings.get(what)
    if value is None:
        return absent(estimate.reason)
    return Estimate(float(value), n_left=estimate.n_left if cell.get("with_images") else None)
