"""The verbs `evaluate`, `report` and `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from morphpipe.cli.options import CONFIG, Config, Log, Threads, configured, prepare
from morphpipe.cli.outputs import new
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.evaluation.registry import MODULES

if TYPE_CHECKING:
    from collections.abc import Iterable


def _require(files: "Iterable[str]", config: Path) -> None:
    """Check that the files of the run exist."""
    missing = [path for path in files if not Path(path).exists()]
    if missing:
        raise DataError(
            f"The run of {config} has no {missing[0]}"
            + (f" and {len(missing) - 1} more files" if missing[1:] else "")
            + f": run `snakemake --profile profiles/local --configfile {config}` first."
        )


def evaluate(
    measure: Annotated[str, typer.Argument(help=f"One of {', '.join(MODULES)}.")],
    experiment: Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")],
    output: Annotated[Path, new("Metric table (.parquet) to write.")],
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Repeat a measure for the images of a run, for example with other settings.

    Features and images are those of the run of the configuration. Example:

    ```
    morphpipe evaluate distances demo --config config/demo.yaml --output distances.parquet
    ```
    """
    prepare(threads, log)
    from morphpipe.core.storage import read_parquet
    from morphpipe.evaluation.registry import load_measure
    from morphpipe.plan.params import evaluation_params
    from morphpipe.plan.paths import Plan
    from morphpipe.stages.evaluation import evaluate as run
    from morphpipe.tables.lineage import read_from

    chosen = load_measure(measure)
    configuration, _ = configured(config, "experiments", experiment)
    plan = Plan(configuration)
    split = configuration.experiments[experiment].split
    counts = plan.cell_counts(experiment) if "cells" in chosen.needs else []
    samples, fields = plan.samples(experiment), plan.fields(split)
    files = [fields, plan.split_table(split), *samples, *plan.features(experiment), *counts]
    _require(files, config)
    read_from(files)
    run(
        measure,
        evaluation_params(plan, experiment, measure),
        {"metrics": output},
        fields=fields,
        split=plan.split_table(split),
        samples=samples,
        counts=counts,
    )
    print(f"{len(read_parquet(output))} rows in {output}")


def report(
    output: Annotated[Path, new("Report as a single file (.html).")],
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Experiments to show; default: all.")
    ] = None,
    site: Annotated[
        Path | None,
        new(
            "Folder for the report as pages, with tables (CSV) and figures (PNG, PDF); default: "
            "none."
        ),
    ] = None,
    config: Config = CONFIG,
    log: Log = None,
) -> None:
    r"""Write the report of a finished run, or of some of its experiments.

    Example:

    ```
    morphpipe report demo --config config/demo.yaml --output report.html --site report
    ```
    """
    prepare(None, log)
    from morphpipe.plan.checks import read_plan
    from morphpipe.plan.paths import Plan
    from morphpipe.plan.report_files import comparison_files, flatten, report_files
    from morphpipe.stages.report import write

    plan = Plan(read_plan(config))
    chosen = experiments or list(plan.configuration.experiments)
    for name in chosen:
        if name not in plan.configuration.experiments:
            raise ConfigError(
                f"{config} has no {name!r} in `experiments`; it has "
                f"{', '.join(plan.configuration.experiments)}."
            )
    shown = {name: report_files(plan, name) for name in chosen}
    comparisons = {
        name: comparison_files(plan, name)
        for name, of in plan.configuration.comparisons.items()
        if set(of.experiments) <= set(chosen)
    }
    files = {
        "weights": plan.weights_records(),
        "autoencoders": plan.autoencoder_histories(),
        "encoders": plan.encoder_histories(),
    }
    _require(flatten([shown, comparisons, files]), config)
    write(
        plan.configuration.model_dump(mode="json"),
        shown,
        comparisons,
        files,
        page=output,
        folder=site,
    )
    print(output)


def verify(
    results: Annotated[Path, typer.Argument(help="Folder of the run.")] = Path("results"),
    pixels: Annotated[
        bool, typer.Option(help="Also decode every image, which takes much longer.")
    ] = True,
) -> None:
    r"""Check that the files of a run are complete, undamaged and consistent.

    Nothing is changed. The exit status is 1 if there are faults. Example:

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
    """Add the verbs to the command line."""
    for verb in (evaluate, report, verify):
        app.command(rich_help_panel="Images and results")(verb)
