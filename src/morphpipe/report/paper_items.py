"""Reading the papers' tables and figures, and their layout for a page."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from morphpipe.core.checksums import read_checked_json
from morphpipe.core.errors import DataError
from morphpipe.report.papers.setups import PAPERS
from morphpipe.report.tables import Cell, Table, count, number, once, table

PAPER_NAMES = {key: paper.name for key, paper in PAPERS.items()}
"""Papers with a page, in the order of the navigation."""

COMPARABLE = {
    "yes": "comparable",
    "partly": "partly comparable",
    "no": "not comparable",
    "published only": "published values only",
}
"""Labels for the comparability of items."""


@dataclass(frozen=True)
class PaperItem:
    """A table or figure of a paper, with the published values.

    Attributes
    ----------
    folder
        Folder of its files.
    content
        Content of its `item.json`.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the item, also the target of the workflow."""
        return str(self.content["name"])

    @property
    def label(self) -> str:
        """Label in the paper: kind and number, or a name."""
        number = str(self.content["number"])
        return f"{self.kind.capitalize()} {number}" if number[:1].isdigit() else number.capitalize()

    @property
    def kind(self) -> str:
        """`table` or `figure`."""
        return str(self.content["kind"])

    @property
    def statement(self) -> list[str]:
        """Whether and why it is comparable, most important sentence first."""
        found = self.content["statement"]
        return [found] if isinstance(found, str) else [str(sentence) for sentence in found]

    @property
    def comparable(self) -> str:
        """One of `COMPARABLE`."""
        return str(self.content["comparable"])

    @property
    def figure(self) -> Path | None:
        """Its figure (PNG); None for tables and missing figures."""
        path = self.folder / "figure.png"
        is_drawn = self.kind == "figure" and not self.content.get("reason") and path.exists()
        return path if is_drawn else None


def read_item(folder: str | Path) -> PaperItem:
    """Read one item.

    Raises
    ------
    DataError
        If it is missing, damaged or incomplete.
    """
    folder = Path(folder)
    try:
        content = read_checked_json(folder / "item.json")
    except FileNotFoundError:
        raise DataError(f"There is no item.json in {folder}: rerun the workflow.") from None
    needed = ("name", "paper", "kind", "number", "title", "comparable", "statement")
    missing = [key for key in needed if key not in content]
    if missing or content["comparable"] not in COMPARABLE:
        raise DataError(
            f"{folder / 'item.json'} is not an item of a paper: "
            + (f"it lacks {missing[0]!r}" if missing else "its comparability is unknown")
            + ". Rerun the workflow."
        )
    return PaperItem(folder, content)


def by_paper(folders: Sequence[Path]) -> dict[str, list[PaperItem]]:
    """Read all items, sorted by paper; within a paper they keep their order."""
    found: dict[str, list[PaperItem]] = {}
    for folder in folders:
        item = read_item(folder)
        found.setdefault(str(item.content["paper"]), []).append(item)
    order = [*PAPER_NAMES, *(paper for paper in found if paper not in PAPER_NAMES)]
    return {paper: found[paper] for paper in order if paper in found}


def _known(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{number(abs(value))}"


def _apart(cell: Mapping[str, Any]) -> str:
    """Format the difference to the published value with its interval; empty if missing."""
    difference, low, high = (
        cell.get(key) for key in ("difference", "difference_low", "difference_high")
    )
    if not _known(difference):
        return ""
    ends = f", {_signed(low)} to {_signed(high)}" if _known(low) and _known(high) else ""
    return f" ({_signed(difference)}{ends})"


def item_cell(cell: Mapping[str, Any] | None, known_reasons: Collection[str] = ()) -> Cell:
    """Make a cell: the value of this run, interval, published value, difference and images.

    Parameters
    ----------
    cell
        Cell of `item.json`; None for an empty cell.
    known_reasons
        Reasons that are already given elsewhere.
    """
    if cell is None:
        return Cell("–", "number")
    published = cell.get("published")
    paper = ""
    if _known(published):
        spread = cell.get("published_ci")
        # As printed, without additional digits.
        paper = f"{published:,.6g}" + (f" ± {spread:.6g}" if _known(spread) else "")
    produced, reason = cell.get("produced"), str(cell.get("reason") or "")
    if not _known(produced):
        reason = "" if paper and reason in known_reasons else reason
        if cell.get("quoted") and paper:
            source = str(cell.get("quoted_from") or "")
            return Cell(paper, "quoted", f"quoted{f' from {source}' if source else ''}", published)
        if paper:
            return Cell("–", "number", "\n".join(t for t in (f"paper {paper}", reason) if t))
        return Cell(reason or "–", "absent" if reason else "number")
    low, high = (cell.get(end) if _known(cell.get(end)) else None for end in ("ci_low", "ci_high"))
    notes = []
    if low is not None:
        notes.append(f"{number(low)} to {number(high)}" if high is not None else
                     f"{number(low)} or more")  # fmt: skip
    seeds_low, seeds_high = cell.get("seeds_low"), cell.get("seeds_high")
    if _known(seeds_low) and _known(seeds_high):
        notes.append(f"over seeds {number(seeds_low)} to {number(seeds_high)}")
    if paper:
        notes.append(f"paper {paper}{_apart(cell)}")
    sizes = [count(cell[key]) for key in ("n", "n_real") if _known(cell.get(key))]
    if sizes:
        notes.append(f"n = {' / '.join(sizes)}")
    if reason and reason not in known_reasons:
        notes.append(reason)
    shown = count(produced) if isinstance(produced, int) else number(produced)
    return Cell(shown, "number", "\n".join(notes), produced, low, high)


def item_table(item: PaperItem) -> Table | None:
    """Make a table of a paper, with a line per row and system; None without cells.

    Rows and columns are in the order of the paper.
    """
    cells = item.content.get("cells") or []
    if not cells:
        return None
    rows = _ordered(item.content.get("rows"), [str(cell["row"]) for cell in cells])
    columns = _ordered(item.content.get("columns"), [str(cell["column"]) for cell in cells])
    by: dict[tuple[str, str, str], Mapping[str, Any]] = {
        (str(cell["row"]), str(cell.get("system") or ""), str(cell["column"])): cell
        for cell in cells
    }
    systems = list(dict.fromkeys(system for _, system, _ in by))
    with_system = len(systems) > 1 or (systems != [""] and set(systems) != set(rows))
    # No column of systems if rows have the same names.
    with_system = with_system and any(row != system for row, system, _ in by)
    shared_reasons = _shared_reasons(cells)
    lines: list[list[Cell]] = []
    for row in rows:
        for system in systems:
            line = [by.get((row, system, column)) for column in columns]
            if not any(cell is not None for cell in line):
                continue
            # Repeated labels are paler.
            again = bool(lines) and lines[-1][0].text == row
            head = [Cell(row, "again" if again else "text")]
            head += [Cell(system)] if with_system else []
            lines.append([*head, *_line(line, shared_reasons)])
    caption = str(item.content.get("caption") or item.content["title"])
    if shared_reasons:
        caption += f" Several values: {'; '.join(shared_reasons)}."
    heads = ["", "system"] if with_system else [""]
    made = table(caption, [*heads, *columns], lines, len(columns))
    return Table(made.caption, made.headers, made.rows, item.name)


def _shared_reasons(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Reasons that apply to several rows, for example for missing differences."""
    rows: dict[str, set[str]] = {}
    for cell in cells:
        if _known(cell.get("produced")) or _known(cell.get("published")):
            rows.setdefault(str(cell.get("reason") or ""), set()).add(str(cell["row"]))
    return [reason for reason, of in rows.items() if reason and len(of) > 1]


def _line(cells: Sequence[Mapping[str, Any] | None], known_reasons: Sequence[str]) -> list[Cell]:
    """Make the cells of one line; a reason is only given once."""
    known = set(known_reasons)
    found = []
    for cell in cells:
        found.append(item_cell(cell, known))
        if cell is not None and found[-1].kind != "absent":
            known.add(str(cell.get("reason") or ""))
    return once(found)


def _ordered(order: Any, found: Sequence[str]) -> list[str]:
    """Return names in the given order, then the others."""
    names = [str(name) for name in order or [] if str(name) in set(found)]
    return list(dict.fromkeys([*names, *found]))


def standing(items: Sequence[PaperItem]) -> list[tuple[str, int]]:
    """Count items by comparability, without zeros."""
    counts = {key: sum(item.comparable == key for item in items) for key in COMPARABLE}
    return [(COMPARABLE[key], n) for key, n in counts.items() if n]
