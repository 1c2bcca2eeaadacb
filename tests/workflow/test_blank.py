"""A blank in the path of the clone is said before anything is installed or run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_make_stops_before_it_installs(tmp_path):
    clone = tmp_path / "My Projects"
    clone.mkdir()
    (clone / "Makefile").write_text((ROOT / "Makefile").read_text("utf-8"), "utf-8")
    ended = subprocess.run(["make", "demo"], cwd=clone, capture_output=True, text=True)
    assert ended.returncode
    assert "has a blank in its path" in ended.stderr
    assert [path.name for path in clone.iterdir()] == ["Makefile"]


def test_the_workflow_stops_before_a_job(tmp_path):
    python = tmp_path / "my venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    environment = tmp_path / "my venv" / "pyvenv.cfg"
    environment.write_text((Path(sys.prefix) / "pyvenv.cfg").read_text("utf-8"), "utf-8")
    (tmp_path / "my venv" / "lib").symlink_to(Path(sys.prefix) / "lib")
    command = [python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "-n", "--configfile"]
    ended = subprocess.run(
        [*command, ROOT / "tests" / "workflow" / "tiny.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode
    assert "has a blank in its path" in ended.stdout + ended.stderr
