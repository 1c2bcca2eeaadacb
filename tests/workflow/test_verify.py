"""`morphpipe verify` on a finished run, and on what was exchanged in it."""

import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import ConfigError
from morphpipe.stages.verify import verify_results
from morphpipe.tables.feature_table import FeatureTable, read_features, write_features


@pytest.fixture
def results(left_alone, tmp_path):
    return shutil.copytree(left_alone.folder / "results", tmp_path / "results")


def _faults(results):
    return verify_results(results, pixels=False).faults


def test_a_finished_run_fits(results):
    command = [sys.executable, "-m", "morphpipe", "verify", str(results)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(": fine\n")
    for kind in ("tables", "image archives", "networks", "latents", "checkpoints", "feature tab"):
        assert kind in done.stdout
    with pytest.raises(ConfigError, match="no folder"):
        verify_results(results / "nowhere")


def test_what_is_another_is_named(results):
    seed = results / "experiments/tiny/training/seed-0"
    shutil.rmtree(seed / "slice-1")
    shutil.copytree(seed / "slice-0", seed / "slice-1")
    latents = next(results.glob("datasets/screen/latents/*/shard-0.npy"))
    content = bytearray(latents.read_bytes())
    content[-1] ^= 1
    latents.write_bytes(content)
    real, generated = (
        next(results.glob(f"{place}/features/judge/**/all.parquet"))
        for place in ("datasets/screen", "experiments/tiny")
    )
    table = read_features([real])
    write_features(
        FeatureTable(
            table.field_ids[1:], table.transforms[1:], table.features[1:], table.extraction
        ),
        real,
    )
    content = pq.read_table(generated)
    pq.write_table(content.slice(0, 3), generated)
    found = "\n".join(_faults(results))
    assert "slice-1 is of step 20, the end of its slice is step 40" in found
    assert str(latents) in found
    assert f"{real} has features of" in found
    assert str(generated) in found
    # Three of them once more: they are others than later files were made from.
    assert len(found.splitlines()) == 7


def test_features_of_other_weights_are_named(results):
    record = results / "encoders/judge/weights.safetensors"
    other = results / "encoders/aligner/weights.safetensors"
    for name in ("weights.safetensors", "weights.json", "history.csv"):
        shutil.copy(other.parent / name, record.parent / name)
    found = _faults(results)
    tables = len(list(results.rglob("features/judge/**/*.parquet")))
    assert len([fault for fault in found if "other weights of judge" in fault]) == tables > 1
