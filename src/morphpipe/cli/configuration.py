"""Verbs that check a configuration before a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from morphpipe.cli.options import CONFIG
from morphpipe.cli.outputs import new

if TYPE_CHECKING:
    from morphpipe.datasets.sources.source import Download

ConfigFile = Annotated[Path, typer.Argument(help="Configuration file (YAML).")]


def check(config: ConfigFile = CONFIG) -> None:
    """Validate a configuration, and report all errors.

    Example:

    ```
    morphpipe check config/demo.yaml
    ```

    Every key is explained in `config/reference.yaml`.
    """
    from morphpipe.plan.checks import read_plan

    names = list(read_plan(config).experiments)
    experiments = "experiment" if len(names) == 1 else "experiments"
    print(f"{config} is fine: {len(names)} {experiments} ({', '.join(names)}).")


def estimate(config: ConfigFile = CONFIG) -> None:
    """Estimate jobs, run time and disk space of a run.

    Example:

    ```
    morphpipe estimate config/demo.yaml
    ```
    """
    from rich.console import Console

    from morphpipe.plan.checks import read_plan
    from morphpipe.plan.estimate import estimate_run

    Console().print(estimate_run(read_plan(config)).as_table())


def downloads(
    config: ConfigFile = CONFIG,
    output: Annotated[
        Path | None,
        new("CSV to write, for scripts: what, source, path, licence, size, sha256, note."),
    ] = None,
) -> None:
    """List all downloads of a configuration, with their locations.

    For machines without a network: fetch the files elsewhere and put them in their places, and
    the workflow takes them from there. What is listed as many small parts, and CellProfiler's
    environment, is made by the workflow itself, on a machine that has a network and the same disk:
    `snakemake --profile profiles/local --configfile CONFIG downloads` fetches all that is listed.

    Sizes and checksums are shown where they are known before the first download. Example:

    ```
    morphpipe downloads config/demo.yaml --output downloads.csv
    ```
    """
    from morphpipe.plan.checks import read_plan
    from morphpipe.plan.downloads import list_downloads

    configuration = read_plan(config)
    found = list_downloads(configuration)
    before = ""
    for download in found:
        if download.what != before:
            licence = download.licence or "not named"
            print(f"{download.what} (licence: {licence})")
            before = download.what
        print(_described(download))
    if configuration.morphology_in_use():
        print(
            "CellProfiler's environment\n"
            "  from  the Python package index: the wheels in workflow/envs/cellprofiler.lock, each "
            "with its checksum\n"
            f"  to    {configuration.paths.environments}"
        )
    here = sum(download.is_there for download in found)
    print(f"{len(found)} files, {here} of them in their places.")
    if any(download.sha256 is None for download in found):
        print(
            "Missing SHA-256 checksums are recorded at the first download in "
            f"{configuration.paths.lock}."
        )
    if output is not None:
        import pandas as pd

        from morphpipe.core.storage import atomic_path

        with atomic_path(output) as temporary:
            pd.DataFrame([vars(d) for d in found]).to_csv(temporary, index=False)


def _described(download: "Download") -> str:
    known = [] if download.size is None else [f"{download.size / 1e9:.0f} GB"]
    known += [] if download.sha256 is None else [f"SHA-256 {download.sha256}"]
    lines = [
        f"  from  {download.source}",
        f"  to    {download.path}{' (exists)' if download.is_there else ''}",
        *([f"        {', '.join(known)}"] if known else []),
    ]
    if download.note:
        lines.append(f"        {download.note}")
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (check, estimate, downloads):
        app.command(rich_help_panel="Before a run")(verb)
