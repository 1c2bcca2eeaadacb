"""Assembling the report: one HTML file that needs nothing else."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from morphpipe.checksums import check_recorded
from morphpipe.report import pictures, tables
from morphpipe.report.captions import Plot
from morphpipe.report.comparison import build_comparison
from morphpipe.report.drawing import inline_svg
from morphpipe.report.evidence import read_evidence
from morphpipe.report.inputs import ReportInputs
from morphpipe.report.licences import licence_table
from morphpipe.report.section import build_section
from morphpipe.storage import atomic_path


def _history(folder: Path) -> str:
    """Last entry of the training of a codec or encoder, in words."""
    path = folder / "history.csv"
    if not path.exists():
        return "no history.csv in its folder"
    check_recorded(path)
    history = pd.read_csv(path)
    if history.empty:
        return "an empty history"
    last = history.iloc[-1]
    return ", ".join(f"{name} {tables.number(float(value))}" for name, value in last.items()
                     if isinstance(value, int | float))  # fmt: skip


def _trained_table(inputs: ReportInputs) -> tables.Table:
    rows = [
        [kind, name, _history(folder)]
        for kind, folders in (("codec", inputs.codecs), ("encoder", inputs.encoders))
        for name, folder in folders.items()
    ]
    caption = "Codecs and encoders that this run trained itself, and where their training ended."
    return tables.table(caption, ["kind", "name", "last entry of the history"], rows)


def build_report(inputs: ReportInputs) -> str:
    """Make the page.

    Parameters
    ----------
    inputs
        The files of the experiments and what the workflow knows.

    Returns
    -------
    str
        HTML that loads nothing from anywhere.

    Raises
    ------
    ConfigError, DataError
        If a file is missing, damaged, or of another experiment.
    """
    configuration = inputs.configuration
    sections = [
        build_section(configuration, read_evidence(files_of, configuration), files_of.morphology)
        for files_of in inputs.experiments
    ]
    environment = Environment(
        loader=PackageLoader("morphpipe.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["uri"] = pictures.data_uri
    configured = configuration.model_dump(mode="json")

    def svg(plot: Plot, number: int | str) -> Markup:
        # Made by matplotlib, which escapes all text in it.
        return Markup(inline_svg(plot.figure, f"figure-{number}-{plot.name}"))

    context: dict[str, Any] = {
        "title": configuration.title,
        "style": Markup(files("morphpipe.report").joinpath("style.css").read_text("utf-8")),
        "sections": sections,
        "comparisons": [build_comparison(configuration, files) for files in inputs.comparisons],
        "svg": svg,
        "per_condition": pictures.PER_CONDITION,
        "most": (pictures.MOST_CELL_TYPES, pictures.MOST_PERTURBATIONS),
        "trained": _trained_table(inputs),
        "licences": licence_table(inputs, sections),
        "versions": dict(inputs.versions),
        "configuration": yaml.safe_dump(configured, sort_keys=False, allow_unicode=True),
    }
    return environment.get_template("template.html.j2").render(context)


def write_report(inputs: ReportInputs, path: str | Path) -> None:
    """Make the page and write it, atomically."""
    page = build_report(inputs)
    with atomic_path(path) as temporary:
        temporary.write_text(page, "utf-8")
