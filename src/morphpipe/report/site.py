"""Writing the report, as a folder of pages and as a self-contained file."""

import gzip
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from morphpipe.core.storage import atomic_path, read_parquet
from morphpipe.report.content import Content, gather
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.drawing import inline_svg
from morphpipe.report.gallery import GALLERY_BYTES, GALLERY_BYTES_IN_ONE_FILE
from morphpipe.report.html import resource, template_environment
from morphpipe.report.inputs import ReportInputs
from morphpipe.report.page_files import EmbeddedFiles, PageFiles, SiteFiles
from morphpipe.report.pages import Page, make_pages

_LOG = logging.getLogger(__name__)
# Limit of mail servers; the log warns about larger reports.
_SENDABLE_BYTES = 30_000_000


class _Writer:
    """Renders templates, for separate pages or a single file.

    Parameters
    ----------
    content
        Content of the report.
    inline
        Whether to write a single file.
    drawn
        Cache of drawn figures, by owner and name.
    page_files
        Provides images, tables and figures.
    all_metrics
        Experiments and addresses of their metric tables.
    """

    def __init__(
        self,
        content: Content,
        page_files: PageFiles,
        *,
        inline: bool,
        drawn: dict[str, str],
        all_metrics: Sequence[tuple[str, str]] = (),
    ) -> None:
        most = GALLERY_BYTES_IN_ONE_FILE if inline else GALLERY_BYTES
        self.pages = make_pages(content, most)
        self._inline, self._drawn = inline, drawn
        self._environment = template_environment()
        self._environment.globals |= {
            "files": page_files,
            "svg": self._svg,
            "link": self._link,
            "inline": inline,
            "title": content.configuration.title,
            "all_metrics": list(all_metrics),
            "per_condition": content.per_condition,
        }

    def _svg(self, plot: Plot, owner: str) -> Markup:
        key = f"figure-{owner}-{plot.name}".replace(".", "-").replace(" ", "-")
        if key not in self._drawn:
            # Made by matplotlib, which escapes all text in it.
            self._drawn[key] = inline_svg(plot.figure, key)
        return Markup(self._drawn[key])

    def _address(self, page: Page) -> str:
        return f"#{page.anchor}" if self._inline else page.file

    def _link(self, kind: str, name: str = "") -> str:
        page = next(p for p in self.pages if (p.kind, p.name) == (kind, name))
        return self._address(page)

    def body(self, page: Page) -> Markup:
        """Render the body of a page."""
        template = self._environment.get_template(f"{page.kind}.html.j2")
        return Markup(template.render(page.context))

    def around(self, heading: str, bodies: list[Markup], current: Page | None) -> str:
        """Render an HTML document."""
        layout = self._environment.get_template("layout.html.j2")
        return layout.render(
            heading=heading,
            bodies=bodies,
            navigation=self._navigation(current),
            style=Markup(resource("style.css")) if self._inline else "",
            script=Markup(resource("site.js")) if self._inline else "",
        )

    def _navigation(self, current: Page | None) -> list[dict[str, Any]]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for page in self.pages:
            here = self._inline or page is current
            groups.setdefault(page.group, []).append(
                {
                    "title": page.title,
                    "address": self._address(page),
                    "current": page is current,
                    "parts": page.parts if here else [],
                }
            )
        return [{"title": title, "entries": entries} for title, entries in groups.items()]


def one_file(content: Content, drawn: dict[str, str] | None = None) -> str:
    """Return the whole report as one self-contained HTML document.

    Parameters
    ----------
    content
        Content of the report.
    drawn
        Cache of drawn figures.
    """
    writer = _Writer(content, EmbeddedFiles(), inline=True, drawn={} if drawn is None else drawn)
    bodies = [writer.body(page) for page in writer.pages]
    return writer.around(content.configuration.title, bodies, None)


def _write_all_metrics(content: Content, folder: Path) -> list[tuple[str, str]]:
    """Write complete metric tables as compressed CSV, reproducibly."""
    written = []
    for one in content.inputs.experiments:
        address = f"tables/{one.name}-all-metrics.csv.gz"
        frame = pd.concat([read_parquet(path, own=True).to_pandas() for path in one.metrics])
        with (
            open(folder / address, "wb") as stream,
            gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as compressed,
            io.TextIOWrapper(compressed, "utf-8", newline="") as text,
        ):
            frame.to_csv(text, index=False)
        written.append((one.name, address))
    return written


def write_site(content: Content, folder: Path, drawn: dict[str, str]) -> None:
    """Write the pages with their images, tables and figures.

    Parameters
    ----------
    content
        Content of the report.
    folder
        An empty folder, for `index.html` and other pages.
    drawn
        See `one_file`.
    """
    page_files = SiteFiles(folder, content.drawings)
    metrics = _write_all_metrics(content, folder)
    writer = _Writer(content, page_files, inline=False, drawn=drawn, all_metrics=metrics)
    for page in writer.pages:
        text = writer.around(page.title, [writer.body(page)], page)
        (folder / page.file).write_text(text, "utf-8")
    for name in ("style.css", "site.js"):
        (folder / name).write_text(resource(name), "utf-8")


def write_report(
    inputs: ReportInputs, *, page: str | Path | None = None, folder: str | Path | None = None
) -> None:
    """Write the report as a folder of pages, as one file, or both; each atomically.

    Earlier contents of the folder are removed.

    Parameters
    ----------
    inputs
        Inputs of the report.
    page
        Single file (`.html`); None: not written.
    folder
        Folder of the pages; None: not written.

    Raises
    ------
    ConfigError, DataError
        If a file is missing, damaged, or of another experiment.
    """
    content = gather(inputs)
    drawn: dict[str, str] = {}
    sizes = {}
    if folder is not None:
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            write_site(content, temporary, drawn)
            sizes[folder] = sum(p.stat().st_size for p in temporary.rglob("*") if p.is_file())
    if page is not None:
        with atomic_path(page) as temporary:
            temporary.write_text(one_file(content, drawn), "utf-8")
            sizes[page] = temporary.stat().st_size
    for place, size in sizes.items():
        say = _LOG.warning if size > _SENDABLE_BYTES else _LOG.info
        say("%s: %.1f MB", place, size / 1e6)
