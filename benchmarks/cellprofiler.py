"""CellProfiler's command line and the measurement in process, side by side: fields per CPU hour.

    python benchmarks/cellprofiler.py [--command-line INTERPRETER] [--in-process INTERPRETER]
        [--archive fields.zip] [--fields 8] [--pipeline workflow/pipelines/cellpainting_6ch.cppipe]

Both read the same images and run the same pipeline, each in one process and one thread. CPU time
is user and system time of the process and its children, its start included (some 5 s for either).
The two are alternated and the medians compared, so that a busy machine harms both. Without
`--command-line`, which needs Java, the measurement in process stands alone; its interpreter is that
of the environment which the workflow makes for CellProfiler.
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measuring import markdown_table
from PIL import Image

from morphpipe.config.datasets import SimulatedDataset
from morphpipe.datasets.simulated.source import screen_design, simulate_plate
from morphpipe.morphology.environment import read_environment, record_of, variables
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable, concatenate, write_fields

ROOT = Path(__file__).resolve().parents[1]
RECORD = record_of(ROOT / "workflow/envs/cellprofiler.lock", ROOT / "environments")


def simulated_archive(path: Path, fields: int, size: int) -> FieldTable:
    """At least so many simulated fields of 6 x size x size."""
    settings = {"source": "simulated", "field_size": size, "replicates": -(-fields // 10)}
    simulate_plate(screen_design(SimulatedDataset.model_validate(settings)), 1, "cells", path)
    return read_fields(path)


def write_planes(fields: FieldTable, folder: Path) -> Path:
    """A file per plane, and the list of them, which the command line reads."""
    lines = []
    with FieldReader(fields) as reader:
        for row, field_id in enumerate(fields.field_ids):
            (folder / field_id).mkdir(parents=True)
            for name, plane in zip(fields.manifest.names, reader.read(row), strict=True):
                path = folder / field_id / f"{name}.png"
                Image.fromarray(plane).save(path)
                lines.append(f"{path}\n")
    listed = folder / "files.txt"
    listed.write_text("".join(lines))
    return listed


def cpu_seconds(command: list[str | Path]) -> float:
    """User and system time of a command and of all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        list(map(str, command)),
        env=variables(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def command_line(python: Path, pipeline: Path, fields: FieldTable) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = write_planes(fields, folder / "images")
        command: list[str | Path] = [python, "-m", "cellprofiler", "--run-headless", "--run"]
        command += ["--pipeline", pipeline, "--file-list", listed]
        seconds = cpu_seconds([*command, "--output-directory", folder])
        if not (folder / "Image.csv").is_file():
            raise SystemExit("CellProfiler's command line ended without its tables.")
        return seconds


def in_process(python: Path, pipeline: Path, fields: FieldTable) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "fields.parquet"
        write_fields(concatenate([fields], folder), table)
        command: list[str | Path] = [python, "-m", "morphpipe.morphology.measure"]
        command += ["--fields", table, "--pipeline", pipeline]
        command += ["--scratch", folder / "scratch", "--image", folder / "image.parquet"]
        command += ["--objects", folder / "objects.parquet", "--labels", folder / "labels.npz"]
        return cpu_seconds(command)


def compare(
    ways: dict[str, Callable[[FieldTable], float]], fields: FieldTable, repeats: int
) -> None:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            taken[name].append(way(fields))
    seconds = {name: statistics.median(values) for name, values in taken.items()}
    first = next(iter(seconds.values()))
    rows = [
        [name, f"{value:.1f}", f"{3600 * len(fields) / value:.0f}", f"{first / value:.2f}"]
        for name, value in seconds.items()
    ]
    print(markdown_table(("way", "CPU seconds", "fields per CPU hour", "times as many"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command-line", type=Path, metavar="INTERPRETER")
    parser.add_argument("--in-process", type=Path, metavar="INTERPRETER")
    parser.add_argument("--pipeline", type=Path)
    parser.add_argument("--archive", type=Path, help="real fields; otherwise they are simulated")
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--size", type=int, default=512, help="of simulated fields")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    python = arguments.in_process or Path(read_environment(RECORD).python)
    pipeline = arguments.pipeline or ROOT / "workflow" / "pipelines" / "cellpainting_6ch.cppipe"
    with tempfile.TemporaryDirectory() as name:
        archive = arguments.archive or Path(name) / "cells.zip"
        if arguments.archive is None:
            simulated_archive(archive, arguments.fields, arguments.size)
        fields = read_fields(archive).take(list(range(arguments.fields)))
        height, width = fields.table["height"][0].as_py(), fields.table["width"][0].as_py()
        print(
            f"{pipeline.name}, {len(fields)} fields of "
            f"{len(fields.manifest.channels)}x{height}x{width}\n"
        )
        ways: dict[str, Callable[[FieldTable], float]] = {}
        if arguments.command_line is not None:
            ways["command line"] = partial(command_line, arguments.command_line, pipeline)
        ways["in process"] = partial(in_process, python, pipeline)
        compare(ways, fields, arguments.repeats)


if __name__ == "__main__":
    main()
