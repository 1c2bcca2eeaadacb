"""Verbs around the generator's training."""

import json
from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import Fields, Log, Split, Threads, prepare


def train(
    settings: Annotated[
        str,
        typer.Option(
            help="What to train: JSON with experiment, seed, image_mode, codec, generator and "
            "training as in the configuration, or a file that holds it."
        ),
    ],
    fields: Fields,
    split: Split,
    moments: Annotated[
        list[Path], typer.Option(help="Index (.parquet) of cached latents; repeat per shard.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the checkpoint to write.")],
    work: Annotated[Path, typer.Option(help="Folder for checkpoints on the way.")],
    targets: Annotated[
        list[Path] | None,
        typer.Option(help="Index of cached alignment targets; repeat per shard."),
    ] = None,
    until: Annotated[int | None, typer.Option(help="Steps done at the end; default: all.")] = None,
    before: Annotated[
        Path | None, typer.Option(help="Checkpoint of the slice before, to go on from.")
    ] = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    """Train a generator on cached latents, up to a step.

    Killed at any time and called again, it goes on from its last checkpoint in `--work`. On
    several GPUs: `accelerate launch -m morphpipe train ...`; the global batch size stays what is
    configured.
    """
    prepare(threads, log)
    import pandas as pd

    from morphpipe.datasets.fields import read_fields
    from morphpipe.evaluation.split_table import fields_on
    from morphpipe.perturbations.vocabulary import vocabulary_of
    from morphpipe.training.data import open_training_data
    from morphpipe.training.loop import train as run
    from morphpipe.training.settings import TrainingSettings

    text = Path(settings).read_text("utf-8") if settings.endswith(".json") else settings
    table = read_fields(fields)
    sides = pd.read_parquet(split)
    content = json.loads(text) | {"channels": list(table.manifest.names)}
    wanted = TrainingSettings.from_dict(content)
    keys = table.keys().set_index("field_id")
    train_side = keys.loc[fields_on(sides, "train")].reset_index()
    vocabulary = vocabulary_of(keys.loc[keys.index.isin(sides["field_id"])])
    data = open_training_data(train_side, moments, targets, vocabulary, wanted.training.transforms)
    run(
        wanted,
        data,
        vocabulary,
        work=work,
        output=output,
        until=wanted.training.steps if until is None else until,
        earlier=before,
    )


def pack_codec(
    folder: Annotated[Path, typer.Argument(help="Folder of a codec that the workflow trained.")],
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
) -> None:
    """Store a trained codec in float16, to pass it on, and print its checksums."""
    from morphpipe.codecs.autoencoder import load_codec
    from morphpipe.codecs.train_autoencoder import save_autoencoder
    from morphpipe.storage import sha256_of_file

    save_autoencoder(load_codec(folder, "channels").model, output, half=True)
    for file in sorted(output.iterdir()):
        print(sha256_of_file(file), file.name)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(train)
    app.command()(pack_codec)
