"""Verbs around real images and weights: fetching, the field table, the split."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import CONFIG, Config, Fields, configured
from morphpipe.errors import ConfigError


def download(
    url: Annotated[str, typer.Argument(help="`https:`, `http:` or `file:` address.")],
    output: Annotated[Path, typer.Argument(help="File to write.")],
    sha256: Annotated[
        str | None, typer.Option(help="The checksum that the file has to have.")
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of checksums by address: one that stands there is demanded, another "
            "is added."
        ),
    ] = None,
) -> None:
    r"""Fetch a file, and check it; called again, it goes on where it broke off.

    Example:

    ```
    morphpipe download \
        https://storage.googleapis.com/rxrx/rxrx1/rxrx1-metadata.zip \
        cache/rxrx1-metadata.zip --lock config/downloads.lock.json
    ```
    """
    from morphpipe.datasets.download import fetch

    print(fetch(url, output, sha256=sha256, lock=lock), output)


def weights(
    name: Annotated[str, typer.Argument(help="One of the configuration's `weights`.")],
    config: Config = CONFIG,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write; default: `weights/<name>` in the cache folder."),
    ] = None,
) -> None:
    """Fetch declared weights into a folder, with a record of what they are.

    Files that were put there by hand are taken, and checked like any other. Example:

    ```
    morphpipe weights simulated-codec --config config/demo.yaml
    ```
    """
    from morphpipe.weights import fetch_weights

    configuration, declared = configured(config, "weights", name)
    folder = output or Path(configuration.paths.cache) / "weights" / name
    fetch_weights(name, declared, folder, configuration.paths.lock)
    print(folder)


def fields(
    name: Annotated[str, typer.Argument(help="One of the configuration's `datasets`.")],
    images: Annotated[
        list[Path],
        typer.Option(
            help="Archive of images: RxRx1's one, or a simulated plate's (repeat per plate)."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Field table (.parquet) to write.")],
    metadata: Annotated[
        Path | None, typer.Option(help="RxRx1's rxrx1-metadata.zip, or metadata.csv.")
    ] = None,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            help="Table to write of the fields that were put aside; default: quarantine.parquet "
            "beside the field table."
        ),
    ] = None,
    look: Annotated[
        bool,
        typer.Option(
            "--look/--no-look",
            help="Decode every plane of RxRx1 once. Without, an unreadable plane stops the stage "
            "that meets it.",
        ),
    ] = True,
    config: Config = CONFIG,
) -> None:
    r"""Make the field table of a dataset: a row per field, and where its planes are.

    The archives stay as they are. Example:

    ```
    morphpipe fields rxrx1 --images rxrx1-images.zip \
        --metadata rxrx1-metadata.zip --output fields.parquet
    morphpipe fields screen --config config/demo.yaml \
        --images shard-0.zip --images shard-1.zip --output fields.parquet
    ```
    """
    from morphpipe.datasets.fields import concatenate, read_fields
    from morphpipe.datasets.quality import unreadable_fields
    from morphpipe.datasets.stage import catalogue_rxrx1, write_tables

    _, dataset = configured(config, "datasets", name)
    put_aside = []
    if dataset.source == "simulated":
        if metadata is not None:
            raise ConfigError(f"The dataset {name!r} is simulated: it takes no --metadata.")
        table = concatenate([read_fields(path) for path in images], output.parent)
    else:
        if len(images) != 1 or metadata is None:
            raise ConfigError(
                f"The dataset {name!r} is RxRx1: give its two archives with --images and "
                "--metadata."
            )
        table, missing = catalogue_rxrx1(name, dataset, images[0], metadata, output.parent)
        put_aside.append(missing)
        if look:
            put_aside.append(unreadable_fields(table, quarantine=dataset.quarantine))
    kept, aside = write_tables(
        table, put_aside, output, quarantine or output.with_name("quarantine.parquet")
    )
    print(f"{kept} fields in {output}, {aside} put aside")


def split(
    name: Annotated[str, typer.Argument(help="One of the configuration's `splits`.")],
    fields: Fields,
    output: Annotated[Path, typer.Option(help="Split table (.parquet) to write.")],
    config: Config = CONFIG,
) -> None:
    r"""Say which field is for training, for feature encoders, or for evaluation.

    Wells are never divided. Example:

    ```
    morphpipe split screen --config config/demo.yaml \
        --fields fields.parquet --output split.parquet
    ```
    """
    from morphpipe.datasets.fields import read_fields
    from morphpipe.evaluation.split_table import make_split, write_split

    _, settings = configured(config, "splits", name)
    table = make_split(read_fields(fields).keys(), settings)
    write_split(table, output)
    for side, number in table["split"].value_counts(sort=False).items():
        print(f"{side}: {number} fields")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (download, weights, fields, split):
        app.command(rich_help_panel="Data and weights")(verb)
