"""The same workflow on real BBBC021 fields, downloaded over HTTP from a small mirror."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images


@pytest.fixture
def configuration(mirror: Path, mirror_address: str) -> dict:
    content = yaml.safe_load((Path(__file__).parent / "mirror.yaml").read_text())
    # Two plates, four compounds.
    archives = sorted((mirror / "bbbc/BBBC021").glob("BBBC021_v1_images_Week9_392[08][26].zip"))
    content["licences"] = {"accept": ["AstraZeneca / Broad Bioimage Benchmark Collection terms"]}
    content["datasets"] = {
        "bbbc021": {
            "source": "bbbc021",
            "address": f"{mirror_address}/bbbc/BBBC021",
            "plates": [path.stem.removeprefix("BBBC021_v1_images_") for path in archives],
            # The mirror has no table of compounds.
            "compound_table": False,
            "preprocessing": {"illumination": "plate", "resize": "centre-crop", "size": 96},
            "quality": {"unreadable": "quarantine"},
        }
    }
    content["splits"]["all"]["dataset"] = "bbbc021"
    return content


def test_from_download_to_fields_and_features(workflow_in, configuration, mirror):
    """What follows is the same for all datasets: test_rxrx1.py goes on to the report."""
    workflow = workflow_in("bbbc021", configuration)
    features = "results/datasets/bbbc021/features/judge/shard-0"
    workflow.run("--", "results/datasets/bbbc021/quality.parquet", features)
    results = workflow.folder / "results"
    fields = read_fields(results / "datasets/bbbc021/fields.parquet")
    quarantine = pq.read_table(results / "datasets/bbbc021/quarantine.parquet").to_pandas()
    listed = pd.read_csv(mirror / "bbbc/BBBC021/BBBC021_v1_image.csv")
    listed = listed[listed["Image_Metadata_Plate_DAPI"].isin(["Week9_39206", "Week9_39282"])]
    assert len(fields) + len(quarantine) == len(listed) == 30
    assert fields.manifest.names == ("DNA", "tubulin", "actin")
    assert fields.manifest.rgb == ("actin", "tubulin", "DNA")
    assert len(fields.manifest.intensity_windows) == 2
    images = read_images(fields)
    assert images.shape[1:] == (3, 96, 96)
    assert images.dtype == np.uint8
    keys = fields.keys()
    assert set(keys["cell_type"]) == {"MCF7"}
    assert keys["concentration"].notna().all()
    assert (workflow.folder / features / "all.parquet").exists()


def test_download_of_another_size_is_noticed(workflow_in, configuration, mirror, tmp_path):
    """A plate whose zip is cut short stops with a sentence, and leaves no archive of images."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    source = mirror / "bbbc/BBBC021"
    plate = configuration["datasets"]["bbbc021"]["plates"][0]
    for name in ("BBBC021_v1_image.csv", "BBBC021_v1_moa.csv"):
        (folder / name).write_bytes((source / name).read_bytes())
    name = f"BBBC021_v1_images_{plate}.zip"
    (folder / name).write_bytes((source / name).read_bytes()[:-100])
    configuration["datasets"]["bbbc021"] |= {"address": f"file:{folder}", "plates": [plate]}
    workflow = workflow_in("cut", configuration)
    stopped = workflow.run("--", "results/datasets/bbbc021/fields.parquet", check=False)
    assert stopped.returncode
    assert "zip" in stopped.stderr
    assert "Traceback" not in stopped.stderr.split("Error in rule")[0]
    assert not list(workflow.folder.glob("results/datasets/bbbc021/images/*"))
