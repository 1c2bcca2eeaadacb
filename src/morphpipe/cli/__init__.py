"""The command line interface `morphpipe <verb>`."""

import sys

import typer

from morphpipe.cli import (
    conditions,
    configuration,
    exports,
    features,
    generation,
    jobs,
    morphology,
    perturbation,
    plates,
    reporting,
    simulation,
)
from morphpipe.cli.outputs import forget_outputs, record_outputs
from morphpipe.core.console import describe
from morphpipe.core.errors import MorphpipeError

app = typer.Typer(
    name="morphpipe",
    help="Generative models of cell morphology. The Snakemake workflow runs all steps from raw "
    "plates to a report; these verbs prepare a run, generate images from its checkpoints and "
    "inspect its results. `morphpipe <verb> --help` shows an example.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for part in (
    configuration,
    simulation,
    plates,
    conditions,
    generation,
    perturbation,
    exports,
    features,
    morphology,
    reporting,
    jobs,
):
    part.register(app)


def main() -> None:
    """Run a verb; errors of morphpipe are printed, with exit code 1."""
    try:
        app()
    except MorphpipeError as error:
        print(describe(error), file=sys.stderr)
        sys.exit(1)
    finally:
        # Also after a failure or interruption, so that the verb can resume.
        record_outputs()
        forget_outputs()
