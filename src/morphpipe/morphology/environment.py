"""CellProfiler's own environment: made from a lock, tested, and recorded.

CellProfiler 4 needs older libraries than the rest of morphpipe (numpy 1.23.5: from 1.25 on, ties in
`argsort` fall otherwise and MeasureObjectIntensityDistribution gives other numbers), so that it
lives in a virtual environment of its own. morphpipe is not installed there: the modules that run in
it are found through PYTHONPATH, see `package_path`.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.folder_lock import only_user
from morphpipe.core.json_files import read_json
from morphpipe.core.storage import sha256_of_file, write_json

PYTHON = (3, 11)
PASSED = "passed"
# The record's copy inside the environment, which no workflow deletes as an output.
_COPY = "morphpipe.json"
# How long another process may take to make it, seconds.
_MAKING = 1800.0
# How much of a message of pip's is passed on.
_LINES = 15


@dataclass(frozen=True)
class CellProfilerEnvironment:
    """An environment that was made and passed its self-test.

    Attributes
    ----------
    python
        Absolute path of its interpreter.
    lock_sha256
        Of the lock that it was made from.
    cellprofiler
        Version of CellProfiler.
    packages
        Versions by name.
    self_test
        `passed`.
    """

    python: str
    lock_sha256: str
    cellprofiler: str
    packages: dict[str, str]
    self_test: str


def package_path() -> Path:
    """The folder that holds the package, for the PYTHONPATH of CellProfiler's interpreter."""
    return Path(__file__).resolve().parents[2]


def folder_of(lock: Path, environments: Path) -> Path:
    """Where the environment of a lock belongs: another lock, another folder."""
    return environments / f"cellprofiler-{sha256_of_lock(lock)[:12]}"


def record_of(lock: Path, environments: Path) -> Path:
    """Where the record of a lock's environment belongs: beside its folder, under its name."""
    return folder_of(lock, environments).with_suffix(".json")


