"""Verbs around the configuration."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import CONFIG

ConfigFile = Annotated[Path, typer.Argument(help="Configuration file (YAML).")]


def check(config: ConfigFile = CONFIG) -> None:
    """Read a configuration and say what is wrong with it, all at once.

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
    """Say how many jobs, GPU hours and gigabytes a run will take, before it starts.

    Example:

    ```
    morphpipe estimate config/demo.yaml
    ```
    """
    from rich.console import Console

    from morphpipe.plan.checks import read_plan
    from morphpipe.plan.estimate import estimate_run

    Console().print(estimate_run(read_plan(config)).as_table())


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (check, estimate):
        app.command(rich_help_panel="Before a run")(verb)
