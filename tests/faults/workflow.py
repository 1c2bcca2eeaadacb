"""The workflow in a folder: running it, killing it, and asking what reads which file."""

import copy
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
# All that has to be equal after a kill; the report is made of it.
FINAL = tuple(
    f"results/{name}"
    for name in ("autoencoders", "datasets", "encoders", "experiments", "morphology", "splits")
)


@dataclass(frozen=True)
class Job:
    """A job of the workflow: its rule and its files, relative to the folder."""

    rule: str
    log: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def configuration(path: Path) -> dict:
    """A configuration with paths that hold in any folder."""
    content = yaml.safe_load(path.read_text("utf-8"))
    # Made once for all folders.
    content.setdefault("paths", {})["environments"] = str(REPOSITORY / "environments")
    for settings in content.get("morphology", {}).values():
        own = Path(settings["pipeline"])
        settings["pipeline"] = str(
            own.resolve() if own.is_file() else REPOSITORY / "workflow/pipelines" / own.name
        )
    return content


def _command(folder: Path, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "config.yaml")),
        *("--cores", "1", "--rerun-incomplete", *arguments),
    ]


def _environment() -> dict[str, str]:
    # The `morphpipe` that shell commands call is the one beside this Python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow to its end, good or bad."""
    return subprocess.run(
        _command(folder, *arguments), env=_environment(), capture_output=True, text=True
    )


def of_other_seeds(settings: dict) -> dict:
    """The same configuration with other seeds of data, splits and networks."""
    changed = copy.deepcopy(settings)
    for section in ("datasets", "splits", "autoencoders", "encoders"):
        for declared in changed.get(section, {}).values():
            declared["seed"] = declared.get("seed", 0) + 1000
    return changed


def verify(folder: Path) -> str:
    """What `morphpipe verify` finds wrong in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "morphpipe", "verify", str(folder / "results")],
        env=_environment(), capture_output=True, text=True,
    )  # fmt: skip
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith("WRONG"))


def run_and_kill(folder: Path, after: float) -> str | None:
    """Start the workflow, and kill all its processes with SIGKILL after some seconds.

    Returns
    -------
    str or None
        The rule whose job wrote last; None where the workflow had ended before.
    """
    with open(folder / "killed.log", "w") as stream:
        process = subprocess.Popen(
            _command(folder),
            env=_environment(),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            process.wait(after)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    run(folder, "--unlock")
    if ended:
        return None
    places = folder / "results/logs"
    logs = sorted(places.rglob("*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return "before the first job"
    # results/logs/<rule>/<job>.log, or results/logs/<rule>.log
    return logs[-1].relative_to(places).with_suffix("").parts[0]


def jobs(folder: Path) -> list[Job]:
    """All jobs of a workflow that has been run in the folder."""
    done = run(folder, "--detailed-summary")
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    header, *rows = lines
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        entry = dict(zip(header, row, strict=True))
        key = (entry["rule"], entry["log-file(s)"], entry["input-file(s)"])
        found.setdefault(key, []).append(entry["output_file"])
    return [
        Job(rule, log, tuple(filter(None, inputs.split(","))), tuple(outputs))
        for (rule, log, inputs), outputs in found.items()
    ]


def remove(folder: Path) -> None:
    """Delete a folder with its write-protected files."""
    shutil.rmtree(folder, ignore_errors=True)


def duplicate(source: Path, target: Path) -> None:
    """Copy a folder with everything in it, times included, in place of what was there."""
    remove(target)
    shutil.copytree(source, target, symlinks=True)
