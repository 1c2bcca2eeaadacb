"""The verb that trains a generator."""

import sys
from dataclasses import replace
from itertools import chain
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
    checked,
    configured,
    expand_folders,
    prepare,
    read_settings,
)
from morphpipe.cli.outputs import new, work_folder
from morphpipe.core.errors import ConfigError

if TYPE_CHECKING:
    from morphpipe.training.settings import TrainingSettings


def train(
    fields: Fields,
    split: Split,
    moments: Annotated[
        list[Path],
        typer.Option(help="What `latents` wrote: folder, or index (.parquet) of each shard."),
    ],
    output: Annotated[Path, new("Folder of the checkpoint to write.")],
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
        typer.Option(
            callback=work_folder,
            help="Folder for checkpoints on the way; default: `<output>.partial`.",
        ),
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
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="Processes a node; default: `training.devices` of the settings."),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Nodes of the SLURM job; default: `training.nodes` of the settings."
        ),
    ] = None,
    staging: Annotated[
        str | None,
        typer.Option(
            help="Folder on a disk of this node, for instance '$TMPDIR', to copy the shards to."
        ),
    ] = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Train a generator on cached latents, up to a step.

    Killed at any time and called again, it goes on from its last checkpoint. The global batch
    size stays what is configured, whatever the number of devices. Example:

    ```
    morphpipe train demo --config config/demo.yaml \
        --fields fields.parquet --split split.parquet \
        --moments latents --targets targets --output checkpoint
    ```
    """
    from morphpipe.tables.archive import read_fields
    from morphpipe.tables.lineage import read_from
    from morphpipe.training.launch import is_started, launch, rank

    # The first of several processes writes the log, each other one a log of its own beside it.
    if log is not None and rank():
        log = log.with_suffix(f".{rank()}{log.suffix}")
    prepare(None, log)
    if work is None:
        work = output.with_name(f"{output.name}.partial")
        work_folder(work)
    content = _content(name, config, seed, settings)
    table = read_fields(fields)
    wanted = _on_devices(
        _settings(content | {"channels": list(table.manifest.names)}), devices, nodes
    )
    shards = [expand_folders(moments, "shard-*.parquet")]
    if targets:
        shards.append(expand_folders(targets, "shard-*.parquet"))
    read_from(
        path
        for path in (fields, split, *chain(*shards), before, conditions, weights)
        if path is not None
    )
    training = wanted.training
    if training.processes > 1 and not is_started():
        launch(sys.argv[1:], training.devices, training.nodes, threads)
    from morphpipe.datasets.splits.table import fields_on, read_split
    from morphpipe.perturbations.condition_table import ConditionTable
    from morphpipe.perturbations.vocabulary import vocabulary_of
    from morphpipe.training.data import open_training_data
    from morphpipe.training.loop import train as run
    from morphpipe.training.processes import join_processes, shared_shards
    from morphpipe.training.termination import ending_when_asked

    prepare(None if threads is None else max(1, threads // training.devices), None)
    with ending_when_asked():
        join_processes()
        sides = read_split(split)
        vocabulary = vocabulary_of(table.select(sides["field_id"]).keys().set_index("field_id"))
        with shared_shards(shards, staging or None) as shared:
            data = open_training_data(
                table.select(fields_on(sides, "train")).keys(),
                shared.indices[0],
                shared.indices[1] if targets else None,
                vocabulary,
                training.transforms,
                None if conditions is None else ConditionTable.read(conditions),
                verify=shared.verify,
            )
        run(
            wanted,
            data,
            vocabulary,
            work=work,
            output=output,
            until=training.steps if until is None else until,
            earlier=before,
            weights=weights,
            conditions=conditions,
        )


def _on_devices(
    settings: "TrainingSettings", devices: int | None, nodes: int | None
) -> "TrainingSettings":
    """The same training on other devices than its settings say, where the options say so."""
    from morphpipe.config.experiments import Training

    options = {"devices": devices, "nodes": nodes}
    named = {key: value for key, value in options.items() if value is not None}
    content = settings.training.model_dump() | named
    return replace(
        settings, training=checked(Training, content, f"training of {settings.experiment}")
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
