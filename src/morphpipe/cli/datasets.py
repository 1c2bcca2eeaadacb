"""Verbs around real images and weights: fetching, the field table, the split."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import CONFIG, Config, Fields, configured
from morphpipe.cli.outputs import new, place, unused
from morphpipe.core.errors import ConfigError, WeightsError


def download(
    url: Annotated[str, typer.Argument(help="`https:`, `http:` or `file:` address.")],
    output: Annotated[Path, typer.Argument(callback=unused, help="File to write.")],
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
    from morphpipe.datasets.fetch.download import fetch, part_of

    part, tag = part_of(output)
    # Without its tag it is not what an earlier call has left, and would be begun anew.
    if not tag.exists():
        place(part, named=False)
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
    from morphpipe.core.checksums import RECORD, read_record
    from morphpipe.datasets.fetch.weights import fetch_weights

    configuration, declared = configured(config, "weights", name)
    folder = output or Path(configuration.paths.cache) / "weights" / name
    # A record says by its checksum that morphpipe wrote it. Files put there by hand are only read,
    # but what is a link is replaced.
    known: dict[str, str] = {}
    try:
        known = read_record(folder)["sha256"]
    except (WeightsError, OSError):
        place(folder / RECORD, named=False)
    for file in declared.files:
        path = folder / file
        if file not in known and (path.is_symlink() or not path.is_file()):
            place(path, named=False)
    fetch_weights(name, declared, folder, configuration.paths.lock)
    print(folder)


def fields(
    name: Annotated[str, typer.Argument(help="One of the configuration's `datasets`.")],
    images: Annotated[
        list[Path],
        typer.Option(
            help="Archive of images: RxRx1's one, or that of a plate as `simulate` and `datasets "
            "preprocess` write it (repeat per plate)."
        ),
    ],
    output: Annotated[Path, new("Field table (.parquet) to write.")],
    metadata: Annotated[
        Path | None, typer.Option(help="RxRx1's rxrx1-metadata.zip, or metadata.csv.")
    ] = None,
    genes: Annotated[
        Path | None, typer.Option(help="Thermo Fisher's table of siRNAs and genes, for RxRx1.")
    ] = None,
    quarantine: Annotated[
        Path | None,
        new(
            "Table to write of the fields that were excluded; default: quarantine.parquet "
            "beside the field table."
        ),
    ] = None,
    look: Annotated[
        bool,
        typer.Option(
            "--look/--no-look",
            help="Decode every plane once, measure its quality (quality.parquet beside the field "
            "table) and exclude what is beyond the limits. Without, an unreadable plane stops "
            "the stage that meets it.",
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
    import pandas as pd

    from morphpipe.config.datasets import RxRx1Dataset
    from morphpipe.config.preprocessing import Quality
    from morphpipe.datasets.preparation.quality import QUALITY_KEYS, quality_control, quarantine_of
    from morphpipe.datasets.preparation.tables import write_dataset
    from morphpipe.datasets.sources.rxrx1_source import RxRx1Source
    from morphpipe.tables.archive import read_fields
    from morphpipe.tables.fields import concatenate

    _, dataset = configured(config, "datasets", name)
    quality = place(output.with_name("quality.parquet"), named=False)
    quarantine = quarantine or place(output.with_name("quarantine.parquet"), named=False)
    missing, limits = [], Quality()
    if not isinstance(dataset, RxRx1Dataset):
        if metadata is not None or genes is not None:
            raise ConfigError(f"The dataset {name!r} is not RxRx1: it takes no --metadata.")
        table = concatenate([read_fields(path) for path in images], output.parent)
    else:
        if len(images) != 1 or metadata is None:
            raise ConfigError(
                f"The dataset {name!r} is RxRx1: give its two archives with --images and "
                "--metadata."
            )
        limits = dataset.quality
        table, absent = RxRx1Source(dataset).catalogue(
            name, images[0], metadata, output.parent, genes=genes
        )
        missing.append(absent)
    found = quality_control(table, limits) if look else pd.DataFrame(columns=list(QUALITY_KEYS))
    kept, aside = write_dataset(
        table.without(quarantine_of(found)["field_id"]),
        found,
        missing,
        output,
        quality,
        quarantine,
    )
    print(f"{kept} fields in {output}, {aside} excluded")


def split(
    name: Annotated[str, typer.Argument(help="One of the configuration's `splits`.")],
    fields: Fields,
    output: Annotated[Path, new("Split table (.parquet) to write.")],
    quality: Annotated[
        Path | None,
        typer.Option(
            help="Quality table, as `fields` writes it: images with the same pixels on two sides "
            "are then found as well."
        ),
    ] = None,
    config: Config = CONFIG,
) -> None:
    r"""Say which field is for training, for feature encoders, or for evaluation.

    Wells are never divided, and a split that leaks is refused. Example:

    ```
    morphpipe split screen --config config/demo.yaml \
        --fields fields.parquet --quality quality.parquet --output split.parquet
    ```
    """
    import pandas as pd

    from morphpipe.core.storage import read_parquet
    from morphpipe.datasets.splits.leakage import check_leakage
    from morphpipe.datasets.splits.table import make_split, write_split
    from morphpipe.tables.archive import read_fields

    _, settings = configured(config, "splits", name)
    keys = read_fields(fields).keys()
    table = make_split(keys, settings)
    found = check_leakage(
        table,
        keys,
        settings,
        pd.DataFrame(columns=["field_id", "pixels_sha256"])
        if quality is None
        else read_parquet(quality).to_pandas(),
    )
    write_split(table, output)
    if len(found):
        print(f"on several sides: {len(found)} fields or pairs of them, first:")
        print(found.iloc[0].to_dict())
    for side, number in table["split"].value_counts(sort=False).items():
        print(f"{side}: {number} fields")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (download, weights, fields, split):
        app.command(rich_help_panel="Data and weights")(verb)
