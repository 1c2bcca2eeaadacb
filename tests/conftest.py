"""What the tests of several packages share."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

# Tests run side by side, one for each core: threads beside them would wait for one another, five
# times as long. Said before torch is imported, and to all that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imported before all else, so that torchvision loads beside a CPU torch.
import morphpipe  # noqa: F401
from morphpipe.datasets.archive import write_archive
from morphpipe.datasets.fields import Channel, ChannelManifest, read_fields

MIRROR = Path(__file__).resolve().parents[2] / "shared" / "mirror"


@pytest.fixture(scope="session")
def mirror():
    """A folder with a few real fields of each public dataset, laid out as their servers do."""
    if not MIRROR.is_dir():
        pytest.skip(f"the mirror of real fields is not at {MIRROR}")
    return MIRROR


@pytest.fixture
def make_manifest():
    """Make a channel manifest of channels by name."""

    def make(names=("DNA", "ER"), bit_depth=8):
        return ChannelManifest(
            channels=tuple(Channel(name, f"stain of {name}") for name in names),
            pixel_size=(0.65, 0.65),
            bit_depth=bit_depth,
            licence="MIT",
            source="random numbers",
        )

    return make


@pytest.fixture
def make_row():
    """Make the columns that name a field of a real, simulated-like plate."""

    def make(field_id, **columns):
        return {
            "field_id": field_id,
            "dataset": "random",
            "origin": "real",
            "cell_type": "HUVEC",
            "batch": "b1",
            "plate": "p1",
            "well": "B02",
            "site": 1,
            "perturbation": "control",
            "perturbation_kind": "none",
            "control": "negative",
        } | columns

    return make


@pytest.fixture
def make_fields(make_manifest, make_row):
    """Write random images into an archive; gives the field table and the images [n, C, H, W]."""

    def make(path, number=4, *, names=("DNA", "ER"), size=(16, 16), bit_depth=8, rows=None, seed=0):
        manifest = make_manifest(names, bit_depth)
        dtype = np.uint8 if bit_depth == 8 else np.uint16
        images = np.random.default_rng(seed).integers(
            0, 2**bit_depth, (number, len(names), *size), dtype=dtype
        )
        with write_archive(path, manifest) as archive:
            for i, image in enumerate(images):
                archive.add(rows[i] if rows else make_row(f"f{i}"), image)
        return read_fields(path), images

    return make


@pytest.fixture
def run_python():
    """Run a script in another process, as `run_python(script, *arguments)`.

    Gives the process, which the caller waits for or kills.
    """
    processes = []

    def run(script, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
