"""Running the whole workflow in a folder of its own."""

import fcntl
import functools
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
# As in the profiles.
TRIGGERS = yaml.safe_load((REPOSITORY / "profiles/local/config.yaml").read_text())["rerun-triggers"]


class Workflow:
    """One working folder, and Snakemake in it."""

    def __init__(
        self, folder: Path, configuration: dict, snakefile: Path = REPOSITORY / "Snakefile"
    ) -> None:
        self.folder = folder
        self.snakefile = snakefile
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(configuration)

    def configure(self, configuration: dict) -> None:
        self.configuration = configuration
        (self.folder / "config.yaml").write_text(yaml.safe_dump(configuration))

    def command(self, *arguments: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(self.snakefile),
            "--directory",
            str(self.folder),
            "--configfile",
            str(self.folder / "config.yaml"),
            "--cores",
            "1",
            "--rerun-incomplete",
            "--rerun-triggers",
            *TRIGGERS,
            "--nocolor",
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1500,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def kill_when(self, ready: Callable[[], bool], *arguments: str) -> bool:
        """Start, wait for something, and kill everything at once with SIGKILL.

        What is left of the lock is not looked at: the next start would ask for `--unlock`.
        """
        with open(self.folder / "killed.log", "a") as log:
            process = subprocess.Popen(
                self.command("--nolock", *arguments),
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                while process.poll() is None and not ready():
                    time.sleep(0.02)
                killed = process.poll() is None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return killed

    def scheduled(self, *arguments: str) -> dict[str, int]:
        """Jobs that a dry run would do, by rule."""
        done = self.run("-n", *arguments)
        text = done.stdout + done.stderr
        jobs: dict[str, int] = {}
        table = text.split("Job stats:", 1)[1] if "Job stats:" in text else ""
        for line in table.splitlines()[3:]:
            parts = line.split()
            if len(parts) != 2 or not parts[1].isdigit():
                break
            jobs[parts[0]] = int(parts[1])
        return jobs


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def mirror_address(mirror: Path) -> Iterator[str]:
    """The mirror of real images, served over HTTP."""
    handler = functools.partial(Quiet, directory=str(mirror))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def tiny() -> dict:
    content = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())
    # One plate instead of two: six jobs fewer, each of which imports for seconds.
    content["datasets"]["screen"] |= {"plates": 1, "replicates": 8}
    # Made once for all folders: `make test` has it made before.
    content["paths"] = {"environments": str(REPOSITORY / "environments")}
    cells = content["morphology"]["cells"]
    cells["pipeline"] = str(REPOSITORY / "workflow/pipelines" / cells["pipeline"])
    return content


@pytest.fixture(scope="session")
def new_workflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, dict], Workflow]:
    """Make a workflow in a fresh folder that lasts as long as the tests."""
    return lambda name, configuration: Workflow(tmp_path_factory.mktemp(name), configuration)


@pytest.fixture(scope="session")
def finished(tiny: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny workflow, run once for all processes: to be copied, not changed."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    shared, done = Workflow(root / "alone", tiny), root / "alone-finished"
    with open(root / "alone.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shared.run()
            done.touch()
    return shared.folder


@pytest.fixture(scope="session")
def left_alone(
    new_workflow: Callable[[str, dict], Workflow], tiny: dict, finished: Path
) -> Workflow:
    """The tiny workflow, run from the beginning to the report; a copy for each process."""
    workflow = new_workflow("alone", tiny)
    shutil.copytree(finished, workflow.folder, dirs_exist_ok=True)
    return workflow


@pytest.fixture
def workflow_in(tmp_path: Path) -> Callable[[str, dict], Workflow]:
    """Make a workflow in a fresh folder."""
    return lambda name, configuration: Workflow(tmp_path / name, configuration)
