"""CellProfiler's environment, fields with cells in them, and a small pipeline for them."""

import json
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.morphology.environment import read_environment, record_of, variables
from morphpipe.tables.archive import read_fields, write_archive

# See `morphpipe.morphology.measure.leave`.
_LEAVE = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
REPOSITORY = Path(__file__).resolve().parents[2]
RECORD = record_of(REPOSITORY / "workflow/envs/cellprofiler.lock", REPOSITORY / "environments")
PIPELINES = REPOSITORY / "workflow" / "pipelines"

# Nuclei in DNA, cells around them in ER; written by CellProfiler itself, so that it is a pipeline
# as its window saves it.
_WRITE_PIPELINE = """
    import sys
    from morphpipe.morphology import adapters
    adapters.install()
    from cellprofiler.modules.identifyprimaryobjects import IdentifyPrimaryObjects
    from cellprofiler.modules.identifysecondaryobjects import IdentifySecondaryObjects
    from cellprofiler.modules.measureimageintensity import MeasureImageIntensity
    from cellprofiler.modules.measureobjectintensity import MeasureObjectIntensity
    from cellprofiler.modules.measureobjectsizeshape import MeasureObjectSizeShape
    from cellprofiler_core.pipeline import Pipeline

    nuclei, cells = sys.argv[2:4]
    primary = IdentifyPrimaryObjects()
    primary.x_name.value, primary.y_name.value = nuclei, "Nuclei"
    primary.size_range.value = (8, 40)
    primary.use_advanced.value = True
    primary.unclump_method.value = "None"
    secondary = IdentifySecondaryObjects()
    secondary.x_name.value, secondary.y_name.value = "Nuclei", "Cells"
    secondary.image_name.value = cells
    # Halfway between background and what is drawn.
    for module, threshold in ((primary, 0.28), (secondary, 0.18)):
        module.threshold.global_operation.value = "Manual"
        module.threshold.manual_threshold.value = threshold
        module.threshold.threshold_smoothing_scale.value = 0.0
    intensity = MeasureObjectIntensity()
    intensity.images_list.value = f"{nuclei}, {cells}"
    intensity.objects_list.value = "Nuclei, Cells"
    shape = MeasureObjectSizeShape()
    shape.objects_list.value = "Nuclei, Cells"
    shape.calculate_zernikes.value = False
    whole = MeasureImageIntensity()
    whole.images_list.value = f"{nuclei}, {cells}"
    pipeline = Pipeline()
    for number, module in enumerate((primary, secondary, intensity, shape, whole), start=1):
        module.set_module_num(number)
        pipeline.add_module(module)
    with open(sys.argv[1], "w") as stream:
        pipeline.dump(stream, save_image_plane_details=False)
"""


@pytest.fixture(scope="session")
def cellprofiler():
    """The interpreter of CellProfiler's environment."""
    try:
        return read_environment(RECORD).python
    except DataError as error:
        pytest.skip(f"no environment of CellProfiler to test in: {error}")


@pytest.fixture(scope="session")
def run_cellprofiler(cellprofiler):
    """Run a script in CellProfiler's interpreter; gives what it prints last, read as JSON."""

    def run(script, *arguments):
        done = subprocess.run(
            [cellprofiler, "-c", textwrap.dedent(script) + _LEAVE, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=variables(),
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    return run


@pytest.fixture(scope="session")
def make_pipeline(run_cellprofiler):
    """Write a small pipeline that takes nuclei and cells from two images."""
    written = {}

    def make(path, nuclei="DNA", cells="ER"):
        if (nuclei, cells) not in written:
            run_cellprofiler(_WRITE_PIPELINE, path, nuclei, cells)
            written[nuclei, cells] = path.read_bytes()
        path.write_bytes(written[nuclei, cells])
        return path

    return make


@pytest.fixture(scope="session")
def pipeline(make_pipeline, tmp_path_factory):
    return make_pipeline(tmp_path_factory.mktemp("pipeline") / "small.cppipe")


class Measured:
    """What a run of the command line left."""

    def __init__(self, folder, done):
        self.image = folder / "image.parquet"
        self.objects = folder / "objects.parquet"
        self.labels = folder / "labels.npz"
        self.scratch = folder / "scratch"
        self.code = done.returncode
        self.said = done.stdout + done.stderr


def measure_command(cellprofiler, fields, pipeline, folder, *options):
    """The command line of a run that writes into a folder."""
    return [
        cellprofiler, "-m", "morphpipe.morphology.measure",
        "--fields", str(fields), "--pipeline", str(pipeline),
        "--scratch", str(folder / "scratch"), "--image", str(folder / "image.parquet"),
        "--objects", str(folder / "objects.parquet"), "--labels", str(folder / "labels.npz"),
        *map(str, options),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def measure(cellprofiler):
    """Measure fields as the command line does."""

    def run(fields, pipeline, folder, *options):
        command = measure_command(cellprofiler, fields, pipeline, folder, *options)
        done = subprocess.run(command, capture_output=True, text=True, env=variables(), check=False)
        return Measured(folder, done)

    return run


@pytest.fixture(scope="session")
def measure_each(run_cellprofiler):
    """Measure fields as the command line does, once for each list of options, in one process.

    Gives the exit code and what was said of each.
    """
    script = """
        import contextlib, io, json, sys
        from morphpipe.morphology.measure import main
        ended = []
        for words in json.loads(sys.argv[1]):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                code = main(words)
            ended.append([code, said.getvalue()])
        print(json.dumps(ended))
    """

    def run(fields, pipeline, folder, *options):
        lines = [measure_command("", fields, pipeline, folder, *o)[3:] for o in options]
        return run_cellprofiler(script, json.dumps(lines))

    return run


def draw_field(seed, *, side=128, cells=4, channels=2):
    """Cells on a grid with some noise: float [channels, side, side] from 0 to 1.

    The first channel has discs of radius 7 for nuclei, the others discs of radius 15 around them.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = np.full((channels, side, side), 0.03)
    grid = range(20, side - 16, 34)
    places = [(row, column) for row in grid for column in grid]
    for index in random.permutation(len(places))[:cells]:
        distance = np.hypot(y - places[index][0], x - places[index][1])
        image[0] += 0.5 * np.clip(8 - distance, 0, 1)
        image[1:] += 0.3 * np.clip(16 - distance, 0, 1)
    return np.clip(image + random.normal(0, 0.01, image.shape), 0, 1)


@pytest.fixture
def make_screen(make_manifest, make_row):
    """Write fields with cells into an archive; gives the field table.

    `cells` says how many there are in each field.
    """

    def make(path, cells=(4, 3, 0, 5), *, names=("DNA", "ER"), bit_depth=8, side=128, ids=None):
        top = 2**bit_depth - 1
        dtype = np.uint8 if bit_depth == 8 else np.uint16
        with write_archive(path, make_manifest(names, bit_depth)) as archive:
            for i, number in enumerate(cells):
                image = draw_field(i, side=side, cells=number, channels=len(names))
                row = make_row(ids[i] if ids else f"f{i}")
                archive.add(row, np.round(image * top).astype(dtype))
        return read_fields(path)

    return make
