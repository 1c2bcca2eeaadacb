"""Checks of a configuration that look at data, before any job runs."""

from pathlib import Path
from typing import Any

from morphpipe.config import Configuration, parse_configuration
from morphpipe.config.yaml_files import read_yaml
from morphpipe.core.errors import ConfigError, MorphpipeError
from morphpipe.plan.plates import own_plates


def plan_run(content: dict[str, Any], place: str = "The configuration") -> Configuration:
    """Check the content of a configuration, and what it names.

    Parameters
    ----------
    content
        What the YAML holds.
    place
        Where it comes from, for the message.

    Raises
    ------
    ConfigError
        See `parse_configuration`; or when a simulated screen cannot be made, or one's own sheet
        cannot be read.
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
    dataset = configuration.datasets[name]
    try:
        if dataset.source == "simulated":
            from morphpipe.datasets.simulated.source import screen_design

            # Its cell types and perturbations are known beforehand.
            screen_design(dataset)
        elif dataset.source == "sheet":
            own_plates(dataset)
    except MorphpipeError as error:
        key = ".sheet" if dataset.source == "sheet" else ""
        return f"{key}: {error}"
    return None


def read_plan(path: str | Path) -> Configuration:
    """Read and check a configuration file (YAML), see `plan_run`."""
    return plan_run(read_yaml(path), str(path))
