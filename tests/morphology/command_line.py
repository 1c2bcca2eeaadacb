"""CellProfiler's own command line on the fields of an image archive, and what it measured.

    python tests/morphology/command_line.py INTERPRETER

writes the reference anew that `test_command_line.py` compares with; see reference/README.md.
"""

import argparse
import os
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from morphpipe.core.storage import write_parquet
from morphpipe.datasets.simulated import ScreenDesign
from morphpipe.datasets.simulated.source import simulate_plate
from morphpipe.imaging.rgb import RGB_CHANNELS, to_rgb
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import Channel, ChannelManifest

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = ROOT / "workflow" / "pipelines"
REFERENCE = Path(__file__).with_name("reference")
ARCHIVE = REFERENCE / "fields.zip"
DARK = REFERENCE / "dark.zip"
COMPARTMENTS = ("Nuclei", "Cells", "Cytoplasm")
SCREEN = ScreenDesign(
    seed=3,
    cell_types=("epithelial", "fibroblast", "hepatic"),
    perturbations=("nuclear-swelling",),
    plates=1,
    replicates=1,
    sites=1,
)
# With nuclei off the border, whatever smoothing joins.
LARGE_SCREEN = replace(SCREEN, cell_types=("fibroblast",), field_size=192)
# Of the pixels of each plane that are made 0: bounds on thresholds ask for a dark background.
DARK_PERCENTILE = 20

# Of Image.csv: what names the files or the run, and summaries of the objects' tables.
_BOOKKEEPING = (
    "Channel_", "ExecutionTime_", "FileName_", "Frame_", "Group_", "Height_", "ImageNumber",
    "ImageSet_", "MD5Digest_", "Metadata_", "ModuleError_", "PathName_", "ProcessingStatus",
    "Scaling_", "Series_", "URL_", "Width_",
)  # fmt: skip
_SUMMARIES = ("Mean_", "Median_", "StDev_")
# Tables that are not of objects.
_OTHER_TABLES = ("Image", "Experiment")


@dataclass(frozen=True)
class Case:
    """A pipeline and the fields of the reference that it is tried on.

    Attributes
    ----------
    pipeline
        Name of the pipeline without its suffix.
    fields
        How many fields of the archive, from the first.
    images
        `channels`, or `rgb` for the fields shown as RGB.
    channels
        Which channel stands for an image of the pipeline; the others have the image's name.
    archive
        The fields.
    """

    pipeline: str
    fields: int
    images: str = "channels"
    channels: dict[str, str] = field(default_factory=dict)
    archive: Path = ARCHIVE

    @property
    def path(self) -> Path:
        """The pipeline's file."""
        return PIPELINES / f"{self.pipeline}.cppipe"

    def select(self) -> FieldTable:
        """The fields that it is tried on."""
        return read_fields(self.archive).take(list(range(self.fields)))


CASES = (
    Case("simulated_6ch", 3),
    Case("cellpainting_6ch", 1),
    Case("cellpainting_5ch", 1, channels={"AGP": "actin", "Mito": "mito"}),
    Case("bbbc021_rgb", 1, images="rgb"),
    Case("morphodiff_bbbc021", 1, archive=DARK),
)


