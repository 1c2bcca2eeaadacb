"""One's own plates through the workflow, from a sample sheet."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from morphpipe.core.storage import sha256_of_file
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images

CHANNELS = ["AGP", "DNA", "ER", "Mito", "RNA"]


@pytest.fixture
def configuration() -> dict:
    content = yaml.safe_load((Path(__file__).parent / "mirror.yaml").read_text())
    content["licences"] = {"accept": ["MIT"]}
    content["datasets"] = {
        "mine": {
            "source": "sheet",
            "sheet": "SET BY THE TEST",
            "cell_type": "U2OS",
            "perturbation_kind": "orf",
            "preprocessing": {"resize": "squash", "size": 96, "percentiles": [0.5, 99.9]},
        }
    }
    content["splits"]["all"]["dataset"] = "mine"
    return content


def test_real_plate_of_five_channels(workflow_in, configuration, mirror, tmp_path):
    """What follows is the same for all datasets: test_rxrx1.py goes on to the report."""
    folder = mirror / "plates/jump_rab30"
    rows = [
        {
            "plate": "BR1",
            "well": well,
            "perturbation": f"RAB30-{kind}",
            "perturbation_kind": kind,
        }
        | {name: f"{folder}/{well}_{name}.tif" for name in CHANNELS}
        for well, kind in (("G01", "orf"), ("L07", "crispr"))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "sheet.csv", index=False)
    configuration["datasets"]["mine"] |= {
        "sheet": str(tmp_path / "sheet.csv"),
        "channels": [{"name": name, "stain": f"the {name} dye"} for name in CHANNELS],
        "rgb": ["AGP", "ER", "DNA"],
    }
    workflow = workflow_in("own", configuration)
    features = "results/datasets/mine/features/judge/shard-0"
    workflow.run("--", "results/datasets/mine/quality.parquet", features)
    results = workflow.folder / "results"
    fields = read_fields(results / "datasets/mine/fields.parquet")
    assert fields.manifest.names == tuple(CHANNELS)
    images = read_images(fields)
    assert images.shape == (2, 5, 96, 96)
    # Four by four pixels become one: the first channel by hand, in the plate's window.
    low, high = fields.manifest.intensity_windows["BR1"][0]
    raw = tifffile.imread(folder / "G01_AGP.tif").astype(float)
    scaled = np.rint(np.clip((raw - low) / (high - low), 0, 1) * 255)
    expected = scaled.reshape(96, 4, 96, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(images[0, 0], expected, atol=1)
    assert [channel.stain for channel in fields.manifest.channels] == [
        f"the {name} dye" for name in CHANNELS
    ]
    assert (workflow.folder / features / "all.parquet").exists()


@pytest.fixture
def sheet(tmp_path):
    """Three plates of random numbers, two wells each; the third one is added later."""
    random = np.random.default_rng(0)
    rows = []
    for plate in ("p2", "p1", "p0"):
        for well, perturbation in (("A01", "DMSO"), ("A02", "taxol")):
            row = {"plate": plate, "well": well, "perturbation": perturbation}
            for name in ("DNA", "actin"):
                row[name] = f"{plate}_{well}_{name}.tif"
                plane = random.integers(100, 4000, (64, 64)).astype(np.uint16)
                tifffile.imwrite(tmp_path / row[name], plane)
            rows.append(row)
    return pd.DataFrame(rows)


def test_added_plate_makes_only_its_own_shards(workflow_in, configuration, sheet, tmp_path):
    configuration["datasets"]["mine"] |= {
        "sheet": str(tmp_path / "sheet.csv"),
        "negative_controls": ["DMSO"],
        "preprocessing": {},
        "channels": [{"name": name, "stain": name} for name in ("DNA", "actin")],
    }
    folder = "results/datasets/mine"
    sheet[sheet["plate"] != "p0"].to_csv(tmp_path / "sheet.csv", index=False)
    workflow = workflow_in("grown", configuration)
    shards = [f"{folder}/images/shard-{k}.zip" for k in (0, 1)]
    workflow.run("--", *shards, f"{folder}/fields.parquet")
    times = {path: (workflow.folder / path).stat().st_mtime_ns for path in shards}

    sheet.to_csv(tmp_path / "sheet.csv", index=False)
    shards.append(f"{folder}/images/shard-2.zip")
    jobs = workflow.scheduled("--", *shards, f"{folder}/fields.parquet")
    assert jobs == {"sheet_own": 1, "preprocess": 1, "fields": 1, "total": 3}
    workflow.run("--", *shards, f"{folder}/fields.parquet")
    assert {path: (workflow.folder / path).stat().st_mtime_ns for path in times} == times
    fields = read_fields(workflow.folder / folder / "fields.parquet")
    assert fields.keys()["plate"].tolist() == ["p2", "p2", "p1", "p1", "p0", "p0"]

    # A plane that was exported again under its name redoes its own plate.
    plane = tmp_path / "p2_A01_DNA.tif"
    tifffile.imwrite(plane, tifffile.imread(plane)[:, ::-1])
    os.utime(plane, (plane.stat().st_atime, plane.stat().st_mtime + 60))
    assert workflow.scheduled("--", *shards) == {"preprocess": 1, "total": 1}
    workflow.run("--", shards[0])
    assert workflow.scheduled("--", *shards) == {}

    # So does a corrected row.
    sheet.loc[sheet["plate"] == "p1", "perturbation"] = ["DMSO", "colchicine"]
    sheet.to_csv(tmp_path / "sheet.csv", index=False)
    jobs = workflow.scheduled("--", *shards)
    assert jobs == {"sheet_own": 1, "preprocess": 1, "total": 2}


def test_mistakes_in_the_sheet_stop_before_the_first_job(workflow_in, configuration, tmp_path):
    configuration["datasets"]["mine"] |= {
        "sheet": str(tmp_path / "nowhere.csv"),
        "channels": [{"name": "DNA", "stain": "Hoechst"}],
    }
    stopped = workflow_in("none", configuration).run("-n", check=False)
    assert stopped.returncode
    assert "does not exist" in stopped.stderr + stopped.stdout
    assert "Traceback" not in stopped.stderr + stopped.stdout


def test_own_weights_that_changed_are_recorded_again(workflow_in, configuration, sheet, tmp_path):
    sheet.to_csv(tmp_path / "sheet.csv", index=False)
    configuration["datasets"]["mine"] |= {
        "sheet": str(tmp_path / "sheet.csv"),
        "channels": [{"name": name, "stain": name} for name in ("DNA", "actin")],
    }
    table = tmp_path / "genes.csv"
    table.write_text("gene,x\nA,1\n")
    own = {"source": f"file:{tmp_path}", "files": [table.name], "licence": "MIT"}
    fixed = own | {"sha256": {table.name: sha256_of_file(table)}}
    configuration["weights"] = {"own": own, "fixed": fixed}
    workflow = workflow_in("weights", configuration)
    records = [f"cache/weights/{name}/weights.json" for name in ("own", "fixed")]
    workflow.run("--", *records)
    assert workflow.scheduled("--", *records) == {}
    table.write_text("gene,x\nA,2\n")
    os.utime(table, (table.stat().st_atime, table.stat().st_mtime + 60))
    assert workflow.scheduled("--", *records) == {"weights": 1, "total": 1}
