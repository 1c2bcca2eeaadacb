"""The jobs that write the report, and the papers' tables and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morphpipe.report.collect import collect
from morphpipe.report.site import write_report


def write(
    configuration: dict[str, Any],
    experiments: Mapping[str, Mapping[str, Any]],
    comparisons: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Sequence[str]],
    *,
    page: str | Path,
    folder: str | Path | None = None,
    benchmarks: str | None = None,
    logs: str | None = None,
) -> None:
    """Write the report as one file and, where a folder is given, as pages.

    Parameters
    ----------
    configuration
        Configuration of the run, plain values.
    experiments, comparisons
        Files by name and kind, see `morphpipe.plan.report_files`.
    files
        `weights`, `autoencoders`, `encoders` and `papers`, see `morphpipe.report.collect.collect`.
    page, folder
        The file and the folder to write.
    benchmarks, logs
        Folders of the workflow.
    """
    inputs = collect(
        configuration,
        experiments,
        comparisons=comparisons,
        benchmarks=benchmarks,
        logs=logs,
        **files,
    )
    write_report(inputs, page=page, folder=folder)


def paper_item(name: str, run: Mapping[str, Any], item: str, *files: str) -> None:
    """Write a paper's table (`item`, CSV) or figure (`item`, PNG, PDF)."""
    from morphpipe.report.papers.items import ITEMS
    from morphpipe.report.papers.run import PaperRun

    content = PaperRun.from_plain(run)
    if ITEMS[name].kind == "table":
        from morphpipe.report.papers.tables import make_table

        make_table(name, content, item, *files)
    else:  # drawing takes long to import
        from morphpipe.report.papers.figures import make_figure

        make_figure(name, content, item, *files)
