"""Making the papers' figures: `item.json`, PNG and PDF."""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.errors import MorphpipeError
from morphpipe.core.storage import atomic_path
from morphpipe.report.figures.drawing import new_figure
from morphpipe.report.papers import image_figures as images
from morphpipe.report.papers import point_figures as points
from morphpipe.report.papers.comparability import about_item
from morphpipe.report.papers.items import item_named
from morphpipe.report.papers.paper_figure import PaperFigure
from morphpipe.report.papers.run import PaperRun

_DPI = 150
FIGURES: Mapping[str, Callable[..., Figure]] = {
    "pairs": images.pairs,
    "channels": images.channels,
    "samples": images.samples,
    "systems": images.systems,
    "autoencoder": images.autoencoder,
    "two components": points.two_components,
    "origins": points.origins,
    "effects": points.effects,
    "profiles": points.profiles,
    "profile panels": points.profile_panels,
    "correlations": points.correlations,
}
"""Functions that draw figures, by their names in `items.yaml`."""


def _reason_figure(reason: str) -> Figure:
    figure = new_figure(7, 0.8)
    figure.text(0.01, 0.5, reason, va="center", wrap=True)
    return figure


def make_figure(
    name: str, run: PaperRun, item_path: str | Path, png: str | Path, pdf: str | Path
) -> None:
    """Write `item.json`, and the figure as PNG and PDF.

    If a figure cannot be drawn, it shows the reason, which is also in `item.json`.
    """
    item, reason = item_named(name), ""
    of = PaperFigure(item, run)
    arguments = {key: value for key, value in item.figure.items() if key != "draw"}
    try:
        figure = FIGURES[item.figure["draw"]](of, **arguments)
    except MorphpipeError as error:
        reason = str(error)
        figure = _reason_figure(reason)
    for path in (png, pdf):
        with atomic_path(path) as temporary:
            # Omit the creation date, for reproducible files.
            dates = {"CreationDate": None} if Path(path).suffix == ".pdf" else None
            figure.savefig(temporary, dpi=_DPI, metadata=dates)
    about = about_item(item, run)
    if reason:
        about["comparable"] = "published only"
    content = {"notes": [*of.notes, *item.notes], "reason": reason, "checks": []}
    files = {"files": [Path(png).name, Path(pdf).name]}
    write_checked_json(about | content | files, item_path)
