"""`morphpipe <verb>`: what people do by hand, before and after a run of the workflow."""

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
    help="Generative models of cell morphology. The whole flow, from raw plates to a report, is "
    "the Snakemake workflow; these verbs prepare a run, generate images from its checkpoints and "
    "look at its results. `morphpipe <verb> --help` shows an example.",
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
    """Run a verb; a mistake of the user ends in one sentence and the exit code 1."""
    try:
        app()
    except MorphpipeError as error:
        print(describe(error), file=sys.stderr)
        sys.exit(1)
    finally:
        # Also of a verb that failed or was interrupted: it goes on with what it has made.
        record_outputs()
        forget_outputs()