def variables() -> dict[str, str]:
    """The environment variables of a process that runs CellProfiler.

    One thread: CellProfiler's arrays are small, and threads of OpenMP or OpenBLAS wait for each
    other longer than they work (MeasureTexture takes three times as long with them). What the
    caller's own Python is told does not hold for another Python.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {
        "PYTHONPATH": str(package_path()),
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def read_environment(record: str | Path) -> CellProfilerEnvironment:
    """Read the record of an environment.

    Raises
    ------
    DataError
        When there is no record, it is damaged, its self-test did not pass, or its interpreter is
        gone.
    """
    again = "make it with `morphpipe environment cellprofiler`"
    try:
        content = read_json(record)
        environment = CellProfilerEnvironment(**content)
    except FileNotFoundError:
        raise DataError(f"There is no CellProfiler environment {record}: {again}.") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{record} is no record of an environment ({error}): {again}.") from None
    if environment.self_test != PASSED:
        raise DataError(f"The environment of {record} did not pass its self-test: {again} anew.")
    if not os.access(environment.python, os.X_OK):
        raise DataError(f"{record} names {environment.python}, which is gone: {again} anew.")
    return environment


def make_environment(lock: Path, folder: Path, record: Path) -> CellProfilerEnvironment:
    """Make CellProfiler's virtual environment, test it, and record it.

    An environment of this lock whose interpreter still answers is kept, whoever made it: others may
    be measuring with it. One at a time makes an environment in a folder; the others wait.

    Parameters
    ----------
    lock
        Requirements with a version and hashes each, see `workflow/envs/cellprofiler.lock`.
    folder
        Of the environment. What lies there half-made, from a job that was killed, is replaced.
    record
        JSON file, written last, as is its copy in the folder: they stand for the environment being
        complete.

    Returns
    -------
    CellProfilerEnvironment
        What the record says.

    Raises
    ------
    ConfigError
        When there is no Python 3.11, pip cannot install the lock, or the self-test fails.
    DataError
        When there is no lock, or the folder holds something else.
    """
    with only_user(folder.with_name(f".{folder.name}"), _MAKING):
        return _make(lock, folder, record)


def _make(lock: Path, folder: Path, record: Path) -> CellProfilerEnvironment:
    """See `make_environment`."""
    digest = sha256_of_lock(lock)
    python = folder.absolute() / "bin" / "python"
    for known in (record, folder / _COPY):
        ready = _ready(known, digest, folder)
        if ready is not None:
            if known != record:
                write_json(asdict(ready), record)
            return ready
    _clear(folder)
    interpreter = _find_python()
    record.unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([interpreter, "-m", "venv", str(folder)], "making the virtual environment", _VENV_ADVICE)
    _install(python, lock)
    packages = _packages(python)
    _run(
        [str(python), "-m", "morphpipe.morphology.self_test"],
        "the self-test of CellProfiler",
        "The environment installs, but does not measure as it has to: on another processor or "
        f"system than {lock} was tested on, report this.",
    )
    environment = CellProfilerEnvironment(
        python=str(python),
        lock_sha256=digest,
        cellprofiler=packages["cellprofiler"],
        packages=packages,
        self_test=PASSED,
    )
    write_json(asdict(environment), folder / _COPY)
    write_json(asdict(environment), record)
    return environment


_VENV_ADVICE = "On Debian and Ubuntu, the package python3.11-venv is needed."
_PIP_ADVICE = (
    "Behind a proxy, set https_proxy. Without a network, put the files that the lock names into a "
    "folder and set PIP_FIND_LINKS to it and PIP_NO_INDEX=1. Or use conda, see "
    "workflow/envs/cellprofiler.yaml."
)


def sha256_of_lock(lock: Path) -> str:
    """Checksum of a lock, by which its environment is known.

    Raises
    ------
    DataError
        When it cannot be read.
    """
    try:
        return sha256_of_file(lock)
    except OSError as error:
        raise DataError(f"The lock {lock} cannot be read ({error.strerror}).") from None


def _ready(record: Path, digest: str, folder: Path) -> CellProfilerEnvironment | None:
    """What the record says, if it is of this lock and place and the interpreter answers."""
    try:
        environment = read_environment(record)
    except DataError:
        return None
    # Under another path, or by a link, it is the same folder.
    place = Path(environment.python).parents[1]
    if environment.lock_sha256 != digest or place.resolve() != folder.resolve():
        return None
    command = [environment.python, "-c", "import cellprofiler_core, numpy, pyarrow"]
    try:
        answer = subprocess.run(command, capture_output=True, env=variables(), check=False)
    except OSError:
        return None
    return environment if answer.returncode == 0 else None


def _clear(folder: Path) -> None:
    """Remove a half-made or outdated environment, and nothing else.

    Raises
    ------
    DataError
        When the folder is there and is no virtual environment.
    """
    if not folder.exists():
        return
    # An interrupted `venv` has written pyvenv.cfg before anything else but empty folders.
    strange = not folder.is_dir() or (any(folder.iterdir()) and not _is_environment(folder))
    if strange:
        raise DataError(
            f"{folder} is there, and is no virtual environment: remove it, or name another folder."
        )
    shutil.rmtree(folder)


def _is_environment(folder: Path) -> bool:
    if (folder / "pyvenv.cfg").is_file():
        return True
    return not any(path.is_file() for path in folder.rglob("*"))


def _find_python() -> str:
    """A Python 3.11: the running one, or python3.11 on the path."""
    if sys.version_info[:2] == PYTHON:
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        running = ".".join(map(str, sys.version_info[:2]))
        raise ConfigError(
            "CellProfiler's environment needs Python 3.11, and there is no python3.11 on the path "
            f"(this is Python {running}): install it, or use conda, see "
            "workflow/envs/cellprofiler.yaml."
        )
    return found


def _install(python: Path, lock: Path) -> None:
    """Install the lock: wheels first, then the few packages that are published as source only.

    Dependencies are not followed: CellProfiler's own metadata ask for wxPython and a MySQL client,
    for its windows and its database, neither of which is needed here.
    """
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    exact = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement"]
    _run([*pip, *exact, str(lock)], "pip", _PIP_ADVICE)


def _packages(python: Path) -> dict[str, str]:
    """Name and version of what is installed."""
    script = (
        "import json, importlib.metadata as m\n"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    return dict(sorted(json.loads(_run([str(python), "-c", script], "Python", "")).items()))


def _run(command: list[str], what: str, advice: str) -> str:
    """What a command prints.

    Raises
    ------
    ConfigError
        When it fails, with the end of what it said.
    """
    # Settings of the user's own pip that would put packages elsewhere.
    kept = variables()
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT"):
        kept.pop(name, None)
    done = subprocess.run(command, capture_output=True, text=True, env=kept, check=False)
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_LINES:])
        raise ConfigError(
            f"CellProfiler's environment cannot be made: {what} ended with the exit code "
            f"{done.returncode} and said:\n{said}\n{advice}".rstrip()
        )
    return done.stdout
