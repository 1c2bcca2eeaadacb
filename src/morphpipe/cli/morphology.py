"""The verbs `environment` and `measure`, for CellProfiler."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import Log
from morphpipe.cli.outputs import place_inside, work_folder

ENVIRONMENTS = Path("environments")
LOCK = Path("workflow/envs/cellprofiler.lock")
Pipeline = Annotated[Path, typer.Option(help="CellProfiler pipeline (.cppipe).")]
Channel = Annotated[
    list[str] | None,
    typer.Option(
        help="IMAGE=CHANNEL: channel of an image name in the pipeline; may be repeated. "
        "Default: the channel of the same name."
    ),
]


def environment(
    name: Annotated[str, typer.Argument(help="Must be `cellprofiler`.")],
    lock: Annotated[Path, typer.Option(help="Lock file of packages, versions and hashes.")] = LOCK,
    folder: Annotated[
        Path,
        typer.Option(
            callback=work_folder, help="Folder of environments, each in its own subfolder."
        ),
    ] = ENVIRONMENTS,
    log: Log = None,
) -> None:
    """Create and test the environment of CellProfiler.

    Needs Python 3.11 and about 900 MB; takes one or two minutes the first time. Without a network,
    copy the packages of the lock file into a folder, and set PIP_FIND_LINKS to it.
    Example:

    ```
    morphpipe environment cellprofiler
    ```
    """
    from morphpipe.cli.options import prepare
    from morphpipe.core.errors import ConfigError
    from morphpipe.morphology.environment import folder_of, make_environment, record_of

    prepare(None, log)
    if name != "cellprofiler":
        raise ConfigError(f"Unknown environment {name!r}; the only one is cellprofiler.")
    record = record_of(lock, folder)
    made = make_environment(lock, folder_of(lock, folder), record)
    print(f"CellProfiler {made.cellprofiler} in {made.python}, recorded in {record}")


def measure(
    fields: Annotated[Path, typer.Argument(help="Field table (.parquet) or image archive (.zip).")],
    pipeline: Pipeline,
    output: Annotated[
        Path,
        typer.Option(help="Folder to write: image.parquet, objects.parquet and labels.npz."),
    ],
    record: Annotated[
        Path | None,
        typer.Option(
            "--environment",
            help="Record of the environment, as written by `environment`; default: that of "
            "workflow/envs/cellprofiler.lock.",
        ),
    ] = None,
    channel: Channel = None,
    images: Annotated[
        str,
        typer.Option(help="`channels`, or `rgb` for red, green and blue of RGB renderings."),
    ] = "channels",
    split: Annotated[
        Path | None, typer.Option(help="Split table: measure the fields of one side only.")
    ] = None,
    side: Annotated[str, typer.Option(help="Side of the split.")] = "test",
    cell_type: Annotated[
        list[str] | None, typer.Option(help="Measure only these; may be repeated.")
    ] = None,
    perturbation: Annotated[
        list[str] | None, typer.Option(help="Measure only these; may be repeated.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Fields per batch.")] = 25,
    maximum_failed: Annotated[
        float, typer.Option(help="Maximum fraction of failed fields, 0 to 1.")
    ] = 0.05,
    keep_labels: Annotated[
        int, typer.Option(help="Number of fields whose segmentation is kept.")
    ] = 2,
    scratch: Annotated[
        Path | None,
        typer.Option(
            callback=work_folder,
            help="Folder for finished batches; default: `scratch` in the output.",
        ),
    ] = None,
) -> None:
    r"""Measure fields with a CellProfiler pipeline, without its GUI or Java.

    Uses one core. An interrupted run resumes after the last finished batch. Failed fields are
    listed with the reason. Example:

    ```
    morphpipe measure shard-0.zip --output measured \
        --pipeline workflow/pipelines/cellpainting_6ch.cppipe
    morphpipe measure plate.zip --output measured --pipeline mine.cppipe \
        --channel OrigDNA=DNA --channel OrigActin=actin
    ```
    """
    from morphpipe.morphology.environment import read_environment, record_of, variables

    files = {"image": "image.parquet", "objects": "objects.parquet", "labels": "labels.npz"}
    place_inside(output, files.values())
    if scratch is None:
        scratch = output / "scratch"
        work_folder(scratch)
    found = read_environment(record or record_of(LOCK, ENVIRONMENTS))
    command = [found.python, "-m", "morphpipe.morphology.measure"]
    command += ["--fields", str(fields), "--pipeline", str(pipeline), "--images", images]
    command += ["--batch-size", str(batch_size), "--maximum-failed", str(maximum_failed)]
    command += ["--keep-labels", str(keep_labels), "--scratch", str(scratch)]
    for part, file in files.items():
        command += [f"--{part}", str(output / file)]
    for entry in channel or []:
        command += ["--channel", entry]
    if split is not None:
        command += ["--split", str(split), "--side", side]
    for option, names in (("--cell-type", cell_type), ("--perturbation", perturbation)):
        for name in names or []:
            # Joined, so that a name with a leading dash is not parsed as an option.
            command.append(f"{option}={name}")
    sys.stdout.flush()
    with subprocess.Popen(command, env=variables()) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(rich_help_panel="Before a run")(environment)
    app.command(rich_help_panel="Images and results")(measure)
