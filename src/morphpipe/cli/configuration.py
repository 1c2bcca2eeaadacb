"""Verbs around the configuration."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(help="Configuration file (YAML).")]


def check(config: ConfigFile = Path("config/config.yaml")) -> None:
    """Read a configuration and say what is wrong with it, all at once."""
    from morphpipe.config import read_configuration

    configuration = read_configuration(config)
    print(
        f"{config} is fine: {len(configuration.experiments)} experiments "
        f"({', '.join(configuration.experiments)})."
    )


def estimate(config: ConfigFile = Path("config/config.yaml")) -> None:
    """Say how many jobs, GPU hours and gigabytes a run will take, before it starts."""
    from rich.console import Console

    from morphpipe.config import read_configuration
    from morphpipe.estimate import estimate_run

    Console().print(estimate_run(read_configuration(config)).as_table())


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(check)
    app.command()(estimate)
