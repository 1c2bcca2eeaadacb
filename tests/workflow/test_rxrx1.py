"""The same workflow on real RxRx1 images, downloaded over HTTP from a small mirror."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images

# By name: `all` makes more than is looked at here.
REPORT = "results/report/index.html"


@pytest.fixture
def configuration(mirror_address: str) -> dict:
    content = yaml.safe_load((Path(__file__).parent / "mirror.yaml").read_text())
    content["datasets"]["rxrx1"]["images"] = f"{mirror_address}/rxrx/rxrx1/rxrx1-images.zip"
    content["datasets"]["rxrx1"]["metadata"] = f"{mirror_address}/rxrx/rxrx1/rxrx1-metadata.zip"
    return content


def test_from_download_to_report(workflow_in, configuration, mirror):
    workflow = workflow_in("rxrx1", configuration)
    workflow.run("--", REPORT)
    results = workflow.folder / "results"
    fields = read_fields(results / "datasets/rxrx1/fields.parquet")
    assert len(fields) == 5
    images = read_images(fields)
    assert images.shape == (5, 6, 512, 512)
    # The pixels in the archive, found without our own reader.
    with zipfile.ZipFile(mirror / "rxrx/rxrx1/rxrx1-images.zip") as archive:
        member = archive.read("rxrx1/images/HEPG2-01/Plate1/B02_s1_w5.png")
    plane = np.asarray(Image.open(io.BytesIO(member)))
    control = fields.field_ids.index("HEPG2-01_1_B02_1")
    np.testing.assert_array_equal(images[control, 4], plane)
    page = (results / "report.html").read_text()
    assert "five-fields" in page
    assert "overfit" in page
    generated = next((results / "experiments/five-fields/samples").rglob("*.zip"))
    assert read_images(read_fields(generated)).shape == (5, 6, 512, 512)


def test_archives_put_there_by_hand_are_kept(workflow_in, configuration, mirror):
    """As on a machine without a network: with their old dates, and other selections later."""
    for key in ("images", "metadata"):
        address = configuration["datasets"]["rxrx1"][key]
        configuration["datasets"]["rxrx1"][key] = address.replace(
            "http://127.0.0.1", "http://[::1]"
        )
    workflow = workflow_in("by-hand", configuration)
    cache = workflow.folder / "cache/datasets/rxrx1"
    cache.mkdir(parents=True)
    for name in ("images", "metadata"):
        path = cache / f"rxrx1-{name}.zip"
        path.write_bytes((mirror / f"rxrx/rxrx1/{path.name}").read_bytes())
        path.chmod(0o444)
        os.utime(path, (1e9, 1e9))
    table = "results/datasets/rxrx1/fields.parquet"
    workflow.run("--", table)
    assert len(read_fields(workflow.folder / table)) == 5
    configuration["datasets"]["rxrx1"] |= {
        "quality": {"min_contrast": 0.001},
        "perturbations": ["1138"],
    }
    workflow.configure(configuration)
    jobs = workflow.scheduled("--", table)
    assert "download_rxrx1" not in jobs
    assert {"catalogue", "examine"} <= set(jobs)
    # Even a download that is asked for keeps what is there.
    record = "cache/datasets/rxrx1/rxrx1-images.zip.json"
    workflow.run("--forcerun", "download_rxrx1", "--", record)
    assert {path.stat().st_mtime for path in cache.glob("*.zip")} == {1e9}


def test_damaged_plane_stops_or_is_quarantined(workflow_in, configuration, mirror, tmp_path):
    damaged = tmp_path / "rxrx1-images.zip"
    with (
        zipfile.ZipFile(mirror / "rxrx/rxrx1/rxrx1-images.zip") as source,
        zipfile.ZipFile(damaged, "w") as target,
    ):
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("Plate1/B03_s1_w3.png"):
                data = data[: len(data) // 2]
            target.writestr(entry.filename, data)
    configuration["datasets"]["rxrx1"]["images"] = f"file:{damaged}"
    workflow = workflow_in("damaged", configuration)
    table = "results/datasets/rxrx1/fields.parquet"
    stopped = workflow.run("--", table, check=False)
    assert stopped.returncode
    assert "HEPG2-01_1_B03_1, channel actin" in stopped.stderr
    assert "unreadable: quarantine" in stopped.stderr

    configuration["datasets"]["rxrx1"]["quality"] = {"unreadable": "quarantine"}
    workflow.configure(configuration)
    workflow.run("--", table)
    quarantine = pq.read_table(workflow.folder / "results/datasets/rxrx1/quarantine.parquet")
    assert quarantine["field_id"].to_pylist() == ["HEPG2-01_1_B03_1"]
    assert "actin" in quarantine["reason"][0].as_py()
    assert len(read_fields(workflow.folder / table)) == 4


def test_plate_without_a_readable_field_stops(workflow_in, configuration, mirror, tmp_path):
    damaged = tmp_path / "rxrx1-images.zip"
    with (
        zipfile.ZipFile(mirror / "rxrx/rxrx1/rxrx1-images.zip") as source,
        zipfile.ZipFile(damaged, "w") as target,
    ):
        for entry in source.infolist():
            whole = not entry.filename.endswith("Plate2/B03_s1_w3.png")
            target.writestr(entry.filename, source.read(entry) if whole else b"")
    configuration["datasets"]["rxrx1"] |= {
        "images": f"file:{damaged}",
        "quality": {"unreadable": "quarantine"},
    }
    workflow = workflow_in("empty", configuration)
    stopped = workflow.run("--", "results/datasets/rxrx1/fields.parquet", check=False)
    assert stopped.returncode
    assert "All 1 fields of plate 2 were excluded" in stopped.stderr


def test_missing_weights_stop_before_the_download(workflow_in, configuration):
    configuration["weights"] = {
        "nowhere": {
            "source": "file:does-not-exist",
            "files": ["config.json", "diffusion_pytorch_model.safetensors"],
            "licence": "CC BY-NC-SA 4.0",
        }
    }
    configuration["autoencoders"] = {"pretrained": {"origin": "pretrained", "weights": "nowhere"}}
    configuration["experiments"]["five-fields"]["autoencoder"] = "pretrained"
    workflow = workflow_in("weights", configuration)
    assert workflow.scheduled()["download_rxrx1"] == 1, "a dry run works without the weights"
    stopped = workflow.run(check=False)
    assert stopped.returncode
    assert "The weights 'nowhere' are unavailable" in stopped.stderr
    assert "by hand" in stopped.stderr
    assert not (workflow.folder / "cache/datasets").exists()
