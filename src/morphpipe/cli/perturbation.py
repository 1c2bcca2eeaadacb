"""The verb `perturb`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from morphpipe.cli.generation import load
from morphpipe.cli.options import (
    AutoencoderFolder,
    Checkpoint,
    Embeddings,
    ScalingFactor,
    Threads,
    prepare,
)
from morphpipe.cli.outputs import new

if TYPE_CHECKING:  # neither torch nor pandas is needed for `morphpipe --help`
    import pandas as pd

    from morphpipe.sampling.load import TrainedGenerator


def perturb(
    fields: Annotated[Path, typer.Argument(help="Field table (.parquet) or archive (.zip).")],
    perturbation: Annotated[str, typer.Option(help="Name of the treatment in the generator.")],
    checkpoint: Checkpoint,
    autoencoder: AutoencoderFolder,
    output: Annotated[Path, new("Folder to write: index.html and images.zip.")] = Path(
        "counterfactuals"
    ),
    concentration: Annotated[
        float | None,
        typer.Option(help="Concentration in uM, if the generator uses it.", min=0),
    ] = None,
    start_perturbation: Annotated[
        str | None,
        typer.Option(
            help="Perturbation of the start fields in the generator; default: as in the table, "
            "or its negative control for negative controls."
        ),
    ] = None,
    cell_type: Annotated[
        str | None,
        typer.Option(
            help="Cell type of the start fields in the generator; default: as in the table."
        ),
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="Start from this field_id; may be repeated.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Start from all fields, not only negative controls.")
    ] = False,
    images: Annotated[
        int, typer.Option(help="Maximum number of start fields, from the top of the table.", min=1)
    ] = 16,
    embeddings: Embeddings = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps per direction; default: 25 for flows from noise, 12 for flows from images, "
            "50 for U-Nets."
        ),
    ] = None,
    guidance: Annotated[
        float, typer.Option(help="Guidance scale of the treated fields; 1 is off.", min=0)
    ] = 1.0,
    sampling_seed: Annotated[
        int, typer.Option(help="Seed of the noise that some generators add to the start.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 16,
    scaling_factor: ScalingFactor = None,
    threads: Threads = None,
) -> None:
    r"""Show your own control cells as they might look under a treatment, side by side.

    Generators that start from images take each field as their start; the others go back from it
    to noise under the label that it has, and from there to an image under the treatment's. The
    page beside the archive shows start, reconstruction and treated field, and how much changes.
    Example:

    ```
    morphpipe perturb cells.zip --perturbation cyclohexamide --concentration 15 \
        --checkpoint checkpoint --autoencoder autoencoder --output counterfactuals
    ```

    A counterfactual is a guess about a cell that nobody saw treated: the page says what not to
    believe.
    """
    prepare(threads, None)
    from morphpipe.sampling.counterfactuals import (
        check_channels,
        counterfactual_sampling,
        ignores_concentration,
        own_labels,
        start_fields,
        treated_labels,
    )
    from morphpipe.stages.counterfactuals import write_counterfactuals
    from morphpipe.tables.archive import read_fields

    start = start_fields(read_fields(fields), every=every, field_ids=field or (), most=images)
    keys = start.keys()
    generator, decoder = load(
        checkpoint,
        autoencoder,
        embeddings,
        lambda: [cell_type] if cell_type else sorted(keys["cell_type"].unique()),
        (int(keys["height"].iloc[0]), int(keys["width"].iloc[0])),
        scaling_factor,
    )
    check_channels(start.manifest, generator.settings)
    own = own_labels(keys, generator, perturbation=start_perturbation, cell_type=cell_type)
    notes = _notes(keys, own, generator, checkpoint)
    if concentration is not None and ignores_concentration(generator):
        notes.append(
            f"The generator makes no difference between concentrations: {concentration:g} uM was "
            "asked for, and has no effect."
        )
        concentration = None
    wanted = treated_labels(own, generator, perturbation, concentration)
    settings = counterfactual_sampling(generator, steps, guidance)
    differences = write_counterfactuals(
        start,
        generator,
        decoder,
        own,
        wanted,
        settings.model_copy(update={"batch_size": batch_size}),
        output,
        source=fields.name,
        sampling_seed=sampling_seed,
        notes=notes,
    )
    for note in notes:
        print(note)
    print(
        f"{output / 'index.html'}: {len(start)} start fields; mean difference from the start "
        f"{differences.treated.mean():.1f} treated, {differences.reconstructed.mean():.1f} "
        "reconstructed, of 255"
    )


def _notes(
    keys: "pd.DataFrame", own: "pd.DataFrame", generator: "TrainedGenerator", checkpoint: Path
) -> list[str]:
    """What a reader of the page should know, in sentences."""
    from morphpipe.sampling.released import is_released
    from morphpipe.tables.checkpoint_state import read_state

    notes = []
    for column in ("perturbation", "cell_type"):
        called = sorted(set(zip(keys[column], own[column], strict=True)))
        notes += [
            f"Start fields of {name!r} were given the generator's label {label!r}."
            for name, label in called
            if name != label
        ]
    batches = generator.vocabulary.batches
    unknown = int((~own["batch"].isin(batches)).sum())
    if batches and unknown:
        notes.append(
            f"{unknown} of {len(own)} start fields are of batches that the generator was not "
            "trained on: they have no batch label."
        )
    if (keys["origin"] == "generated").any():
        notes.append("The start fields are generated images themselves.")
    if not is_released(checkpoint) and read_state(checkpoint).latent_shape != (
        generator.latent_shape
    ):
        notes.append(
            "The generator was trained on fields of another size: expect worse images than its "
            "report shows."
        )
    return notes


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(rich_help_panel="Generate")(perturb)
