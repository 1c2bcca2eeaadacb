"""Verbs that make images."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    CONFIG,
    CodecFolder,
    Conditions,
    Config,
    Fields,
    Log,
    Split,
    Threads,
    checked,
    configured,
    prepare,
    read_settings,
)
from morphpipe.cli.outputs import new, work_folder
from morphpipe.core.errors import ConfigError

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder, as training writes it.")]
ScalingFactor = Annotated[
    float | None, typer.Option(help="Of the latents; default: what the codec's config.json says.")
]
Guide = Annotated[
    Path | None,
    typer.Option(
        help="Autoguidance: folder of an earlier checkpoint of the same training, which guides in "
        "place of the generator without its condition."
    ),
]


def sample(
    fields: Fields,
    split: Split,
    checkpoint: Checkpoint,
    codec: CodecFolder,
    output: Annotated[Path, new("Image archive (.zip) to write.")],
    name: Annotated[
        str | None, typer.Argument(help="One of the configuration's `experiments`.")
    ] = None,
    config: Config = CONFIG,
    settings: Annotated[
        str | None,
        typer.Option(
            help="In place of NAME and --config: `sampling` as in the configuration, as JSON or "
            "as a .json file."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            callback=work_folder, help="Folder for finished batches; default: `<output>.partial`."
        ),
    ] = None,
    sampling_seed: Annotated[int, typer.Option(help="Sampling seed.")] = 0,
    shard: Annotated[int, typer.Option(help="Which shard of the plan, from 0.")] = 0,
    scaling_factor: ScalingFactor = None,
    conditions: Conditions = None,
    guide: Guide = None,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Generate one shard of an experiment's sampling plan; goes on where it was killed.

    Example:

    ```
    morphpipe sample demo --config config/demo.yaml \
        --fields fields.parquet --split split.parquet \
        --checkpoint checkpoint --codec weights/simulated-codec \
        --output samples.zip
    ```
    """
    if work is None:
        work = output.with_suffix(".partial")
        work_folder(work)
    prepare(threads, log)
    from morphpipe.config.fidelity import Fidelity
    from morphpipe.config.sampling import Sampling
    from morphpipe.datasets.splits.table import read_split
    from morphpipe.perturbations.condition_table import ConditionTable
    from morphpipe.sampling.generate import generate as run
    from morphpipe.sampling.generate import generated_manifest
    from morphpipe.sampling.load import load_guide, load_with_codec
    from morphpipe.sampling.plan import plan_shard, sampling_plan
    from morphpipe.tables.archive import read_fields
    from morphpipe.tables.lineage import read_from
    from morphpipe.training.termination import ending_when_asked

    if (name is None) == (settings is None):
        raise ConfigError("Name an experiment of the configuration, or give --settings.")
    if settings is not None:
        content = read_settings(settings)
        noise = checked(Fidelity, {"sampling_noise": content.pop("noise", "fixed")}, "--settings")
        wanted = checked(Sampling, content, "--settings")
    else:
        configuration, experiment = configured(config, "experiments", str(name))
        noise, wanted = experiment.fidelity, experiment.sampling
        if scaling_factor is None:
            declared = configuration.codecs[experiment.codec]
            scaling_factor = declared.scaling_factor
    if not 0 <= shard < wanted.shards:
        raise ConfigError(
            f"There is no shard {shard}: they are counted from 0 to {wanted.shards - 1}."
        )
    number = wanted.guidance.guide
    if guide is not None and number is None:
        raise ConfigError(
            "--guide is given, but sampling.guidance.guide does not name the slice: set it, with "
            "a scale, or leave --guide out."
        )
    read_from(
        path for path in (fields, split, checkpoint, codec, conditions, guide) if path is not None
    )
    with ending_when_asked():
        table = read_fields(fields)
        chosen = table.select(read_split(split)["field_id"]).keys()
        generator, decoder = load_with_codec(
            checkpoint,
            codec,
            (int(chosen["height"].iloc[0]), int(chosen["width"].iloc[0])),
            scaling_factor=scaling_factor,
            conditions=None if conditions is None else ConditionTable.read(conditions),
            finished=True,
        )
        plan = sampling_plan(chosen, wanted, generator.conditions)
        run(
            generator.with_noise(noise.sampling_noise),
            decoder,
            plan_shard(plan, shard, wanted.shards),
            wanted,
            dataset=str(chosen["dataset"].iloc[0]),
            sampling_seed=sampling_seed,
            manifest=generated_manifest(table.manifest, generator.settings),
            path=output,
            work=work,
            guide=None if guide is None else load_guide(guide, generator, number),
        )


