"""The verbs `show` and `export`."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import Threads, prepare
from morphpipe.cli.outputs import new
from morphpipe.core.errors import ConfigError


def show(
    fields: Annotated[Path, typer.Argument(help="Field table (.parquet) or archive (.zip).")],
    output: Annotated[Path, new("Picture to write.")] = Path("fields.png"),
    columns: Annotated[int, typer.Option(help="Fields per condition.", min=1)] = 6,
    threads: Threads = None,
) -> None:
    """Draw a contact sheet: one row per cell type and perturbation.

    Example:

    ```
    morphpipe show generated.zip --output generated.png
    ```
    """
    prepare(threads, None)
    from morphpipe.core.storage import atomic_path
    from morphpipe.report.figures.contact_sheet import contact_sheet
    from morphpipe.tables.archive import read_fields

    with atomic_path(output) as temporary:
        contact_sheet(read_fields(fields), columns).savefig(temporary, dpi=150)
    print(output)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Images (.zip or .parquet), or the folder of a checkpoint or a trained "
            "autoencoder."
        ),
    ],
    output: Annotated[Path, new("Folder to write.")],
) -> None:
    r"""Export images as an OME-Zarr plate, or a U-Net or autoencoder in diffusers' layout.

    napari opens the plate. `unet/` and `scheduler/` of a U-Net, averaged weights, load with
    diffusers' `from_pretrained`. An autoencoder is stored in float16, and the checksums of its
    files are printed. Example:

    ```
    morphpipe export images.zip --output plate.zarr
    morphpipe export results/experiments/morphodiff/training/seed-0/slice-3 --output morphodiff
    morphpipe export results/autoencoder/autoencoders/simulated --output my-autoencoder
    ```
    """
    if source.suffix in (".zip", ".parquet"):
        from morphpipe.datasets.preparation.ome_zarr import export_plate
        from morphpipe.tables.archive import read_fields

        export_plate(read_fields(source), output)
    elif (source / "state.json").is_file():
        from morphpipe.sampling.load import load_generator
        from morphpipe.tables.checkpoint_state import read_state

        generator = load_generator(source, read_state(source).latent_shape)
        generator.network.save_diffusers(output)
    elif (source / "config.json").is_file():
        from morphpipe.autoencoders.autoencoder import load_kl_autoencoder
        from morphpipe.autoencoders.training import save_autoencoder
        from morphpipe.core.storage import sha256_of_file

        save_autoencoder(load_kl_autoencoder(source, "channels").model, output, half=True)
        for file in sorted(output.iterdir()):
            print(sha256_of_file(file), file.name)
    else:
        raise ConfigError(
            f"{source} is not an image archive, a field table, a checkpoint (a folder with "
            "state.json) or an autoencoder (a folder with config.json)."
        )
    print(output)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (show, export):
        app.command(rich_help_panel="Images and results")(verb)
