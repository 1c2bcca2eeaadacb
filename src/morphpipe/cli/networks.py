"""Verbs that train a codec or an encoder."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    CONFIG,
    Config,
    Fields,
    Log,
    Split,
    Threads,
    configured,
    prepare,
)
from morphpipe.cli.outputs import new, unused
from morphpipe.core.errors import ConfigError

Folder = Annotated[Path, new("Folder to write.")]


def train_codec(
    name: Annotated[str, typer.Argument(help="One of the configuration's `codecs`.")],
    fields: Fields,
    split: Split,
    output: Folder,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Train a codec of origin `trained` on the planes of the training fields.

    Example:

    ```
    morphpipe train-codec simulated --config config/codec.yaml \
        --fields fields.parquet --split split.parquet --output codec
    ```
    """
    prepare(threads, log)
    from morphpipe.autoencoders.stage import train_codec as run
    from morphpipe.datasets.splits.table import fields_on, read_split
    from morphpipe.tables.archive import read_fields

    _, settings = configured(config, "codecs", name)
    if settings.origin != "trained":
        raise ConfigError(
            f"The codec {name!r} of {config} is pretrained: fetch it with "
            f"`morphpipe weights {settings.weights}`."
        )
    run(read_fields(fields).select(fields_on(read_split(split), "train")), settings, output)
    print(output)


def train_encoder(
    name: Annotated[str, typer.Argument(help="One of the configuration's `encoders`.")],
    fields: Fields,
    split: Split,
    output: Folder,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Train an encoder of kind `resnet18` to tell conditions apart.

    Example:

    ```
    morphpipe train-encoder resnet18 --config config/demo.yaml \
        --fields fields.parquet --split split.parquet --output encoder
    ```
    """
    prepare(threads, log)
    from morphpipe.datasets.splits.table import fields_on, read_split
    from morphpipe.encoders.stage import train_encoder as run
    from morphpipe.tables.archive import read_fields

    _, settings = configured(config, "encoders", name)
    if settings.kind != "resnet18":
        raise ConfigError(
            f"The encoder {name!r} of {config} is pretrained: fetch it with "
            f"`morphpipe weights {settings.weights}`."
        )
    side = fields_on(read_split(split), settings.side)
    run(read_fields(fields).select(side), settings, output)
    print(output)


def pack_codec(
    folder: Annotated[Path, typer.Argument(help="Folder of a codec that `train-codec` wrote.")],
    output: Annotated[Path, typer.Argument(callback=unused, help="Folder to write.")],
) -> None:
    """Store a trained codec in float16, to pass it on, and print its checksums.

    Example:

    ```
    morphpipe pack-codec results/codec/codecs/simulated my-codec
    ```
    """
    from morphpipe.autoencoders.autoencoder import load_codec
    from morphpipe.autoencoders.training import save_autoencoder
    from morphpipe.core.storage import sha256_of_file

    save_autoencoder(load_codec(folder, "channels").model, output, half=True)
    for file in sorted(output.iterdir()):
        print(sha256_of_file(file), file.name)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (train_codec, train_encoder, pack_codec):
        app.command(rich_help_panel="Codecs and encoders")(verb)
