"""`morphpipe datasets <verb>`: preparation of your own plates, and single-cell crops."""

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from morphpipe.cli.options import CONFIG, Config, configured
from morphpipe.cli.outputs import new, place_inside, record_outputs
from morphpipe.core.errors import ConfigError, DataError

app = typer.Typer(
    help="Prepare your own plates: check a sample sheet, create one from a folder, preprocess, "
    "crop single cells.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Images = Annotated[Path, typer.Argument(help="Field table (.parquet) or image archive (.zip).")]


@app.command()
def check(
    sheet: Annotated[Path, typer.Argument(help="Sample sheet: CSV or Parquet, a row per field.")],
    channels: Annotated[
        str | None,
        typer.Option(
            help="Channels and their columns in order, `DNA=ch5,ER=ch2`; default: every column "
            "with paths of images, under its own name."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset of the configuration with channels and controls."),
    ] = None,
    negative: Annotated[
        str | None, typer.Option(help="Perturbations that are negative controls, `DMSO,EMPTY`.")
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--every/--headers",
            help="Decode every plane; default: read all headers, and decode one field per plate.",
        ),
    ] = False,
    config: Config = CONFIG,
) -> None:
    r"""Validate a sample sheet and its images, and report all faults.

    Required columns: `plate`, `well`, `perturbation`, and one per channel with paths of planes
    (`file.tif`, `stack.ome.tif#2`, `plate.zip!folder/file.tif`), relative to the sheet. Optional:
    `site`, `cell_type`, `batch`, `control`, `concentration`, `gene`, `smiles`, `moa`. Example:

    ```
    morphpipe datasets check sheet.csv --channels DNA=ch5,ER=ch2 --negative DMSO
    ```
    """
    from morphpipe.config.raw_datasets import SheetDataset
    from morphpipe.datasets.sources.channel_hints import WARNING
    from morphpipe.datasets.sources.sheet import SheetChannel
    from morphpipe.datasets.sources.sheet_faults import plane_faults
    from morphpipe.datasets.sources.sheet_plates import image_columns
    from morphpipe.datasets.sources.sheet_source import SheetSource
    from morphpipe.datasets.sources.user_sheet import read_sheet
    from morphpipe.tables.user_tables import read_user_table

    if dataset is not None:
        _, settings = configured(config, "datasets", dataset)
        if not isinstance(settings, SheetDataset):
            raise ConfigError(f"The dataset {dataset!r} of {config} is not a sample sheet.")
        wanted = SheetSource(settings).planes
        controls: dict[str, Any] = {
            "cell_type": settings.cell_type,
            "perturbation_kind": settings.perturbation_kind,
            "negative_controls": settings.negative_controls,
            "positive_controls": settings.positive_controls,
        }
    else:
        pairs = (
            [part.strip().partition("=") for part in channels.split(",")]
            if channels is not None
            else [
                (name, "=", name) for name in image_columns(read_user_table(sheet, "sample sheet"))
            ]
        )
        wanted = tuple(SheetChannel(name, "unknown", column or name) for name, _, column in pairs)
        controls = {"negative_controls": (negative or "").split(",") if negative else []}
        # May be set in the configuration.
        controls["cell_type"] = "unknown"
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        rows = read_sheet(sheet, wanted, licence="unknown", source=str(sheet), **controls)
    found = [f"{WARNING}{doubt.message}" for doubt in doubts] + plane_faults(rows, every=every)
    for line in found:
        print(f"- {line}")
    wrong = [line for line in found if not line.startswith(WARNING)]
    if wrong:
        raise DataError(
            f"{sheet}: {len(wrong)} kind{'s' * (len(wrong) > 1)} of fault, listed above."
        )
    print(
        f"{sheet} can be used: {len(rows)} fields of {len(rows.plates)} "
        f"plate{'s' * (len(rows.plates) > 1)}, channels {', '.join(c.name for c in wanted)}"
    )


@app.command()
def sheet(
    folder: Annotated[Path, typer.Argument(help="Folder of an instrument's export.")],
    output: Annotated[Path, new("Sheet (.csv) to write, inside that folder.")],
    layout: Annotated[
        Literal["auto", "operetta", "imagexpress"],
        typer.Option(help="Layout of file names; Phenix uses Operetta's."),
    ] = "auto",
    plate_map: Annotated[
        Path | None,
        typer.Option(
            help="CSV with `well`, `perturbation`, other columns of a sheet, and `plate` if plates "
            "differ."
        ),
    ] = None,
    plate: Annotated[str | None, typer.Option(help="Name of the plate; default: the folder's.")] = (
        None
    ),
    z_plane: Annotated[int | None, typer.Option(help="z-plane, if there are several.")] = (None),
    timepoint: Annotated[int | None, typer.Option(help="Timepoint, if there are several.")] = None,
) -> None:
    r"""Create a sample sheet from the file names of a folder.

    Without a plate map the column `perturbation` is empty and must be filled in. Example:

    ```
    morphpipe datasets sheet Images --plate-map map.csv --output Images/sheet.csv
    ```
    """
    from morphpipe.core.storage import atomic_path
    from morphpipe.datasets.sources.plate_exports import add_layout, sheet_from_folder
    from morphpipe.tables.user_tables import read_user_table

    if output.parent.resolve() != folder.resolve():
        raise ConfigError(
            f"Save the sheet in {folder}, not in {output.parent}: its paths are relative to it."
        )
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        table = sheet_from_folder(
            folder, layout=layout, plate=plate, plane=z_plane, timepoint=timepoint
        )
        if plate_map is not None:
            table = add_layout(table, read_user_table(plate_map, "plate map"))
    for doubt in doubts:
        print(f"- {doubt.message}")
    with atomic_path(output) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{len(table)} fields in {output}")


@app.command()
def preprocess(
    name: Annotated[str, typer.Argument(help="One of the configuration's `datasets`.")],
    output: Annotated[
        Path, typer.Option(help="Folder for `shard-<number>.zip` and its quality table.")
    ],
    plate: Annotated[str | None, typer.Option(help="Only this plate; default: all.")] = None,
    config: Config = CONFIG,
) -> None:
    r"""Preprocess your own plates into an image archive each: correct, scale, resize, exclude.

    Example:

    ```
    morphpipe datasets preprocess mine --config my.yaml --output images
    ```
    """
    from morphpipe.config.raw_datasets import SheetDataset
    from morphpipe.datasets.preparation.preprocess import preprocess_plate
    from morphpipe.datasets.sources.sheet_source import SheetSource

    _, settings = configured(config, "datasets", name)
    if not isinstance(settings, SheetDataset):
        raise ConfigError(f"The dataset {name!r} of {config} is not a sample sheet.")
    source = SheetSource(settings)
    plates = source.plates()
    if plate is not None and plate not in plates:
        raise ConfigError(f"The sheet has no plate {plate!r}; it has {', '.join(plates[:12])}.")
    wanted = [(k, found) for k, found in enumerate(plates) if plate in (None, found)]
    for number, _ in wanted:
        place_inside(output, [f"shard-{number}.zip", f"shard-{number}-quality.parquet"])
    for number, found in wanted:
        preprocess_plate(
            source.plate_sheet(found, {}, output)[0],
            name,
            settings.preprocessing,
            settings.quality,
            output / f"shard-{number}.zip",
            output / f"shard-{number}-quality.parquet",
            rgb=settings.rgb,
        )
        record_outputs()
        print(output / f"shard-{number}.zip")


@app.command()
def crops(
    images: Images,
    output: Annotated[Path, new("Image archive (.zip) of crops to write.")],
    order: Annotated[
        str,
        typer.Option(
            help="Order of the channels: `fields` (unchanged), `impa-rxrx1`, `impa-bbbc021` or "
            "`impa-cpg0000`."
        ),
    ] = "fields",
    nuclear: Annotated[str, typer.Option(help="Channel for detecting nuclei.")] = "DNA",
    size: Annotated[int, typer.Option(help="Height and width, pixels.", min=8)] = 96,
) -> None:
    r"""Crop a square around every nucleus, in real or generated fields (IMPA's protocol).

    Example:

    ```
    morphpipe datasets crops images.zip --order impa-rxrx1 --output crops.zip
    ```
    """
    from morphpipe.datasets.preparation.crops import write_crops
    from morphpipe.tables.archive import read_fields

    number = write_crops(read_fields(images), output, nuclear=nuclear, order=order, size=size)
    print(f"{number} crops in {output}")


def register(parent: typer.Typer) -> None:
    """Add the group of verbs to the command line."""
    parent.add_typer(app, name="datasets", rich_help_panel="Data")
