"""The verb `simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import checked, configured
from morphpipe.cli.outputs import unused
from morphpipe.core.errors import ConfigError


def _list(wanted: bool) -> None:
    """List cell types and perturbations, and exit."""
    if not wanted:
        return
    from morphpipe.datasets.simulated import CELL_TYPES, PERTURBATIONS, true_effect

    print("cell types:", ", ".join(CELL_TYPES))
    for name, perturbation in PERTURBATIONS.items():
        effect = true_effect(name, next(iter(CELL_TYPES)))
        print(f"{name:24s} true effect {effect:6.1f}  {perturbation.description}")
    raise typer.Exit


def simulate(
    output: Annotated[Path, typer.Argument(callback=unused, help="Image archive (.zip) to write.")],
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration with the screen; other options override it."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name of the dataset, part of every field_id. Default: the archive's name."
        ),
    ] = None,
    plate: Annotated[int, typer.Option(help="Number of the plate, from 1.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Random seed of the screen; default 0.")] = None,
    cell_types: Annotated[
        str | None,
        typer.Option(help="Separated by commas; default epithelial,fibroblast."),
    ] = None,
    perturbations: Annotated[
        str | None,
        typer.Option(
            help="Separated by commas; default control,inert,graded-low,graded-mid,graded-high."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Height and width of a field, pixels; default 96.")
    ] = None,
    replicates: Annotated[
        int | None, typer.Option(help="Wells per condition and plate; default 2.")
    ] = None,
    sites: Annotated[int | None, typer.Option(help="Fields per well; default 2.")] = None,
    show_list: Annotated[
        bool,
        typer.Option(
            "--list",
            callback=_list,
            is_eager=True,
            help="List cell types and perturbations, and exit.",
        ),
    ] = False,
) -> None:
    r"""Simulate one plate of Cell Painting images whose true effects are known.

    Example:

    ```
    morphpipe simulate screen.zip --perturbations control,graded-high
    morphpipe simulate shard-0.zip --config config/demo.yaml \
        --dataset screen --plate 1
    ```
    """
    from morphpipe.config.datasets import SimulatedDataset
    from morphpipe.datasets.simulated.source import screen_design, simulate_plate

    given = {
        "seed": seed,
        "cell_types": None if cell_types is None else cell_types.split(","),
        "perturbations": None if perturbations is None else perturbations.split(","),
        "field_size": size,
        "replicates": replicates,
        "sites": sites,
    }
    content = {"source": "simulated", "plates": max(plate, 1), "replicates": 2}
    if config is not None:
        if dataset is None:
            raise ConfigError(f"Select a dataset of {config} with --dataset.")
        _, settings = configured(config, "datasets", dataset)
        if not isinstance(settings, SimulatedDataset):
            raise ConfigError(f"The dataset {dataset!r} of {config} is not simulated.")
        content = settings.model_dump()
    content |= {key: value for key, value in given.items() if value is not None}
    design = screen_design(checked(SimulatedDataset, content, "The screen"))
    if not 1 <= plate <= design.plates:
        raise ConfigError(f"There is no plate {plate}: plates are numbered 1 to {design.plates}.")
    simulate_plate(design, plate, dataset or output.stem, output)
    print(f"{design.wells_per_plate * design.sites} fields in {output}")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(rich_help_panel="Data")(simulate)
