"""The verb `generate`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from morphpipe.cli.options import (
    AutoencoderFolder,
    Checkpoint,
    Embeddings,
    Guide,
    ScalingFactor,
    Threads,
    checked,
    prepare,
)
from morphpipe.cli.outputs import new, work_folder
from morphpipe.core.errors import ConfigError

if TYPE_CHECKING:  # torch is not needed for `morphpipe --help`
    from morphpipe.autoencoders.base import Autoencoder
    from morphpipe.sampling.load import TrainedGenerator


def load(
    checkpoint: Path,
    autoencoder: Path,
    embeddings: Path | None,
    cell_types: Callable[[], list[str]],
    size: tuple[int, int] | None,
    scaling_factor: float | None,
) -> "tuple[TrainedGenerator, Autoencoder]":
    """Load a generator of morphpipe or an external U-Net, and its autoencoder.

    Parameters
    ----------
    checkpoint, autoencoder
        Their folders.
    embeddings
        Table of conditions; None for the checkpoint's own.
    cell_types
        Returns the cell types, which an external U-Net does not define.
    size
        Height and width of the images, pixels; None for those of training.
    scaling_factor
        Scaling factor of the latents; None for the autoencoder's own.

    Raises
    ------
    ConfigError
        If an external U-Net has no embeddings.
    """
    from morphpipe.perturbations.condition_table import ConditionTable
    from morphpipe.sampling.load import load_with_autoencoder
    from morphpipe.sampling.released import is_released, load_released

    table = None if embeddings is None else ConditionTable.read(embeddings)
    if not is_released(checkpoint):
        return load_with_autoencoder(
            checkpoint, autoencoder, size, scaling_factor=scaling_factor, conditions=table
        )
    if table is None:
        raise ConfigError(
            f"{checkpoint} is a U-Net without a table of conditions: create one with "
            "`morphpipe conditions`, and pass it with --embeddings."
        )
    return load_released(
        checkpoint,
        autoencoder,
        table,
        cell_types(),
        size or (512, 512),
        scaling_factor=scaling_factor,
    )


def generate(
    conditions: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns cell_type, perturbation and images (number), and "
            "concentration in uM, if the generator uses it."
        ),
    ],
    checkpoint: Checkpoint,
    autoencoder: AutoencoderFolder,
    output: Annotated[Path, new("Image archive (.zip) to write.")] = Path("generated.zip"),
    size: Annotated[
        int | None,
        typer.Option(help="Height and width of a field, pixels; default: as in training."),
    ] = None,
    embeddings: Embeddings = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Sampling steps; default: 12 for ODEs of flows, else 50."),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="euler-maruyama, euler, heun, adams2, adams3, adams4, dpm++ or unipc for a flow "
            "(SiT); ddpm, ddim, dpm++, euler or pndm for a U-Net; default: adams2, ddpm."
        ),
    ] = None,
    grid: Annotated[
        str, typer.Option(help="Time grid of a flow's ODE: uniform, shifted or edm.")
    ] = "uniform",
    shift: Annotated[
        float | None,
        typer.Option(help="Shift of the grid `shifted`; default: as in Stable Diffusion 3."),
    ] = None,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is off.")] = 1.0,
    guide: Guide = None,
    sampling_seed: Annotated[int, typer.Option(help="Sampling seed.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 32,
    scaling_factor: ScalingFactor = None,
    threads: Threads = None,
) -> None:
    r"""Generate images from a checkpoint and a list of conditions, without the workflow.

    The archive is a plain zip of PNG planes, `<field>/<channel>.png`, with a field table inside;
    `unzip generated.zip` or `morphpipe show generated.zip` to look at them. Example:

    ```
    morphpipe generate conditions.csv --checkpoint checkpoint \
        --autoencoder weights/simulated-autoencoder --output generated.zip
    ```

    MorphoDiff's released checkpoints and other U-Nets in diffusers' layout are also supported;
    `--embeddings` defines their conditions.
    """
    partial = output.with_suffix(".partial")
    work_folder(partial)
    prepare(threads, None)
    from morphpipe.config.sampling import Sampling
    from morphpipe.sampling.generate import generate as run
    from morphpipe.sampling.generate import manifest_without_data
    from morphpipe.sampling.load import load_guide
    from morphpipe.sampling.plan import read_cell_types, read_conditions
    from morphpipe.sampling.released import is_released

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
    if guide is not None and is_released(checkpoint):
        raise ConfigError(
            f"{checkpoint} is an external U-Net without earlier checkpoints for guidance: remove "
            "--guide."
        )
    generator, decoder = load(
        checkpoint,
        autoencoder,
        embeddings,
        lambda: read_cell_types(conditions),
        None if size is None else (size, size),
        scaling_factor,
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


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(rich_help_panel="Generate")(generate)
