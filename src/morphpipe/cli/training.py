"""The verb that trains a generator."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morphpipe.cli.options import (
    CONFIG,
    Conditions,
    Config,
    Fields,
    Log,
    Split,
    Threads,
    configured,
    expand_folders,
    prepare,
    read_settings,
)
from morphpipe.errors import ConfigError

if TYPE_CHECKING:
    from morphpipe.training.settings import TrainingSettings


def train(
    fields: Fields,
    split: Split,
    moments: Annotated[
        list[Path],
        typer.Option(help="What `latents` wrote: folder, or index (.parquet) of each shard."),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the checkpoint to write.")],
    name: Annotated[
        str | None, typer.Argument(help="One of the configuration's `experiments`.")
    ] = None,
    config: Config = CONFIG,
    seed: Annotated[int, typer.Option(help="Training seed.")] = 0,
    settings: Annotated[
        str | None,
        typer.Option(
            help="In place of NAME, --config and --seed: JSON with experiment, seed, image_mode, "
            "codec, generator and training as in the configuration, or a .json file of it."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints on the way; default: `<output>.partial`."),
    ] = None,
    targets: Annotated[
        list[Path] | None,
        typer.Option(help="What `targets` wrote: folder, or index (.parquet) of each shard."),
    ] = None,
    conditions: Conditions = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of a U-Net in diffusers' layout to start from."),
    ] = None,
    until: Annotated[int | None, typer.Option(help="Steps done at the end; default: all.")] = None,
    before: Annotated[
        Path | None, typer.Option(help="Checkpoint of the slice before, to go on from.")
    ] = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Train a generator on cached latents, up to a step.

    Killed at any time and called again, it goes on from its last checkpoint. On several GPUs:
    `accelerate launch -m morphpipe train ...`; the global batch size stays what is configured.
    Example:

    ```
    morphpipe train demo --config config/demo.yaml \
        --fields fields.parquet --split split.parquet \
        --moments latents --targets targets --output checkpoint
    ```
    """
    prepare(threads, log)
    from morphpipe.datasets.fields import read_fields
    from morphpipe.evaluation.split_table import fields_on, read_split
    from morphpipe.perturbations.condition_table import ConditionTable
    from morphpipe.perturbations.vocabulary import vocabulary_of
    from morphpipe.training.data import open_training_data
    from morphpipe.training.loop import train as run

    content = _content(name, config, seed, settings)
    table = read_fields(fields)
    sides = read_split(split)
    wanted = _settings(content | {"channels": list(table.manifest.names)})
    train_side = table.select(fields_on(sides, "train")).keys()
    vocabulary = vocabulary_of(table.select(sides["field_id"]).keys().set_index("field_id"))
    data = open_training_data(
        train_side,
        expand_folders(moments, "shard-*.parquet"),
        expand_folders(targets, "shard-*.parquet") if targets else None,
        vocabulary,
        wanted.training.transforms,
        None if conditions is None else ConditionTable.read(conditions),
    )
    run(
        wanted,
        data,
        vocabulary,
        work=work or output.with_name(f"{output.name}.partial"),
        output=output,
        until=wanted.training.steps if until is None else until,
        earlier=before,
        weights=weights,
        conditions=conditions,
    )


def _content(name: str | None, config: Path, seed: int, settings: str | None) -> dict[str, Any]:
    """What to train, from the one or the other source, as plain values."""
    if (name is None) == (settings is None):
        raise ConfigError("Name an experiment of the configuration, or give --settings.")
    if settings is not None:
        return read_settings(settings)
    _, experiment = configured(config, "experiments", str(name))
    return {
        "experiment": name,
        "seed": seed,
        "image_mode": experiment.image_mode,
        "codec": experiment.codec,
        "generator": experiment.generator.model_dump(mode="json"),
        "training": experiment.training.model_dump(mode="json"),
        "fidelity": experiment.fidelity.model_dump(mode="json"),
    }


def _settings(content: dict[str, Any]) -> "TrainingSettings":
    """The settings of a training from plain values."""
    from pydantic import ValidationError

    from morphpipe.training.settings import TrainingSettings

    try:
        return TrainingSettings.from_dict(content)
    except KeyError as error:
        raise ConfigError(f"--settings lacks the key {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"--settings cannot be used: {key}: {first['msg']}.") from None


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(rich_help_panel="Train and sample")(train)
