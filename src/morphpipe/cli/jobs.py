"""Verbs for jobs of the workflow, called without a script so that signals reach the job."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    AutoencoderFolder,
    Checkpoint,
    Conditions,
    Fields,
    Guide,
    Log,
    ScalingFactor,
    Split,
    Threads,
    checked,
    expand_folders,
    prepare,
    read_settings,
)
from morphpipe.cli.outputs import new, work_folder

Settings = Annotated[str, typer.Option(help="Settings of the rule, as JSON or .json file.")]


def train(
    settings: Settings,
    fields: Fields,
    split: Split,
    moments: Annotated[
        list[Path], typer.Option(help="Folder of latents, or index (.parquet) of each shard.")
    ],
    output: Annotated[Path, new("Folder of the checkpoint to write.")],
    work: Annotated[
        Path | None,
        typer.Option(
            callback=work_folder,
            help="Folder for intermediate checkpoints; default: `<output>.partial`.",
        ),
    ] = None,
    targets: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of alignment targets, or index (.parquet) of each shard."),
    ] = None,
    conditions: Conditions = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of a U-Net in diffusers' layout to start from."),
    ] = None,
    until: Annotated[int | None, typer.Option(help="Final step; default: all steps.")] = None,
    before: Annotated[
        Path | None, typer.Option(help="Checkpoint of the previous slice, to continue.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes per node; default: `training.devices` of the settings."
        ),
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
            help="Local folder of this node to copy the shards to, for example '$TMPDIR'."
        ),
    ] = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Train a generator on cached latents, up to a step: the job of the rule `train`.

    An interrupted training resumes from its last checkpoint. The global batch size does not
    depend on the number of devices. Example:

    ```
    morphpipe train --settings settings.json --fields fields.parquet --split split.parquet \
        --moments latents --targets targets --output checkpoint
    ```
    """
    from morphpipe.stages.training import train as run

    content = read_settings(settings)
    if work is None:
        work = output.with_name(f"{output.name}.partial")
        work_folder(work)
    run(
        content,
        fields,
        split,
        expand_folders(moments, "shard-*.parquet"),
        expand_folders(targets or [], "shard-*.parquet"),
        output,
        work=work,
        until=until,
        before=before,
        conditions=conditions,
        weights=weights,
        devices=devices,
        nodes=nodes,
        staging=staging,
        threads=threads,
        log=log,
    )


def sample(
    settings: Settings,
    fields: Fields,
    split: Split,
    checkpoint: Checkpoint,
    autoencoder: AutoencoderFolder,
    output: Annotated[Path, new("Image archive (.zip) to write.")],
    work: Annotated[
        Path | None,
        typer.Option(
            callback=work_folder, help="Folder for finished batches; default: `<output>.partial`."
        ),
    ] = None,
    sampling_seed: Annotated[int, typer.Option(help="Sampling seed.")] = 0,
    shard: Annotated[int, typer.Option(help="Number of the shard, from 0.")] = 0,
    scaling_factor: ScalingFactor = None,
    conditions: Conditions = None,
    guide: Guide = None,
    moments: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of latents, or index (.parquet) of each shard, for generators that start "
            "from control images."
        ),
    ] = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Generate one shard of an experiment's sampling plan: the job of the rule `sample`.

    An interrupted job resumes after the last finished batch. Example:

    ```
    morphpipe sample --settings settings.json --fields fields.parquet --split split.parquet \
        --checkpoint checkpoint --autoencoder weights/simulated-autoencoder --output samples.zip
    ```
    """
    if work is None:
        work = output.with_suffix(".partial")
        work_folder(work)
    prepare(threads, log)
    from morphpipe.config.fidelity import Fidelity
    from morphpipe.config.sampling import Sampling
    from morphpipe.stages.sampling import sample as run

    content = read_settings(settings)
    noise = checked(Fidelity, {"sampling_noise": content.pop("noise", "fixed")}, "--settings")
    run(
        checked(Sampling, content, "--settings"),
        noise,
        fields,
        split,
        checkpoint,
        autoencoder,
        output,
        work=work,
        sampling_seed=sampling_seed,
        shard=shard,
        scaling_factor=scaling_factor,
        conditions=conditions,
        guide=guide,
        moments=expand_folders(moments or [], "shard-*.parquet"),
    )


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line as hidden commands."""
    for verb in (train, sample):
        app.command(hidden=True)(verb)
