"""Tables of the overview page."""

from collections.abc import Sequence

from morphpipe.report.findings.key_figures import KeyFigure
from morphpipe.report.section import Section
from morphpipe.report.tables import Cell, Table, table


def _figure_cell(figure: KeyFigure) -> Cell:
    if not figure.is_known:
        return Cell("–", "number")
    notes = [figure.interval, *(f"{b.label} {figure.shown(b.value)}" for b in figure.beside)]
    return Cell(
        figure.shown(figure.value),
        "number",
        "\n".join(note for note in notes if note),
        figure.value,
    )


def figures_table(sections: Sequence[Section]) -> Table | None:
    """Key figures of all experiments; None for a single experiment."""
    if len(sections) < 2:
        return None
    columns = [section.key_figures for section in sections]
    rows = [
        [Cell(same[0].question, "long"), *(_figure_cell(figure) for figure in same)]
        for same in zip(*columns, strict=True)
    ]
    caption = (
        "Key figures of all experiments, with interval, floor and controls below. Experiments on "
        "different data or with different encoders are not comparable."
    )
    heads = ["", *(section.evidence.name for section in sections)]
    made = table(caption, heads, rows, len(sections))
    return Table(made.caption, made.headers, made.rows, "overview-numbers")


def checks_table(sections: Sequence[Section]) -> Table | None:
    """Validity checks of all experiments; None for a single experiment."""
    if len(sections) < 2:
        return None
    rows = [
        [
            Cell(same[0].text, "long"),
            *(Cell(c.verdict, "fault" if c.holds is False else "text") for c in same),
        ]
        for same in zip(*(section.checks for section in sections), strict=True)
    ]
    caption = "Validity checks of all experiments; see their pages for details."
    made = table(caption, ["", *(section.evidence.name for section in sections)], rows)
    return Table(made.caption, made.headers, made.rows, "overview-checks")


def shared_caveats(sections: Sequence[Section]) -> list[tuple[str, list[str]]]:
    """Limitations without duplicates, with the experiments that they apply to."""
    found: dict[str, list[str]] = {}
    for section in sections:
        for sentence in section.caveats:
            found.setdefault(sentence, []).append(section.evidence.name)
    return list(found.items())
