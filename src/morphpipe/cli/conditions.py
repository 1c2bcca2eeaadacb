"""The verb `conditions`."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import CONFIG, Config, Fields, Log, configured, prepare, read_settings
from morphpipe.cli.outputs import new
from morphpipe.core.errors import ConfigError


def conditions(
    fields: Fields,
    name: Annotated[
        str | None, typer.Argument(help="One of the configuration's `conditions`.")
    ] = None,
    config: Config = CONFIG,
    settings: Annotated[
        str | None,
        typer.Option(help="Instead of NAME and --config: a condition as JSON or .json file."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of the condition's weights, as the workflow writes it."),
    ] = None,
    output: Annotated[Path | None, new("Table to write (.parquet).")] = None,
    list_missing: Annotated[
        bool,
        typer.Option("--list-missing", help="Only list the perturbations without an embedding."),
    ] = False,
    log: Log = None,
) -> None:
    r"""Make the table of perturbation embeddings that a generator is conditioned on.

    Example:

    ```
    morphpipe conditions rdkit-bbbc021 --config config/config.yaml \
        --fields fields.parquet --weights weights --output conditions.parquet
    ```

    Check which of your own compounds have embeddings, without a configuration:

    ```
    morphpipe conditions --settings '{"kind": "rdkit"}' --fields fields.parquet --list-missing
    ```
    """
    prepare(None, log)
    from morphpipe.perturbations.condition_table import build, read_condition
    from morphpipe.tables.archive import read_fields

    if (name is None) == (settings is None):
        raise ConfigError("Give either the name of a condition or --settings.")
    if (output is None) != list_missing:
        raise ConfigError("Give either --output or --list-missing.")
    if settings is not None:
        wanted = read_condition(read_settings(settings))
    else:
        _, wanted = configured(config, "conditions", str(name))
    if list_missing:
        wanted = wanted.model_copy(update={"missing": "leave_out"})
    table = build(read_fields(fields).keys(), wanted, weights)
    for perturbation, reason in table.missing.itertuples(index=False):
        print(f"{perturbation}\t{reason}")
    summary = f"conditions: {len(table)}, perturbations without an embedding: {len(table.missing)}"
    if output is None:
        print(summary)
    else:
        table.write(output)
        print(f"{output}: {summary}; {table.width} numbers each, {table.description}")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(rich_help_panel="Data")(conditions)
