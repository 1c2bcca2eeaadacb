import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.storage import sha256_of_file
from morphpipe.morphology import environment
from morphpipe.morphology.environment import (
    CellProfilerEnvironment,
    folder_of,
    make_environment,
    package_path,
    read_environment,
    variables,
)

from .conftest import RECORD, REPOSITORY

LOCK = REPOSITORY / "workflow" / "envs" / "cellprofiler.lock"
GOOD = CellProfilerEnvironment(sys.executable, "ab", "4.2.8.1", {"numpy": "1.23.5"}, "passed")


def test_the_lock_has_a_version_and_a_hash_for_every_package_and_no_address():
    text = LOCK.read_text()
    entries = text.replace("\\\n", " ").splitlines()
    packages = [entry for entry in entries if entry and not entry.startswith("#")]
    assert all("==" in entry and "--hash=sha256:" in entry for entry in packages)
    assert "//" not in text
    pinned = dict(entry.split()[0].split("==") for entry in packages)
    assert pinned["numpy"] == "1.23.5"
    assert pinned["cellprofiler"] == pinned["cellprofiler-core"] == "4.2.8.1"
    assert list(pinned) == sorted(pinned)


def test_the_folder_is_named_after_the_lock(tmp_path):
    (tmp_path / "a.lock").write_text("a")
    (tmp_path / "b.lock").write_text("b")
    first = folder_of(tmp_path / "a.lock", tmp_path)
    assert first == tmp_path / f"cellprofiler-{sha256_of_file(tmp_path / 'a.lock')[:12]}"
    assert folder_of(tmp_path / "b.lock", tmp_path) != first
    with pytest.raises(DataError, match="cannot be read"):
        folder_of(tmp_path / "c.lock", tmp_path)


def test_cellprofiler_gets_one_thread_and_nothing_of_this_python(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    given = variables()
    assert "PYTHONHOME" not in given
    assert given["PYTHONPATH"] == str(package_path())
    assert given["OMP_NUM_THREADS"] == given["OPENBLAS_NUM_THREADS"] == "1"
    assert (package_path() / "morphpipe" / "morphology" / "measure.py").is_file()


def test_a_record_is_read_back(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(asdict(GOOD)))
    assert read_environment(tmp_path / "record.json") == GOOD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"self_test": "failed"}, "did not pass its self-test"),
        ({"python": "/nowhere/python"}, "names /nowhere/python, which is gone"),
        ({"colour": "red"}, "is not a record of an environment"),
        (None, "does not exist: make it"),
    ],
)
def test_a_record_that_cannot_be_used_says_how_to_make_one(tmp_path, change, said):
    record = tmp_path / "record.json"
    if change is not None:
        record.write_text(json.dumps(asdict(GOOD) | change))
    with pytest.raises(DataError, match=said) as caught:
        read_environment(record)
    assert "morphpipe environment cellprofiler" in str(caught.value)


def test_a_made_environment_is_left_alone():
    try:
        made = read_environment(RECORD)
    except DataError as error:
        pytest.skip(f"no environment of CellProfiler to test: {error}")
    if made.lock_sha256 != sha256_of_file(LOCK):
        pytest.skip("the environment was made from another lock")
    before = RECORD.stat().st_mtime_ns
    assert make_environment(LOCK, folder_of(LOCK, RECORD.parent), RECORD) == made
    assert RECORD.stat().st_mtime_ns == before
    assert made.packages["numpy"] == "1.23.5"


def test_an_environment_is_kept_under_another_path_and_without_its_record(tmp_path):
    try:
        made = read_environment(RECORD)
    except DataError as error:
        pytest.skip(f"no environment of CellProfiler to test: {error}")
    (tmp_path / "environments").symlink_to(RECORD.parent)
    linked = tmp_path / "environments"
    assert make_environment(LOCK, folder_of(LOCK, linked), linked / RECORD.name) == made
    if not (folder_of(LOCK, RECORD.parent) / "morphpipe.json").exists():
        pytest.skip("the environment was made by an earlier version")
    assert make_environment(LOCK, folder_of(LOCK, linked), tmp_path / "record.json") == made
    assert read_environment(tmp_path / "record.json") == made


@pytest.fixture
def bad_lock(tmp_path, monkeypatch):
    """A lock of a package that is not to be had."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    (tmp_path / "bad.lock").write_text(f"nowhere-to-be-found==1.0 --hash=sha256:{'0' * 64}\n")
    return tmp_path / "bad.lock"


def test_what_pip_says_is_passed_on_and_nothing_looks_finished(bad_lock, tmp_path):
    folder, record = tmp_path / "environments" / "made", tmp_path / "environments" / "record.json"
    # What a killed job left.
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("half")
    (folder / "left-over").write_text("half")
    with pytest.raises(ConfigError) as caught:
        make_environment(bad_lock, folder, record)
    said = str(caught.value)
    assert "pip ended with the exit code 1" in said
    assert "nowhere-to-be-found" in said
    assert "https_proxy" in said
    assert "PIP_FIND_LINKS" in said
    assert "conda" in said
    assert not record.exists()
    assert not (folder / "left-over").exists()


def test_a_folder_that_is_something_else_is_not_touched(bad_lock, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter-1.txt").write_text("years of work")
    with pytest.raises(DataError, match="is not a virtual environment: remove it"):
        make_environment(bad_lock, folder, tmp_path / "record.json")
    assert (folder / "chapter-1.txt").read_text() == "years of work"


def test_another_python_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr(environment, "PYTHON", (2, 7))
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    assert environment._find_python() == "/usr/bin/python3.11"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs Python 3\.11"):
        environment._find_python()


def test_the_self_test_notices_what_is_wrong(run_cellprofiler, tmp_path):
    script = """
        import json, sys
        from pathlib import Path
        from morphpipe.core.errors import DataError
        from morphpipe.morphology import self_test
        found = self_test.measure(Path(sys.argv[1]))
        self_test.check(found)
        said = []
        area = found.objects["Nuclei"]["AreaShape_Area"]
        bright = found.objects["Nuclei"]["Intensity_MeanIntensity_DNA"]
        for values, change in ((area, 1), (bright, 0.01)):
            values[0] += change
            try:
                self_test.check(found)
            except DataError as error:
                said.append(str(error))
            values[0] -= change
        found.image["Count_Nuclei"] = 2
        try:
            self_test.check(found)
        except DataError as error:
            said.append(str(error))
        print(json.dumps(said))
    """
    said = run_cellprofiler(script, tmp_path)
    assert [text.split(" drew ")[1].split()[0] for text in said] == ["areas", "intensities", "3"]


def test_modules_of_the_runner_import_nothing_heavy(run_cellprofiler):
    script = """
        import json, sys
        import morphpipe.morphology.measure
        print(json.dumps(sorted({"torch", "pydantic_core", "snakemake"} & set(sys.modules))))
    """
    assert run_cellprofiler(script) == []
    assert Path(os.path.commonpath([package_path(), __file__])) == REPOSITORY
