"""Verbs that make what a generator is trained on: latents and alignment targets."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    CONFIG,
    CodecFolder,
    Config,
    EncoderFolder,
    Fields,
    Log,
    Shard,
    Threads,
    chosen_shards,
    configured,
    expand_folders,
    prepare,
)
from morphpipe.cli.outputs import place_inside, record_outputs
from morphpipe.core.errors import ConfigError

Experiment = Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")]
Output = Annotated[Path, typer.Option(help="Folder for `shard-<number>`, a shard per plate.")]


def latents(
    name: Experiment,
    fields: Fields,
    codec: CodecFolder,
    output: Output,
    shard: Shard = None,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Encode the fields of an experiment's dataset once, in each orientation.

    Example:

    ```
    morphpipe latents demo --config config/demo.yaml \
        --fields fields.parquet \
        --codec weights/simulated-codec --output latents
    ```
    """
    prepare(threads, log)
    from morphpipe.autoencoders.autoencoder import load_codec
    from morphpipe.autoencoders.latents import cache_moments
    from morphpipe.core.devices import best_device
    from morphpipe.datasets.sources.registry import source_of
    from morphpipe.tables.archive import read_fields
    from morphpipe.tables.fields import shard_of

    configuration, experiment = configured(config, "experiments", name)
    settings = configuration.codecs[experiment.codec]
    dataset = configuration.splits[experiment.split].dataset
    shards = source_of(configuration.datasets[dataset]).number_of_shards
    wanted = _places(output, chosen_shards(shard, shards))
    table = read_fields(fields)
    network = load_codec(
        codec,
        experiment.image_mode,
        scaling_factor=settings.scaling_factor,
        device=best_device(),
    )
    for number in wanted:
        cache_moments(
            shard_of(table, number, shards),
            network,
            output / f"shard-{number}",
            transforms=experiment.training.transforms,
            batch_size=settings.batch_size,
        )
        record_outputs()
    print(output)


def targets(
    name: Experiment,
    fields: Fields,
    moments: Annotated[
        Path, typer.Option(help="What `latents` wrote: folder, or index (.parquet) of a shard.")
    ],
    encoder: EncoderFolder,
    output: Output,
    shard: Shard = None,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Make the tokens that the generator is aligned with, once for each field.

    Only for an experiment whose generator has an `alignment`. Example:

    ```
    morphpipe targets demo --config config/demo.yaml \
        --fields fields.parquet \
        --moments latents --encoder aligner --output targets
    ```
    """
    prepare(threads, log)
    from morphpipe.config.sit_presets import token_stride
    from morphpipe.core.storage import sha256_of_file
    from morphpipe.datasets.sources.registry import source_of
    from morphpipe.encoders.extract import cache_targets
    from morphpipe.encoders.stage import load_token_encoder, record_in, weights_file
    from morphpipe.tables.archive import read_fields
    from morphpipe.tables.array_shards import ArrayShards
    from morphpipe.tables.fields import shard_of

    configuration, experiment = configured(config, "experiments", name)
    alignment = experiment.generator.alignment
    if alignment is None:
        raise ConfigError(f"The experiment {name!r} of {config} has no alignment, and no targets.")
    settings = configuration.encoders[alignment.encoder].model_dump(mode="json")
    dataset = configuration.splits[experiment.split].dataset
    shards = source_of(configuration.datasets[dataset]).number_of_shards
    wanted = _places(output, chosen_shards(shard, shards))
    table = read_fields(fields)
    record = record_in(encoder, settings)
    network = load_token_encoder(alignment.encoder, settings, record, table.manifest.names)
    checksum = sha256_of_file(weights_file(settings, record))
    stride = token_stride(experiment.generator.architecture)
    index = expand_folders([moments], "shard-*.parquet")[:1]
    height, width = ArrayShards(index, verify=False).shape[-2:]
    for number in wanted:
        cache_targets(
            shard_of(table, number, shards),
            network,
            output / f"shard-{number}",
            grid=(height // stride, width // stride),
            transforms=experiment.training.transforms,
            batch_size=settings["batch_size"],
            weights_sha256=checksum,
        )
        record_outputs()
    print(output)


def _places(output: Path, shards: range) -> range:
    """The shards, once it is clear that nothing else stands where they will be written."""
    for number in shards:
        place_inside(output, [f"shard-{number}.npy", f"shard-{number}.parquet"])
    return shards


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (latents, targets):
        app.command(rich_help_panel="Train and sample")(verb)