def generate(
    conditions: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns cell_type, perturbation and images (how many of each); "
            "and concentration, in uM, where the generator takes that."
        ),
    ],
    checkpoint: Checkpoint,
    codec: CodecFolder,
    output: Annotated[Path, new("Image archive (.zip) to write.")] = Path("generated.zip"),
    size: Annotated[
        int | None,
        typer.Option(help="Height and width of a field, pixels; default: as in training."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Table of conditions (.parquet), as the verb `conditions` writes it, with "
            "perturbations that training never saw; default: the checkpoint's own."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Sampling steps; default: 12 of a flow's ODE, 50 of others."),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="euler-maruyama, euler, heun, adams2, adams3, adams4, dpm++ or unipc for a flow "
            "(SiT); ddpm, ddim, dpm++, euler or pndm for a U-Net; default: adams2, ddpm."
        ),
    ] = None,
    grid: Annotated[
        str, typer.Option(help="Times of a flow's ODE: uniform, shifted or edm.")
    ] = "uniform",
    shift: Annotated[
        float | None, typer.Option(help="Of the grid shifted; default: Stable Diffusion 3's.")
    ] = None,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is off.")] = 1.0,
    guide: Guide = None,
    sampling_seed: Annotated[int, typer.Option(help="Other seeds, other images.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 32,
    scaling_factor: ScalingFactor = None,
    threads: Threads = None,
) -> None:
    r"""Make images from a checkpoint and a list of conditions, without a workflow.

    The archive is a plain zip of PNG planes, `<field>/<channel>.png`, with a field table inside;
    `unzip generated.zip` or `morphpipe show generated.zip` to look at them. Example:

    ```
    morphpipe generate conditions.csv --checkpoint checkpoint \
        --codec weights/simulated-codec --output generated.zip
    ```

    MorphoDiff's released checkpoints, and any U-Net in diffusers' layout, are sampled from as
    they are; `--embeddings` says what their conditions are.
    """
    partial = output.with_suffix(".partial")
    work_folder(partial)
    prepare(threads, None)
    from morphpipe.config.sampling import Sampling
    from morphpipe.perturbations.condition_table import ConditionTable
    from morphpipe.sampling.generate import generate as run
    from morphpipe.sampling.generate import manifest_without_data
    from morphpipe.sampling.load import load_guide, load_with_codec
    from morphpipe.sampling.plan import read_cell_types, read_conditions
    from morphpipe.sampling.released import is_released, load_released

    settings = checked(
        Sampling,
        {
            "sampler": sampler,
            "steps": steps,
            "grid": grid,
            "shift": shift,
            "batch_size": batch_size,
            "guidance": {"scale": guidance},
        },
        "The sampling",
    )
    table = None if embeddings is None else ConditionTable.read(embeddings)
    side = None if size is None else (size, size)
    if is_released(checkpoint):
        if table is None:
            raise ConfigError(
                f"{checkpoint} is a U-Net without morphpipe's table of conditions: make one with "
                "`morphpipe conditions`, and name it with --embeddings."
            )
        if guide is not None:
            raise ConfigError(
                f"{checkpoint} is a U-Net that others have trained, without the earlier "
                "checkpoints that could guide it: leave --guide out."
            )
        generator, decoder = load_released(
            checkpoint,
            codec,
            table,
            read_cell_types(conditions),
            side or (512, 512),
            scaling_factor=scaling_factor,
        )
    else:
        generator, decoder = load_with_codec(
            checkpoint, codec, side, scaling_factor=scaling_factor, conditions=table
        )
    plan = read_conditions(conditions, generator.vocabulary, generator.conditions)
    run(
        generator,
        decoder,
        plan,
        settings,
        dataset=generator.settings.experiment,
        sampling_seed=sampling_seed,
        manifest=manifest_without_data(generator.settings),
        path=output,
        work=partial,
        guide=None if guide is None else load_guide(guide, generator),
    )
    print(f"{len(plan)} images in {output}")


def export_diffusers(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder of a U-Net.")],
    output: Annotated[Path, new("Folder to write.")],
) -> None:
    r"""Write the averaged weights of a U-Net in diffusers' own layout.

    `unet/` and `scheduler/` load with diffusers' `from_pretrained`. Example:

    ```
    morphpipe export-diffusers checkpoint --output morphodiff-bbbc021
    ```
    """
    from morphpipe.sampling.load import load_generator
    from morphpipe.tables.checkpoint_state import read_state

    generator = load_generator(checkpoint, read_state(checkpoint).latent_shape)
    generator.network.save_diffusers(output)
    print(output)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (sample, generate, export_diffusers):
        app.command(rich_help_panel="Train and sample")(verb)
