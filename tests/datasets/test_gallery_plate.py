"""A configured Gallery project, from its bucket to an image archive."""

import io

import numpy as np
import pandas as pd
import pytest
import tifffile

from morphpipe.config.raw_datasets import GalleryDataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.preprocess import preprocess_plate
from morphpipe.datasets.sources.gallery_source import GallerySource
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images

PROJECT, BATCH, PLATE = "cpg0017-rohban-pathways", "2013_10_11_SIGMA2_Pilot", "41744"
WELLS = {"A01": "EMPTY", "A02": "RAC1", "A03": "KRAS"}


@pytest.fixture
def bucket(file_server, tmp_path):
    """A plate of three wells with three channels, illumination functions, and its table."""
    random = np.random.default_rng(0)
    function = np.linspace(1, 2, 40, dtype=np.float32)[None].repeat(40, 0)
    folder = f"{PROJECT}/broad/images/{BATCH}"
    rows, planes = [], {}
    for well in WELLS:
        row = {"Metadata_Plate": PLATE, "Metadata_Well": well, "Metadata_Site": "1"}
        for channel in ("RNA", "Mito", "DNA"):
            name = f"{well}_{channel}.tif"
            plane = (random.integers(500, 4000, (40, 40)) * function).astype(np.uint16)
            planes[well, channel] = plane
            content = io.BytesIO()
            tifffile.imwrite(content, plane)
            file_server.files[f"{folder}/images/{PLATE}/{name}"] = content.getvalue()
            row[f"FileName_Orig{channel}"] = name
            row[f"PathName_Orig{channel}"] = f"/bucket/{folder}/images/{PLATE}"
            row[f"FileName_Illum{channel}"] = f"{PLATE}_Illum{channel}.npy"
            row[f"PathName_Illum{channel}"] = f"/bucket/{folder}/illum/{PLATE}"
            content = io.BytesIO()
            np.save(content, function)
            file_server.files[f"{folder}/illum/{PLATE}/{PLATE}_Illum{channel}.npy"] = (
                content.getvalue()
            )
        rows.append(row)
    table = pd.DataFrame(rows).to_csv(index=False).encode()
    key = f"{PROJECT}/broad/workspace/load_data_csv/{BATCH}/{PLATE}/load_data.csv"
    file_server.files[key] = table
    pd.DataFrame({"well": WELLS.keys(), "perturbation": WELLS.values()}).to_csv(
        tmp_path / "wells.csv", index=False
    )
    return planes, function


@pytest.fixture
def settings(file_server):
    return GalleryDataset(
        source="gallery",
        address=file_server.url,
        project=PROJECT,
        batch=BATCH,
        plates=[PLATE],
        annotation="wells.csv",
        channels=["RNA", "Mito", "DNA"],
        rgb=("RNA", "Mito", "DNA"),
        negative_controls=["EMPTY"],
        perturbations=["RAC1"],
        preprocessing={"illumination": "given", "scaling": "minmax"},
    )


@pytest.mark.parametrize("fidelity", ["fixed", "released_code"])
def test_from_the_bucket_to_pixels(bucket, settings, file_server, tmp_path, fidelity):
    planes, function = bucket
    if fidelity == "released_code":
        order = {"order": "scaling-first"}
        settings = settings.model_copy(
            update={"preprocessing": settings.preprocessing.model_copy(update=order)}
        )
    archive, table = tmp_path / "plate.zip", tmp_path / "plate.csv"
    wells = tmp_path / "wells.csv"
    file_server.breaks = [None, 200, None, 77]
    GallerySource(settings).download(PLATE, wells, archive, table, tmp_path / "lock.json")
    asked = {path for path, _ in file_server.asked}
    assert not any("A03" in path for path in asked), "only the chosen wells are fetched"
    files = {"archive": [archive], "load_data": [table], "annotation": [wells]}
    sheet, missing = GallerySource(settings).plate_sheet(PLATE, files, tmp_path)
    assert missing.empty
    assert sheet.frame["control"].tolist() == ["negative", "none"]
    preprocess_plate(
        sheet, "rohban", settings.preprocessing, settings.quality, tmp_path / "images.zip",
        tmp_path / "quality.parquet", rgb=settings.rgb,
    )  # fmt: skip
    fields = read_fields(tmp_path / "images.zip")
    assert fields.keys()["perturbation"].tolist() == ["EMPTY", "RAC1"]
    image = read_images(fields)[1]
    for channel, name in enumerate(("RNA", "Mito", "DNA")):
        plane = planes["A02", name].astype(np.float64)

        def minmax(x):
            return np.rint((x - x.min()) / (x.max() - x.min()) * 255)

        expected = (
            minmax(plane / function) if fidelity == "fixed" else np.rint(minmax(plane) / function)
        )
        np.testing.assert_allclose(image[channel], expected, atol=1)


def test_plates_of_an_annotation_are_kept_apart(settings, tmp_path):
    table = pd.DataFrame(
        {"plate": ["41744", "9"], "well": ["A02", "A02"], "perturbation": ["RAC1", "EMPTY"]}
    )
    table.to_csv(tmp_path / "wells.csv", index=False)
    wells = GallerySource(settings).read_wells(tmp_path / "wells.csv")
    assert wells["control"].tolist() == ["none", "negative"]
    table.drop(columns="perturbation").to_csv(tmp_path / "wells.csv", index=False)
    with pytest.raises(DataError, match="lacks the column perturbation"):
        GallerySource(settings).read_wells(tmp_path / "wells.csv")
