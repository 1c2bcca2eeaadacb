"""Making a figure of the papers: from a run's files to `item.json`, PNG and PDF."""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.errors import MorphpipeError
from morphpipe.core.storage import atomic_path
from morphpipe.report.papers import image_figures as images
from morphpipe.report.papers import point_figures as points
from morphpipe.report.papers.drawing import new_figure
from morphpipe.report.papers.item_content import about_item, item_named
from morphpipe.report.papers.run import PaperRun

_DPI = 150


def _codec_figure(run: PaperRun, notes: list[str]) -> Figure:
    """Imported when it is asked for: no other item needs torch."""
    from morphpipe.report.papers.codec_figure import morphodiff_5

    return morphodiff_5(run, notes)


FIGURES: Mapping[str, Callable[[PaperRun, list[str]], Figure]] = {
    "morphgen_figure1": images.figure_1,
    "morphgen_figure2": images.figure_2,
    "morphgen_figure3": points.figure_3,
    "morphgen_figure4": points.figure_4,
    "morphgen_figure5": points.figure_5,
    "morphgen_figure6": points.figure_6,
    "morphgen_figure7": points.effects_figure("HEPG2"),
    "morphgen_figure8": points.effects_figure("HUVEC"),
    "morphgen_figure9": points.effects_figure("RPE"),
    "morphgen_figure10": points.effects_figure("U2OS"),
    "morphgen_figure11": points.effects_figure("HUVEC", "Nuclei"),
    "morphgen_figure12": points.figure_12,
    "morphgen_figure13": images.generated_grid("1108"),
    "morphgen_figure14": images.generated_grid("1124"),
    "morphgen_figure15": images.generated_grid("1137"),
    "morphgen_figure16": images.generated_grid("1138"),
    "morphodiff_figure2": images.morphodiff_2,
    "morphodiff_figure5": _codec_figure,
    "morphodiff_figure6": images.morphodiff_6,
}
"""What draws each figure, by the item's name."""


def _reason_figure(reason: str) -> Figure:
    figure = new_figure(7, 0.8)
    figure.text(0.01, 0.5, reason, va="center", wrap=True)
    return figure


def make_figure(
    name: str, run: PaperRun, item_path: str | Path, png: str | Path, pdf: str | Path
) -> None:
    """Write `item.json`, and the figure as PNG and PDF.

    What cannot be drawn in this run is a figure that says why, with the reason in its item.
    """
    item, reason = item_named(name), ""
    notes: list[str] = []
    try:
        figure = FIGURES[name](run, notes)
    except MorphpipeError as error:
        reason = str(error)
        figure = _reason_figure(reason)
    for path in (png, pdf):
        with atomic_path(path) as temporary:
            # Without the time of writing, so that the same figure is the same file.
            dates = {"CreationDate": None} if Path(path).suffix == ".pdf" else None
            figure.savefig(temporary, dpi=_DPI, metadata=dates)
    about = about_item(item, run)
    if reason:
        about["comparable"] = "published only"
    content = {"notes": notes, "reason": reason, "checks": []}
    files = {"files": [Path(png).name, Path(pdf).name]}
    write_checked_json(about | content | files, item_path)
