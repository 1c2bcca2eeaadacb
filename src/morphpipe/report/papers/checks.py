"""Plausibility checks of values: floors, controls, and ground truth of simulated screens.

A check has the expectation, whether it holds, the values, and its subject `of`: the measure or the
model. `holds` is None if it is undecided.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from morphpipe.datasets.simulated import CELL_TYPES, PERTURBATIONS, true_effect
from morphpipe.datasets.simulated.programmes import programmes
from morphpipe.report.papers.cells import AT_FLOOR, COPY, FLOOR, Cell, PaperTable
from morphpipe.report.papers.measured import Estimate
from morphpipe.report.papers.run import PaperRun
from morphpipe.report.papers.setups import PAPERS

Check = dict[str, Any]


def _check(what: str, holds: bool | None, detail: str, of: str = "measure") -> Check:
    return {"what": what, "holds": holds, "detail": detail, "of": of}


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "no value"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _below(left: Estimate, right: Estimate) -> bool:
    """Whether the first value is below the second, with disjoint intervals."""
    return left.high is not None and right.low is not None and left.high < right.low


def floor_checks(cells: Sequence[Cell]) -> Iterator[Check]:
    """Generated images are not closer than the floor; replayed training images are at the floor."""
    places = {(cell.row, cell.column, cell.system): cell.estimate for cell in cells}
    for (row, column, system), floor in places.items():
        if system != FLOOR or floor.value is None:
            continue
        for name, estimate in (
            (s, e) for (r, c, s), e in places.items() if (r, c) == (row, column)
        ):
            if name.endswith(AT_FLOOR.format("")) and estimate.value is not None:
                yield _check(
                    f"{row}, {column}: the floor is below {name}",
                    not _below(estimate, floor),
                    f"{_shown(estimate)}, floor {_shown(floor)}",
                )
            if name == COPY and estimate.value is not None:
                apart = _below(floor, estimate) or _below(estimate, floor)
                yield _check(
                    f"{row}, {column}: replayed training images are at the floor",
                    not apart,
                    f"{_shown(estimate)}, floor {_shown(floor)}",
                )


def effect_order(table: PaperTable, run: PaperRun) -> Iterator[Check]:
    """Effects of a series of strengths are in the order of the true effects."""
    paper, facts = table.item.paper, run.experiment(table.item.main_role, table.item.paper)
    if facts is None or not facts.origin.has_true_effects:
        return
    names, control = run.of(paper).names, PAPERS[paper].control
    by_place = {(cell.row, cell.column): cell.estimate for cell in table.cells
                if cell.system != FLOOR}  # fmt: skip
    groups: dict[str, list[tuple[str, str]]] = {}
    for cell in table.cells:
        head, _, label = cell.row.rpartition(f"{control} vs ")
        perturbation = names.perturbation(label)
        if perturbation in PERTURBATIONS:
            groups.setdefault(head.strip(", "), []).append((cell.row, str(perturbation)))
    for head, members in groups.items():
        cell_type = names.cell_type(head or "HUVEC") or ""
        rows = {perturbation: row for row, perturbation in members}
        for series in programmes(rows):
            if not series.is_series or cell_type not in CELL_TYPES:
                continue
            expected = sorted(series.members, key=lambda p: true_effect(p, cell_type))
            for column, of in (
                ("Unbiased CATE real", "measure"),
                ("Unbiased CATE generated", "model"),
            ):
                found = [by_place.get((rows[p], column), Estimate()) for p in expected]
                if any(estimate.value is None for estimate in found):
                    continue
                yield _check(
                    f"{cell_type}, {column}: in the order of the true effects",
                    _ascending(found),
                    ", ".join(f"{p} {_shown(e)}" for p, e in zip(expected, found, strict=True)),
                    of,
                )


def _ascending(found: Sequence[Estimate]) -> bool | None:
    """Whether values increase; None if undecided because intervals overlap."""
    pairs = list(pairwise(found))
    if all((a.value or 0.0) < (b.value or 0.0) for a, b in pairs):
        return True
    return False if any(_below(b, a) for a, b in pairs) else None


def bayes_limit(counts: dict[str, int], groups: Sequence[Sequence[str]]) -> float:
    """Return the highest expected accuracy of any probe on simulated images.

    Parameters
    ----------
    counts
        Test images of each class.
    groups
        Groups of indistinguishable classes: the best guess is the largest class of a group.
    """
    together = {name for group in groups for name in group}
    apart = sum(n for name, n in counts.items() if name not in together)
    best = sum(max((counts.get(name, 0) for name in group), default=0) for group in groups)
    return (apart + best) / sum(counts.values())


def probe_limits(
    table: PaperTable, run: PaperRun, set_name: str, labels: Sequence[str]
) -> Iterator[Check]:
    """No probe exceeds the Bayes limit of the ground truth."""
    item, paper = table.item, run.of(table.item.paper)
    facts = run.experiment(item.main_role, item.paper)
    if facts is None or not facts.origin.has_true_effects:
        return
    encoder = run.encoder(facts, item.numbers, item.paper)
    classes = {p for p in map(paper.names.perturbation, labels) if p in PERTURBATIONS}
    types = facts.selection.get("cell_types") or []
    idle = [p for p in sorted(map(str, classes)) if all(true_effect(p, c) == 0 for c in types)]
    group = f"set: {getattr(paper, set_name)}"
    for regime in ("real-real", "generated-real", "real+generated-real"):
        common = {
            "regime": regime, "task": "perturbation", "extractor": encoder, "group": group,
            "view": facts.encoders[encoder]["view"], "cell_type": "all",
        }  # fmt: skip
        metrics = run.metrics(facts)
        accuracy = metrics.number("probes", metric="accuracy", perturbation=group, **common)
        found = {
            name: metrics.number("probes", metric="class_accuracy", perturbation=name, **common)
            for name in metrics.values("probes", "perturbation", metric="class_accuracy", **common)
        }
        counts = {name: e.n_right or 0 for name, e in found.items()}
        if accuracy.value is None or not sum(counts.values()):
            continue
        limit = bayes_limit(counts, [idle] if idle else [])
        lowest = accuracy.value if accuracy.low is None else accuracy.low
        yield _check(
            f"Probe {regime}: not above the Bayes limit",
            lowest <= limit,
            f"accuracy {_shown(accuracy)}, at most {limit:.3f}"
            + (f" since {' and '.join(idle)} are indistinguishable" if len(idle) > 1 else ""),
        )


def memorisation(table: PaperTable, run: PaperRun) -> Iterator[Check]:
    """Replayed training images count as memorised, held-out real images do not."""
    facts = run.experiment(table.item.main_role, table.item.paper)
    if facts is None:
        return
    metrics = run.metrics(facts)
    encoder = run.encoder(facts, table.item.numbers, table.item.paper)
    if "memorisation" not in metrics.tables:
        return
    for comparison, expected in (("copy-training", True), ("real-training", False)):
        share = metrics.number(
            "memorisation", metric="memorised_share", comparison=comparison, extractor=encoder,
            view=facts.encoders[encoder]["view"], cell_type="all", perturbation="all",
        )  # fmt: skip
        if share.value is None:
            continue
        flagged = share.settings.get("flagged")
        kind = "training images replayed" if expected else "held-out real images"
        yield _check(
            f"Memorisation: {kind} are {'' if expected else 'not '}flagged",
            None if flagged is None else bool(flagged) == expected,
            f"share {_shown(share)}",
        )


CHECKS: Mapping[str, Callable[..., Iterator[Check]]] = {
    "effect order": effect_order,
    "probe limits": probe_limits,
    "memorisation": memorisation,
}
"""By the name in `items.yaml`."""


def item_checks(table: PaperTable, run: PaperRun) -> list[Check]:
    """All checks of a table."""
    found = list(floor_checks(table.cells))
    for name, arguments in table.item.checks.items():
        found += CHECKS[name](table, run, **arguments)
    return found
