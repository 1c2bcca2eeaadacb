"""What every item of the papers says of itself, whether it is a table or a figure."""

from typing import Any

from morphpipe.core.errors import DataError
from morphpipe.report.papers.comparability import item_verdict
from morphpipe.report.papers.items import ITEMS, Item
from morphpipe.report.papers.labels import stand_ins
from morphpipe.report.papers.run import PaperRun


def item_named(name: str) -> Item:
    """Find an item by its name.

    Raises
    ------
    DataError
        If the papers have none of that name.
    """
    if name not in ITEMS:
        raise DataError(f"The papers have no item {name!r}; there are {', '.join(ITEMS)}.")
    return ITEMS[name]


def about_item(item: Item, run: PaperRun) -> dict[str, Any]:
    """Describe an item before it is made: the head of its `item.json`."""
    verdict = item_verdict(run, item)
    names = run.of(item.paper).names
    filled = run.used(item)
    experiments = [facts.name for _, _, facts in filled]
    for paper, role, _ in filled:
        baseline = run.baseline(role) if paper == "morphodiff" else None
        experiments += [] if baseline is None else [baseline.name]
    return {
        "name": item.name,
        "paper": item.paper,
        "kind": item.kind,
        "number": item.number,
        "title": item.title,
        "caption": item.caption,
        "section": item.section,
        "experiments": list(dict.fromkeys(experiments)),
        "comparable": verdict.status,
        "statement": [*verdict.sentences, *stand_ins(names)],
    }
