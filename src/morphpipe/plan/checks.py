"""Checks of a configuration against data and files, before any job runs."""

import os
from pathlib import Path
from typing import Any

from morphpipe.config import Configuration, parse_configuration
from morphpipe.config.yaml_files import read_yaml
from morphpipe.core.errors import ConfigError, MorphpipeError
from morphpipe.datasets.sources.registry import source_of
from morphpipe.report.papers.items import ITEMS


def plan_run(content: dict[str, Any], place: str = "The configuration") -> Configuration:
    """Check the content of a configuration, and the datasets that it uses.

    Parameters
    ----------
    content
        Content of the YAML file.
    place
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        See `parse_configuration`; or if a simulated screen is impossible, or a sample sheet cannot
        be read.
    """
    configuration = parse_configuration(content, place)
    faults = [
        f"  datasets.{name}{fault}"
        for name in configuration.datasets
        if (fault := _fault(configuration, name))
    ]
    if faults:
        raise ConfigError("\n".join([f"{place} cannot be used:", *faults]))
    return configuration


def _fault(configuration: Configuration, name: str) -> str | None:
    settings = configuration.datasets[name]
    source = source_of(settings)
    try:
        source.check()
    except MorphpipeError as error:
        return f"{source.checked}: {error}"
    for key, paths in settings.own_files.items():
        for path in paths:
            # Rules make what lies in the folder of results.
            if not Path(path).exists() and not path.startswith(f"{configuration.paths.results}/"):
                return (
                    f".{key}: There is no file or folder {path}: put it there, or correct the "
                    "path. Addresses begin with `https:`, `http:` or `file:`."
                )
    return None


def check_workflow(configuration: Configuration) -> None:
    """Check that CellProfiler pipelines exist, and that the papers' items are known.

    Snakemake does not notice a missing pipeline if its measurements exist.

    Raises
    ------
    ConfigError
        With the first missing pipeline, or the unknown items.
    """
    for name, settings in configuration.morphology.items():
        if not Path(settings.pipeline).is_file():
            raise ConfigError(
                f"morphology.{name}.pipeline: there is no file {settings.pipeline}; give the path "
                "of a .cppipe file, relative to the working directory."
            )
    unknown = [name for name in configuration.papers.items or [] if name not in ITEMS]
    if unknown:
        raise ConfigError(
            f"papers.items: the papers have no {', '.join(unknown)}; there are {', '.join(ITEMS)}."
        )


def require_environment(folder: Path, record: str | Path) -> None:
    """Check that CellProfiler's environment exists, unless the workflow will create it.

    Parameters
    ----------
    folder
        Folder of the environment.
    record
        Record of the environment in the results.

    Raises
    ------
    ConfigError
        If there is a record, but no environment.
    """
    if Path(record).exists() and not os.access(folder / "bin" / "python", os.X_OK):
        raise ConfigError(
            f"CellProfiler's environment {folder} is missing, or paths.environments has changed: "
            f"create it with `morphpipe environment cellprofiler --folder {folder.parent}`, "
            f"or delete {record} and rerun the workflow."
        )


def read_plan(path: str | Path) -> Configuration:
    """Read and check a configuration file (YAML), see `plan_run`."""
    return plan_run(read_yaml(path), str(path))
