"""`morphpipe <verb>`: the stages of the workflow for people without Snakemake."""

import sys

import typer

from morphpipe.cli import (
    comparison,
    conditions,
    configuration,
    datasets,
    downloads,
    evaluation,
    generation,
    latents,
    morphology,
    networks,
    plates,
    reporting,
    simulation,
    training,
    verification,
)
from morphpipe.cli.outputs import forget_outputs, record_outputs
from morphpipe.core.console import describe
from morphpipe.core.errors import MorphpipeError

app = typer.Typer(
    name="morphpipe",
    help="Generative models of cell morphology, stage by stage. The whole flow, from raw plates "
    "to a report, is the Snakemake workflow; each verb here is one stage of it. "
    "`morphpipe <verb> --help` shows an example.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for part in (
    configuration,
    downloads,
    simulation,
    datasets,
    plates,
    networks,
    latents,
    conditions,
    training,
    generation,
    evaluation,
    comparison,
    morphology,
    reporting,
    verification,
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
