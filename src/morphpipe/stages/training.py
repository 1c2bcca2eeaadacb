"""The job that trains a generator, up to the end of a slice."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from morphpipe.core.console import log_to
from morphpipe.core.errors import ConfigError
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import read_from
from morphpipe.training.launch import is_started, launch, rank
from morphpipe.training.settings import TrainingSettings


def train(
    settings: dict[str, Any],
    fields: Path,
    split: Path,
    moments: Sequence[Path],
    targets: Sequence[Path],
    output: Path,
    *,
    work: Path,
    until: int | None = None,
    before: Path | None = None,
    conditions: Path | None = None,
    weights: Path | None = None,
    devices: int | None = None,
    nodes: int | None = None,
    staging: str | None = None,
    threads: int | None = None,
    log: Path | None = None,
) -> None:
    """Train up to a step; killed and called again, go on from the last checkpoint.

    Parameters
    ----------
    settings
        See `morphpipe.plan.params.training_settings`.
    fields, split
        Field table and split table.
    moments, targets
        Indices of the shards of latents and of alignment targets.
    output, work
        Checkpoint folder to write, and folder for checkpoints on the way.
    until
        Steps done at the end; None for all.
    before
        Checkpoint of the slice before.
    conditions
        Table of conditions.
    weights
        Folder of a U-Net in diffusers' layout to start from.
    devices, nodes
        Processes a node, and nodes; None: those of the settings.
    staging
        Folder on a disk of this node to copy the shards to.
    threads
        CPU threads of all processes of a node.
    log
        File for messages.

    Raises
    ------
    ConfigError
        When the settings cannot be used.
    DataError
        When the inputs are damaged or do not fit together.
    """
    if log is not None:
        # The first of several processes writes the log, each other one its own next to it.
        log_to(log.with_suffix(f".{rank()}{log.suffix}") if rank() else log, echo=True)
    table = read_fields(fields)
    wanted = _settings(settings | {"channels": list(table.manifest.names)}, devices, nodes)
    inputs = (fields, split, *moments, *targets, before, conditions, weights)
    read_from(path for path in inputs if path is not None)
    training = wanted.training
    if training.processes > 1 and not is_started():
        launch(sys.argv[1:], training.devices, training.nodes, threads)
    # Behind the launch, whose process waits for the others and needs none of it.
    import torch

    from morphpipe.datasets.splits.table import fields_on, read_split
    from morphpipe.perturbations.condition_table import ConditionTable
    from morphpipe.perturbations.vocabulary import vocabulary_of
    from morphpipe.training.data import open_training_data
    from morphpipe.training.loop import train as train_generator
    from morphpipe.training.processes import join_processes, shared_shards
    from morphpipe.training.termination import ending_when_asked

    if threads is not None:
        torch.set_num_threads(max(1, threads // training.devices))
    shards = [list(moments), list(targets)] if targets else [list(moments)]
    with ending_when_asked():
        join_processes()
        sides = read_split(split)
        fields_of_split = table.select(sides["field_id"]).keys().set_index("field_id")
        trained_on = table.select(fields_on(sides, "train")).keys()
        by = wanted.generator.batch_by
        labelled = "batch" in wanted.generator.labels
        vocabulary = vocabulary_of(fields_of_split, trained_on[by].dropna() if labelled else ())
        with shared_shards(shards, staging or None) as shared:
            data = open_training_data(
                trained_on,
                shared.indices[0],
                shared.indices[1] if targets else None,
                vocabulary,
                training.transforms,
                None if conditions is None else ConditionTable.read(conditions),
                batch_by=by,
                from_controls=wanted.generator.starts_from_controls,
                verify=shared.verify,
            )
        train_generator(
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


def _settings(content: dict[str, Any], devices: int | None, nodes: int | None) -> TrainingSettings:
    """Parse the settings, with other devices where they are given."""
    named = {"devices": devices, "nodes": nodes}
    try:
        changed = {key: value for key, value in named.items() if value is not None}
        return TrainingSettings.from_dict(content | {"training": content["training"] | changed})
    except KeyError as error:
        raise ConfigError(f"--settings lacks the key {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"--settings cannot be used: {key}: {first['msg']}.") from None