def write_dark_field(path: Path) -> None:
    """Write a larger field, shown as RGB on a dark background, as an image archive."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "large.zip"
        simulate_plate(LARGE_SCREEN, 1, "cells", source)
        fields = read_fields(source)
        with FieldReader(fields) as reader:
            rgb = to_rgb(reader.read(0), fields.manifest.names)
    planes = np.moveaxis(rgb, -1, 0).astype(float)
    planes -= np.percentile(planes, DARK_PERCENTILE, axis=(1, 2), keepdims=True)
    channels = tuple(Channel(colour, "simulated stains as RGB") for colour in RGB_CHANNELS)
    manifest = ChannelManifest(channels, None, 8, "none needed", "simulated field")
    row = {
        "field_id": "dark",
        "dataset": "cells",
        "origin": "real",
        "cell_type": "fibroblast",
        "perturbation": "nuclear-swelling",
        "perturbation_kind": "none",
        "control": "none",
    }
    with write_archive(path, manifest) as archive:
        archive.add(row, planes.clip(0, 255).astype(np.uint8))


def write_planes(case: Case, fields: FieldTable, folder: Path) -> list[Path]:
    """Write every plane as a file `<field_id>/<image name>.png`."""
    names = RGB_CHANNELS if case.images == "rgb" else fields.manifest.names
    image_names = {channel: image for image, channel in case.channels.items()}
    paths = []
    with FieldReader(fields) as reader:
        for row, field_id in enumerate(fields.field_ids):
            stack = reader.read(row)
            if case.images == "rgb":
                stack = np.moveaxis(to_rgb(stack, fields.manifest.names), -1, 0)
            for name, plane in zip(names, stack, strict=True):
                path = folder / field_id / f"{image_names.get(name, name)}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ascontiguousarray(plane)).save(path)
                paths.append(path)
    return paths


def run_command_line(python: str, pipeline: Path, images: list[Path], folder: Path) -> Path:
    """Run CellProfiler as `python -m cellprofiler` on files; gives the folder of its tables."""
    listed, output = folder / "files.txt", folder / "tables"
    output.mkdir()
    listed.write_text("".join(f"{path.resolve()}\n" for path in images))
    command = [python, "-m", "cellprofiler", "--run-headless", "--run", "--log-level", "ERROR"]
    command += ["--pipeline", str(pipeline), "--file-list", str(listed)]
    command += ["--output-directory", str(output)]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=os.environ | threads, cwd=folder, capture_output=True, text=True
    )
    if done.returncode or not (output / "Image.csv").is_file():
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return output


def read_spreadsheets(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables that ExportToSpreadsheet wrote, laid out like those of `measure`, as float32.

    Returns
    -------
    image : pandas.DataFrame
        A row per field: field_id, and the image's measurements.
    objects : pandas.DataFrame
        A row per object: field_id, compartment, object, and its measurements.
    """
    image = pd.read_csv(output / "Image.csv")
    path = next(column for column in image if column.startswith("PathName_"))
    ids = image[path].map(lambda name: Path(name).name)
    field_of = dict(zip(image["ImageNumber"], ids, strict=True))
    dropped = (*_BOOKKEEPING, *_SUMMARIES)
    values = image[[column for column in image if not column.startswith(dropped)]]
    image = pd.concat([ids.rename("field_id"), values.astype(np.float32)], axis=1)

    parts = []
    for file in sorted(output.glob("*.csv")):
        compartment = file.stem
        if compartment in _OTHER_TABLES:
            continue
        table = pd.read_csv(file)
        keys = pd.DataFrame(
            {
                "field_id": table.pop("ImageNumber").map(field_of),
                "compartment": compartment,
                "object": table.pop("ObjectNumber").astype(np.int32),
            }
        )
        parts.append(pd.concat([keys, table.astype(np.float32)], axis=1))
    return image, pd.concat(parts, ignore_index=True)


def measure_by_command_line(python: str, case: Case) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Image and object values of a case by CellProfiler's command line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = write_planes(case, case.select(), folder / "images")
        return read_spreadsheets(run_command_line(python, case.path, images, folder))


def write_reference(name: str, image: pd.DataFrame, objects: pd.DataFrame) -> None:
    """Write both tables as one of a row per value, which is smaller than a column per value."""
    keys = ["field_id", "compartment", "object"]
    image = image.copy().assign(compartment="Image", object=np.int32(0))
    rows = [table.melt(keys, var_name="measurement") for table in (image, objects)]
    table = pd.concat(rows, ignore_index=True).dropna(subset="value")
    content = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    write_parquet(content, REFERENCE / f"{name}.parquet")


def read_reference(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inverse of `write_reference`; columns in alphabetical order."""
    table = pd.read_parquet(REFERENCE / f"{name}.parquet")
    keys = ["field_id", "compartment", "object"]
    values = table.pivot(index=keys, columns="measurement", values="value")
    of_image = values.index.get_level_values("compartment") == "Image"
    image, objects = (values[rows].dropna(axis=1, how="all") for rows in (of_image, ~of_image))
    return image.reset_index().drop(columns=keys[1:]), objects.reset_index()


def main() -> None:
    """Write the reference: its fields and its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("interpreter", help="Python beside CellProfiler and Java")
    python = parser.parse_args().interpreter
    simulate_plate(SCREEN, 1, "cells", ARCHIVE)
    write_dark_field(DARK)
    for case in CASES:
        write_reference(case.pipeline, *measure_by_command_line(python, case))
        print(f"{case.pipeline} is done")


if __name__ == "__main__":
    main()
