"""CellProfiler's environment: created from a lock file, tested, and recorded.

CellProfiler 4 needs older libraries than the rest of morphpipe (numpy 1.23.5: from 1.25, ties in
`argsort` are resolved differently and MeasureObjectIntensityDistribution changes), so it has its
own virtual environment. morphpipe is not installed there: its modules are found through PYTHONPATH,
see `package_path`.
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
# Copy of the record inside the environment, where no workflow deletes it as an output.
_COPY = "morphpipe.json"
# Maximum time for another process to create it, seconds.
_MAKING = 1800.0
# Maximum length of pip's messages.
_LINES = 15


@dataclass(frozen=True)
class CellProfilerEnvironment:
    """An environment that passed its self-test.

    Attributes
    ----------
    python
        Absolute path of its interpreter.
    lock_sha256
        Checksum of its lock file.
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
    """Folder of the package, for the PYTHONPATH of CellProfiler's interpreter."""
    return Path(__file__).resolve().parents[2]


def folder_of(lock: Path, environments: Path) -> Path:
    """Folder of a lock's environment, specific to the lock."""
    return environments / f"cellprofiler-{sha256_of_lock(lock)[:12]}"


def record_of(lock: Path, environments: Path) -> Path:
    """Path of the record of a lock's environment, next to its folder."""
    return folder_of(lock, environments).with_suffix(".json")


def variables() -> dict[str, str]:
    """Environment variables for running CellProfiler.

    Single-threaded: CellProfiler's arrays are small, and OpenMP or OpenBLAS threads mostly wait for
    each other (MeasureTexture takes three times as long with them). Variables of the caller's
    Python are removed.
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
        If the record is missing or damaged, the self-test did not pass, or the interpreter is gone.
    """
    again = "make it with `morphpipe environment cellprofiler`"
    try:
        content = read_json(record)
        environment = CellProfilerEnvironment(**content)
    except FileNotFoundError:
        raise DataError(f"The CellProfiler environment {record} does not exist: {again}.") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{record} is not a record of an environment ({error}): {again}.") from None
    if environment.self_test != PASSED:
        raise DataError(f"The environment of {record} did not pass its self-test: {again} again.")
    if not os.access(environment.python, os.X_OK):
        raise DataError(f"{record} names {environment.python}, which is gone: {again} again.")
    return environment


def make_environment(lock: Path, folder: Path, record: Path) -> CellProfilerEnvironment:
    """Create CellProfiler's virtual environment, test it, and record it.

    A working environment of this lock is kept, since others may be using it. Only one process at a
    time creates an environment in a folder; others wait.

    Parameters
    ----------
    lock
        Pinned requirements with hashes, see `workflow/envs/cellprofiler.lock`.
    folder
        Folder of the environment; a partial environment of a killed job is replaced.
    record
        JSON file, written last, like its copy in the folder: they mark a complete environment.



    Raises
    ------
    ConfigError
        If there is no Python 3.11, pip cannot install the lock, or the self-test fails.
    DataError
        If there is no lock, or the folder contains something else.
    """
    with only_user(folder.with_name(f".{folder.name}"), _MAKING):
        return _make(lock, folder, record)


def _make(lock: Path, folder: Path, record: Path) -> CellProfilerEnvironment:
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
        "The environment is installed, but its measurements are wrong, possibly since this "
        f"processor or system differs from those that {lock} was tested on: please report this.",
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
    """Checksum of a lock file, which identifies its environment.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return sha256_of_file(lock)
    except OSError as error:
        raise DataError(f"The lock {lock} cannot be read ({error.strerror}).") from None


def _ready(record: Path, digest: str, folder: Path) -> CellProfilerEnvironment | None:
    """The recorded environment, if it has this lock and folder and its interpreter works."""
    try:
        environment = read_environment(record)
    except DataError:
        return None
    # Another path or link may refer to the same folder.
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
    """Remove a partial or outdated environment, and nothing else.

    Raises
    ------
    DataError
        If the folder exists and is not a virtual environment.
    """
    if not folder.exists():
        return
    # An interrupted `venv` has written pyvenv.cfg before anything but empty folders.
    strange = not folder.is_dir() or (any(folder.iterdir()) and not _is_environment(folder))
    if strange:
        raise DataError(
            f"{folder} exists and is not a virtual environment: remove it, or choose another "
            "folder."
        )
    shutil.rmtree(folder)


def _is_environment(folder: Path) -> bool:
    if (folder / "pyvenv.cfg").is_file():
        return True
    return not any(path.is_file() for path in folder.rglob("*"))


def _find_python() -> str:
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
    """Install the lock: wheels first, then the few packages published only as source.

    Dependencies are ignored: CellProfiler's metadata require wxPython and a MySQL client, for
    windows and a database that are not used here.
    """
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    exact = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement"]
    _run([*pip, *exact, str(lock)], "pip", _PIP_ADVICE)


def _packages(python: Path) -> dict[str, str]:
    script = (
        "import json, importlib.metadata as m\n"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    return dict(sorted(json.loads(_run([str(python), "-c", script], "Python", "")).items()))


def _run(command: list[str], what: str, advice: str) -> str:
    """Run a command and return its output, or raise ConfigError with the end of it."""
    # The user's pip settings might install packages elsewhere.
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
