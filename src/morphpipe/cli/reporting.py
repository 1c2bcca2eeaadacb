"""Verbs that show: the report, and a contact sheet."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import CONFIG, Config, Fields, Log, Split, Threads, configured, prepare
from morphpipe.cli.outputs import new


def _folders(thing: str) -> typer.models.OptionInfo:
    return typer.Option(help=f"Folder of {thing} that was used; repeat for several.")


def report(
    name: Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")],
    fields: Fields,
    quarantine: Annotated[
        Path, typer.Option(help="Table of the excluded fields, as `fields` writes it.")
    ],
    split: Split,
    samples: Annotated[
        list[Path], typer.Option(help="Archive (.zip) of generated images; repeat for several.")
    ],
    checkpoint: Annotated[
        list[Path], typer.Option(help="Last checkpoint; repeat per training seed.")
    ],
    metrics: Annotated[
        list[Path], typer.Option(help="Metric table by the name of its measure; repeat per table.")
    ],
    real: Annotated[
        list[Path], typer.Option(help="Folder of real images' features, of the first encoder.")
    ],
    generated: Annotated[
        list[Path], typer.Option(help="Folder of generated images' features, likewise.")
    ],
    output: Annotated[Path, new("The whole report as one file (.html).")],
    site: Annotated[
        Path | None,
        new(
            "Folder of pages to write as well, with tables (CSV) and figures (PNG, PDF); none: "
            "not written."
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Closest pairs of generated and training images; none: not shown."),
    ] = None,
    paper: Annotated[list[Path] | None, _folders("a paper's table or figure")] = None,
    quality: Annotated[
        Path | None,
        typer.Option(help="Quality table of all fields, as `fields` writes it; none: not shown."),
    ] = None,
    leakage: Annotated[
        Path | None,
        typer.Option(help="Leakage table, as `split` writes it; none: said to be not checked."),
    ] = None,
    weights: Annotated[list[Path] | None, _folders("pretrained weights")] = None,
    codec: Annotated[list[Path] | None, _folders("a trained codec")] = None,
    encoder: Annotated[list[Path] | None, _folders("a trained encoder")] = None,
    config: Config = CONFIG,
    log: Log = None,
) -> None:
    r"""Write the report on an experiment: one file that needs nothing else, and pages beside it.

    Example:

    ```
    morphpipe report demo --config config/demo.yaml \
        --fields fields.parquet --quarantine quarantine.parquet \
        --quality quality.parquet --split split.parquet --leakage split-leakage.parquet \
        --samples samples.zip \
        --checkpoint checkpoint --metrics distances.parquet \
        --metrics effects.parquet --metrics probes.parquet \
        --real features --generated generated-features --output report.html --site report
    ```
    """
    prepare(None, log)
    from morphpipe.core.checksums import RECORD
    from morphpipe.report.collect import collect
    from morphpipe.report.site import write_report

    configuration, _ = configured(config, "experiments", name)
    files = {
        "fields": fields,
        "quarantine": quarantine,
        "quality": quality,
        "leakage": leakage,
        "split": split,
        "samples": samples,
        "checkpoints": checkpoint,
        "metrics": metrics,
        "pairs": pairs,
        "features": real,
        "generated_features": generated,
    }
    inputs = collect(
        configuration.model_dump(mode="json"),
        {name: files},
        weights=[str(folder / RECORD) for folder in weights or []],
        codecs=[str(folder / "history.csv") for folder in codec or []],
        encoders=[str(folder / "history.csv") for folder in encoder or []],
        papers=[str(folder / "item.json") for folder in paper or []],
    )
    write_report(inputs, page=output, folder=site)
    print(output)


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


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (report, show):
        app.command(rich_help_panel="Evaluate and report")(verb)
