"""Verbs around images: simulated screens, field tables, looking."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import Threads, prepare


def simulate(
    output: Annotated[Path, typer.Argument(help="Image archive (.zip) to write.")],
    seed: Annotated[int, typer.Option(help="The screen is a function of this number.")] = 0,
    cell_types: Annotated[
        str, typer.Option(help="Separated by commas; `--list` shows all.")
    ] = "epithelial,fibroblast",
    perturbations: Annotated[
        str, typer.Option(help="Separated by commas; `--list` shows all.")
    ] = "control,inert,graded-low,graded-mid,graded-high",
    size: Annotated[int, typer.Option(help="Height and width of a field, pixels.")] = 96,
    replicates: Annotated[int, typer.Option(help="Wells per condition.")] = 2,
    sites: Annotated[int, typer.Option(help="Fields per well.")] = 2,
    show_list: Annotated[
        bool, typer.Option("--list", help="List cell types and perturbations, and stop.")
    ] = False,
) -> None:
    """Simulate one plate of Cell Painting images whose true effects are known."""
    from morphpipe.datasets.simulated import (
        CELL_TYPES,
        PERTURBATIONS,
        ScreenDesign,
        true_effect,
    )
    from morphpipe.datasets.simulated.source import simulate_plate

    if show_list:
        print("cell types:", ", ".join(CELL_TYPES))
        for name, perturbation in PERTURBATIONS.items():
            effect = true_effect(name, next(iter(CELL_TYPES)))
            print(f"{name:24s} true effect {effect:6.1f}  {perturbation.description}")
        return
    design = ScreenDesign(
        seed=seed,
        field_size=size,
        cell_types=tuple(cell_types.split(",")),
        perturbations=tuple(perturbations.split(",")),
        plates=1,
        replicates=replicates,
        sites=sites,
    )
    simulate_plate(design, 1, output.stem, output)
    print(f"{design.wells_per_plate * sites} fields in {output}")


def show(
    fields: Annotated[Path, typer.Argument(help="Field table (.parquet) or archive (.zip).")],
    output: Annotated[Path, typer.Option(help="Picture to write.")] = Path("fields.png"),
    columns: Annotated[int, typer.Option(help="Fields per condition.")] = 6,
    threads: Threads = None,
) -> None:
    """Draw a contact sheet: one row per cell type and perturbation."""
    prepare(threads, None)
    from morphpipe.datasets.fields import read_fields
    from morphpipe.report.contact_sheet import contact_sheet

    contact_sheet(read_fields(fields), columns).savefig(output, dpi=150)
    print(output)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(simulate)
    app.command()(show)
