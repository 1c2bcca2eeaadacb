"""All tables and figures of the papers by name: `<paper>/items.yaml`, read."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from morphpipe.config.base import Model
from morphpipe.core.errors import DataError
from morphpipe.report.papers.setups import PAPERS, paper_data

# Metric tables by name, and what else an item can be made from: see `morphpipe.plan.paper_files`.
IMAGES, FEATURES, COMPARISON, RANKING = "images", "features", "comparison", "ranking"
CROPS, MORPHOLOGY, AUTOENCODER, SETTINGS = "crop-distances", "morphology", "autoencoder", "settings"
CELLPROFILER = "cellprofiler"
NUMBERS: Mapping[str, str] = {
    **dict.fromkeys(("distances", "cross_perturbation", CROPS, COMPARISON, RANKING), "distances"),
    **dict.fromkeys(("effects", "variance", "probes", FEATURES), "biology"),
    "reconstruction": AUTOENCODER,
    MORPHOLOGY: CELLPROFILER,
    IMAGES: IMAGES,
    SETTINGS: "configuration",
}
"""Which encoder is behind what an item is made from, where the item does not name another."""
Query = dict[str, Any]
_ASKED = {
    "paper", "role", "cell_type", "perturbation", "variant", "over", "otherwise", "channel", "view",
    "set", "metric", "measure", "comparison", "regime", "task",
}  # fmt: skip
_IN_CELLS = {"column", "system", "take", "optional", "with_images"}


class Need(NamedTuple):
    """Files that an item is made from.

    Attributes
    ----------
    role
        A role of the paper's (`morphpipe.config.papers`).
    what
        Name of a metric table, or `images`, `features`, `crop-distances`, `morphology`,
        `autoencoder`, `comparison`, `ranking`, `settings` (the configuration alone).
    paper
        Whose role.
    """

    role: str
    what: str
    paper: str


def _flat(cells: list[Any]) -> list[Any]:
    """One list of cells, of which some are in lists of their own."""
    return [one for cell in cells for one in (cell if isinstance(cell, list) else [cell])]


class Block(Model):
    """Rows of a table that are filled alike (`morphpipe.report.papers.blocks`).

    Attributes
    ----------
    row
        The row, in which `{cell_type}` for instance is that of `each`.
    each
        What rows differ in: values by their labels, or labels that are values. There is a row for
        every combination.
    query
        What all numbers of the block have in common:

        - `role` (that of the item's first need by default), and the `paper` that it is a role of;
        - `cell_type`, `perturbation` and `variant`: the paper's label, `all`, or a list of a label
          and the run's name that is taken where the run has none for the label;
        - `over: drawn`, for the mean over the perturbations drawn at random;
        - `channel` by the paper's label, or `view`, in which `{whole}`, `{size}` and `{recipe}`
          are those of the experiment;
        - `metric`, or `measure`: FID, KID or Relative FID;
        - `set` (of perturbations, by its key in the configuration), `comparison`, `regime`, `task`;
        - `otherwise`: what is asked for where there is no such number, other values or the two
          perturbations `swapped`.
    cells
        The cells of a row: `column` (`measure` by default), `system` (a key of
        `morphpipe.report.papers.cells.SYSTEMS`; by default the block's), and what differs from
        `query`. With `take` it is not the number itself but its `n_left`, `n_right` or one of its
        settings: left out where there is none if `optional`, and with the number of images if
        `with_images`.
    source
        The metric table.
    system
        Whose numbers these are; by default the paper's model.
    of_baseline
        Whether numbers are those of the baseline of a comparison.
    fill
        `numbers`, or one of `morphpipe.report.papers.comparison_cells`.
    transposed
        Whether rows are columns.
    row_by_view
        The row by the view of whole images.
    without_name
        Which cells say so where the run has no name for a label: `all`, those of the block's
        `own` system, or the columns that are listed; or a `note` does, and there are no cells.
    lacking
        What the run has no name for; by default the label.
    without_view
        The note where an experiment has no such view.
    note
        A note on each row, in which `{row}`, `{count}` (perturbations), `{drawn}`, `{recipe}` and
        `{real_images}` can be used.
    """

    row: str = ""
    each: dict[str, dict[str, str] | list[str]] = Field(default_factory=dict)
    query: Query = Field(default_factory=dict)
    cells: Annotated[list[Query], BeforeValidator(_flat)] = Field(default_factory=list)
    source: str = ""
    system: str = ""
    of_baseline: bool = False
    fill: Literal["numbers", "comparison", "settings", "ranks"] = "numbers"
    transposed: bool = False
    row_by_view: dict[str, str] = Field(default_factory=dict)
    without_name: Literal["all", "own", "note"] | list[str] = "all"
    lacking: str = ""
    without_view: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        for part in (self.each, self.query, *self.cells):
            known = _ASKED | (_IN_CELLS if part in self.cells else set())
            if unknown := part.keys() - known:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {sorted(known)}")
        return self


class Item(Model):
    """A table or figure of a paper.

    Attributes
    ----------
    paper, kind, number
        Its place; the number is text, as some have names.
    title, caption, section
        What it shows, in our words, and where it is in the paper. `{cell_type}` for instance is
        that of `figure`.
    needs
        What it is made from; the first role is the one that it is about. In the file roles by
        what is needed of them, with the paper in front where it is another one.
    numbers
        Which of `morphpipe.config.papers.PaperEncoders` its numbers come from; `cellprofiler`,
        `autoencoder` and `configuration` are others.
    trained
        Whether it depends on a generator, and not on real images alone.
    table
        How a table is filled.
    checks
        What it has to fulfil besides its floors, with arguments (`morphpipe.report.papers.checks`).
    figure
        What draws a figure (`morphpipe.report.papers.figures`), with arguments.
    notes
        Sentences that hold in every run.
    """

    paper: str
    kind: Literal["table", "figure"]
    number: str
    title: str
    caption: str
    section: str
    needs: tuple[Need, ...]
    numbers: str
    trained: bool = True
    table: list[Block] = Field(default_factory=list)
    checks: dict[str, Query] = Field(default_factory=dict)
    figure: Query = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """The target's name: `morphgen_table4`."""
        word = self.kind if self.number[0].isdigit() else ""
        return f"{self.paper}_{word}{self.number}"

    @property
    def main_role(self) -> str:
        """The role that it is about."""
        return self.needs[0].role


def _needs(paper: str, content: Mapping[str, list[str]]) -> list[Need]:
    found = []
    for what, roles in content.items():
        *other, kind = what.split("/")
        found += [Need(role, kind, *(other or [paper])) for role in roles]
    return found


def _read(paper: str) -> list[Item]:
    """Items of a paper; their keys are `table4`, `figure3`, or the name of a table."""
    found = []
    for key, content in paper_data(paper, "items.yaml")["items"].items():
        kind = "figure" if "figure" in content else "table"
        place = {"paper": paper, "kind": kind, "number": key.removeprefix(kind)}
        known = content.get("figure", {}) | place
        texts: Query = {text: content[text].format(**known) for text in ("title", "caption")}
        texts["notes"] = [note.format(**known) for note in content.get("notes", [])]
        texts["needs"] = needs = _needs(paper, content["needs"])
        numbers = {"numbers": NUMBERS[needs[0].what]}
        found.append(Item.model_validate(numbers | content | place | texts))
    return found


ITEMS: Mapping[str, Item] = {item.name: item for paper in PAPERS for item in _read(paper)}
"""By name, in the order of the papers."""


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
