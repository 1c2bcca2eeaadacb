"""Verbs that make images."""

import json
from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import Fields, Log, Split, Threads, prepare

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder, as training writes it.")]
CodecFolder = Annotated[Path, typer.Option(help="Folder of an AutoencoderKL in diffusers' layout.")]
ScalingFactor = Annotated[
    float | None, typer.Option(help="Of the latents; default: what the codec's config.json says.")
]


def sample(
    settings: Annotated[
        str, typer.Option(help="`sampling` as in the configuration: JSON, or a .json file.")
    ],
    fields: Fields,
    split: Split,
    checkpoint: Checkpoint,
    codec: CodecFolder,
    output: Annotated[Path, typer.Option(help="Image archive (.zip) to write.")],
    work: Annotated[Path, typer.Option(help="Folder for finished batches.")],
    sampling_seed: Annotated[int, typer.Option(help="Sampling seed.")] = 0,
    shard: Annotated[int, typer.Option(help="Which shard of the plan, from 0.")] = 0,
    scaling_factor: ScalingFactor = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    """Generate one shard of a sampling plan; goes on where it was killed."""
    prepare(threads, log)
    import pandas as pd

    from morphpipe.config.experiments import Sampling
    from morphpipe.datasets.fields import read_fields
    from morphpipe.sampling.generate import generate as run
    from morphpipe.sampling.generate import generated_manifest, load_with_codec
    from morphpipe.sampling.plan import plan_shard, sampling_plan

    text = Path(settings).read_text("utf-8") if settings.endswith(".json") else settings
    wanted = Sampling.model_validate(json.loads(text))
    table = read_fields(fields)
    keys = table.keys()
    chosen = keys[keys["field_id"].isin(pd.read_parquet(split)["field_id"])]
    generator, decoder = load_with_codec(
        checkpoint,
        codec,
        (int(keys["height"].iloc[0]), int(keys["width"].iloc[0])),
        scaling_factor=scaling_factor,
    )
    run(
        generator,
        decoder,
        plan_shard(sampling_plan(chosen, wanted), shard, wanted.shards),
        wanted,
        dataset=str(keys["dataset"].iloc[0]),
        sampling_seed=sampling_seed,
        manifest=generated_manifest(table.manifest, generator.settings),
        path=output,
        work=work,
    )


def generate(
    conditions: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns cell_type, perturbation and images (how many of each)."
        ),
    ],
    checkpoint: Checkpoint,
    codec: CodecFolder,
    output: Annotated[Path, typer.Option(help="Image archive (.zip) to write.")] = Path(
        "generated.zip"
    ),
    size: Annotated[int, typer.Option(help="Height and width of a field, pixels.")] = 512,
    steps: Annotated[int, typer.Option(help="Sampling steps.")] = 50,
    sampler: Annotated[str, typer.Option(help="euler-maruyama, euler or heun.")] = (
        "euler-maruyama"
    ),
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is off.")] = 1.0,
    sampling_seed: Annotated[int, typer.Option(help="Other seeds, other images.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 32,
    scaling_factor: ScalingFactor = None,
    threads: Threads = None,
) -> None:
    """Make images from a checkpoint and a list of conditions, without a workflow.

    The archive is a plain zip of PNG planes, `<field>/<channel>.png`, with a field table inside;
    `unzip generated.zip` or `morphpipe show generated.zip` to look at them.
    """
    prepare(threads, None)
    from morphpipe.config.experiments import Guidance, Sampling
    from morphpipe.sampling.generate import generate as run
    from morphpipe.sampling.generate import load_with_codec, manifest_without_data
    from morphpipe.sampling.plan import read_conditions

    generator, decoder = load_with_codec(
        checkpoint, codec, (size, size), scaling_factor=scaling_factor
    )
    plan = read_conditions(conditions, generator.vocabulary)
    settings = Sampling.model_validate(
        {
            "sampler": sampler,
            "steps": steps,
            "batch_size": batch_size,
            "guidance": Guidance(scale=guidance),
        }
    )
    run(
        generator,
        decoder,
        plan,
        settings,
        dataset=generator.settings.experiment,
        sampling_seed=sampling_seed,
        manifest=manifest_without_data(generator.settings),
        path=output,
        work=output.with_suffix(".partial"),
    )
    print(f"{len(plan)} images in {output}")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(sample)
    app.command()(generate)
