"""What the tests of several packages share."""

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdist.scheduler import LoadFileScheduling

# Tests run side by side, one for each core: threads beside them would wait for one another, five
# times as long. Said before torch is imported, and to all that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imported before all else, so that torchvision loads beside a CPU torch.
from morphpipe.cli import main
from morphpipe.core.lineage import set_inputs
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.manifest import Channel, ChannelManifest

MIRROR = Path(__file__).resolve().parents[2] / "shared" / "mirror"


# Minutes each: whole workflows, and the report's, which one process runs. The many short tests fill
# the gaps behind them.
LONGEST = (
    "workflow/test_workflow.py",
    "slurm/test_slurm_workflow.py",
    "workflow/test_morphodiff.py",
    "report/",
    "workflow/",
    "slurm/",
)


@pytest.fixture(autouse=True)
def _of_no_job() -> Iterator[None]:
    """Let no test write tables that are made from what another one has read."""
    yield
    set_inputs({})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((i for i, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST))

    items.sort(key=place)


class TogetherByFixtures(LoadFileScheduling):
    """A file at a time to each process; all of the report's to one, which make their run once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "report" if Path(file).parent.name == "report" else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherByFixtures:
    """Who runs which tests."""
    return TogetherByFixtures(config, log)


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(name="morphpipe")
def _morphpipe(monkeypatch, capsys) -> Callable[..., Ended]:
    """Run a verb, as `morphpipe("show", path)`."""

    def run(*arguments) -> Ended:
        monkeypatch.setattr(sys, "argv", ["morphpipe", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run


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


class SmallDisk:
    """A folder whose disk can be filled up, and emptied again."""

    def __init__(self, folder: Path, own: bool) -> None:
        self.folder = folder
        self._own = own
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """From now on nothing more fits."""
        if not self._own:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, self._limits[1]))
            return
        with open(self.folder / "filler", "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        """Things fit again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        (self.folder / "filler").unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[SmallDisk]:
    """A disk of 16 MB in memory; without the right to mount one, a limit on the size of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    own = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    disk = SmallDisk(folder, own)
    yield disk
    disk.make_room()
    if own:
        subprocess.run(["umount", "-l", str(folder)], check=True)
