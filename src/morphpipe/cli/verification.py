"""The verb that looks through a finished run."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    results: Annotated[Path, typer.Argument(help="Folder of the run.")] = Path("results"),
    pixels: Annotated[
        bool, typer.Option(help="Unpack every image as well; without, it is much faster.")
    ] = True,
) -> None:
    r"""Say whether the files of a run are whole, complete and made from one another.

    Nothing is changed. The exit status is 1 where something is wrong. Example:

    ```
    morphpipe verify results/demo
    ```
    """
    from morphpipe.stages.verify import verify_results

    found = verify_results(results, pixels=pixels)
    for fault in found.faults:
        print(f"WRONG  {fault}")
    counts = ", ".join(f"{number:,} {kind}" for kind, number in found.checked.items())
    print(f"{counts or 'nothing'}: " + (f"{len(found.faults)} faults" if found.faults else "fine"))
    if found.faults or not found.checked:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(rich_help_panel="Evaluate and report")(verify)
