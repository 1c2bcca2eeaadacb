"""Images, tables and figures of pages, as separate files or embedded."""

import base64
import io
import math
import shutil
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from morphpipe.report.comma_separated import comma_separated
from morphpipe.report.figures import plots
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.thumbnails import PictureFolder, embedded
from morphpipe.report.paper_items import PaperItem
from morphpipe.report.section import Section
from morphpipe.report.tables import Table

# Bytes of all figures (PNG), so that the report is small enough to send. With many experiments
# figures have a lower resolution.
FIGURES_BYTES = 8_000_000
# A figure of a paper may be a page of images.
_PAPER_FIGURE_BYTES = 400_000
_RESOLUTIONS = (150, 110, 80)
Downloads = list[tuple[str, str]]


class PageFiles(Protocol):
    """Addresses of the images, tables and figures of a page."""

    def picture(self, picture: NDArray[np.uint8] | bytes) -> str:
        """Address of a picture: pixels, or a JPEG file's content."""

    def table(self, table: Table) -> str:
        """Address of a table as CSV."""

    def drawing(self, plot: Plot, owner: str) -> Downloads:
        """Formats and addresses of a figure."""

    def sheets(self, section: Section) -> Downloads:
        """Formats and addresses of an experiment's contact sheet."""

    def paper_figure(self, item: PaperItem) -> str:
        """Address of a paper's figure."""

    def paper_downloads(self, item: PaperItem) -> Downloads:
        """Formats and addresses of it."""


class EmbeddedFiles:
    """Files that are embedded in the page."""

    def picture(self, picture: NDArray[np.uint8] | bytes) -> str:
        """Address of a picture: the picture itself."""
        return embedded(picture)

    def table(self, table: Table) -> str:
        """Address of a table: the table itself."""
        text = comma_separated(table).encode()
        return "data:text/csv;base64," + base64.b64encode(text).decode()

    def drawing(self, plot: Plot, owner: str) -> Downloads:
        """None: the page draws it."""
        return []

    def sheets(self, section: Section) -> Downloads:
        """None: the page shows them."""
        return []

    def paper_figure(self, item: PaperItem) -> str:
        """Address of a paper's figure: the figure itself."""
        return "data:image/png;base64," + base64.b64encode(_paper_figure(item)).decode()

    def paper_downloads(self, item: PaperItem) -> Downloads:
        """None: the page shows it."""
        return []


class SiteFiles:
    """Files in subfolders of the site, written on first use.

    Parameters
    ----------
    site
        Folder of the pages.
    figures
        Number of figures, which share `FIGURES_BYTES`.
    """

    def __init__(self, site: Path, figures: int) -> None:
        self._site = site
        self._most = FIGURES_BYTES // max(figures, 1)
        for folder in ("tables", "figures"):
            (site / folder).mkdir(parents=True, exist_ok=True)
        self._pictures = PictureFolder(site)

    def picture(self, picture: NDArray[np.uint8] | bytes) -> str:
        """Address of a picture: pixels, or a JPEG file's content."""
        return self._pictures(picture)

    def table(self, table: Table) -> str:
        """Address of a table as CSV."""
        address = f"tables/{table.name}.csv"
        # Spreadsheets read CSV as Latin-1 without a byte-order mark.
        (self._site / address).write_text(comma_separated(table), "utf-8-sig", newline="")
        return address

    def drawing(self, plot: Plot, owner: str) -> Downloads:
        """A figure as PNG and PDF."""
        return self._save(plot.figure, f"{owner}-{plot.name}")

    def sheets(self, section: Section) -> Downloads:
        """The contact sheet of the experiment as PNG and PDF."""
        if not section.samples:
            return []
        name = f"{section.evidence.name}-samples"
        image = _rendered(plots.figure_samples(section.samples), _RESOLUTIONS[-1])
        return self._save_image(image, name)

    def paper_figure(self, item: PaperItem) -> str:
        """Address of a paper's figure."""
        address = f"figures/{item.name}.png"
        place = self._site / address
        if not place.exists():
            place.write_bytes(_paper_figure(item))
        return address

    def paper_downloads(self, item: PaperItem) -> Downloads:
        """A paper's figure as PNG and PDF."""
        drawn, address = item.folder / "figure.pdf", f"figures/{item.name}.pdf"
        if drawn.exists() and drawn.stat().st_size <= _PAPER_FIGURE_BYTES:
            shutil.copyfile(drawn, self._site / address)
        else:
            assert item.figure is not None
            with Image.open(item.figure) as image:
                _save_pdf(image, self._site / address)
        return [("PNG", self.paper_figure(item)), ("PDF", address)]

    def _save(self, figure: Figure, name: str) -> Downloads:
        png, pdf = f"figures/{name}.png", f"figures/{name}.pdf"
        for resolution in _RESOLUTIONS:
            content = _png(_rendered(figure, resolution))
            if len(content) <= self._most:
                break
        (self._site / png).write_bytes(content)
        figure.savefig(self._site / pdf, dpi=_RESOLUTIONS[0], metadata={"CreationDate": None})
        return [("PNG", png), ("PDF", pdf)]

    def _save_image(self, image: Image.Image, name: str) -> Downloads:
        png, pdf = f"figures/{name}.png", f"figures/{name}.pdf"
        most, buffer = max(self._most, _PAPER_FIGURE_BYTES), io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
        (self._site / png).write_bytes(content if len(content) <= most else _smaller(image, most))
        _save_pdf(image, self._site / pdf)
        return [("PNG", png), ("PDF", pdf)]


def _rendered(figure: Figure, resolution: int) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=resolution)
    return Image.open(buffer).convert("RGB")


def _png(image: Image.Image) -> bytes:
    """Encode a figure as PNG with at most 256 colours."""
    buffer = io.BytesIO()
    image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def _paper_figure(item: PaperItem) -> bytes:
    """Return a paper's figure, reduced in size if it is too large for a page."""
    assert item.figure is not None
    content = item.figure.read_bytes()
    if len(content) <= _PAPER_FIGURE_BYTES:
        return content
    with Image.open(io.BytesIO(content)) as image:
        return _smaller(image, _PAPER_FIGURE_BYTES)


def _smaller(image: Image.Image, most: int) -> bytes:
    """Encode as PNG with a maximum size, by reducing colours and then dimensions."""
    small = image.convert("RGB")
    content = _png(small)
    while len(content) > most and max(small.size) > 200:
        # File size is roughly proportional to area; aim slightly lower to need few iterations.
        scale = min(0.9, 0.95 * math.sqrt(most / len(content)))
        small = small.resize((round(small.width * scale), round(small.height * scale)))
        content = _png(small)
    return content


def _save_pdf(image: Image.Image, place: Path) -> None:
    """Save an image as PDF with JPEG compression, reproducibly."""
    image.convert("RGB").save(
        place, "PDF", resolution=100.0, quality=85, subsampling=0, creationDate=None, modDate=None
    )
