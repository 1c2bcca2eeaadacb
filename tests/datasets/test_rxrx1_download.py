"""One experiment of RxRx1 out of the remote archive, and the selections of its fields."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources import rxrx1
from morphpipe.datasets.sources.rxrx1_source import RxRx1Source
from morphpipe.datasets.sources.rxrx1_subsets import morphodiff_huvec
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.png import encode_png

KNOWN = morphodiff_huvec()[0]
SITES = [
    # cell type, experiment, well, siRNA's name, sirna_id
    ("HUVEC", "HUVEC-01", "B02", "EMPTY", 1138),
    ("HUVEC", "HUVEC-01", "B03", KNOWN, 17),
    ("HUVEC", "HUVEC-01", "B04", "s0", 18),
    ("HUVEC", "HUVEC-02", "B02", KNOWN, 17),
    ("U2OS", "U2OS-01", "B02", KNOWN, 17),
]


@pytest.fixture
def official(file_server, monkeypatch):
    """The official files in small, on a server that answers range requests."""
    monkeypatch.setattr(rxrx1, "SIZE", 8)
    images = np.random.default_rng(0).integers(0, 256, (len(SITES), 6, 8, 8), dtype=np.uint8)
    buffer, metadata = io.BytesIO(), io.BytesIO()
    lines = [
        "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id"
    ]
    with zipfile.ZipFile(buffer, "w") as archive:
        for image, (cell_type, experiment, well, name, number) in zip(images, SITES, strict=True):
            site_id = f"{experiment}_1_{well}_1"
            lines.append(f"{site_id},w,{cell_type},train,{experiment},1,{well},1,t,{name},{number}")
            for channel in range(6):
                stem = f"rxrx1/images/{experiment}/Plate1/{well}_s1_w{channel + 1}.png"
                archive.writestr(stem, encode_png(image[channel]))
    with zipfile.ZipFile(metadata, "w") as archive:
        archive.writestr("rxrx1/metadata.csv", "\n".join(lines) + "\n")
    file_server.files = {"images.zip": buffer.getvalue(), "metadata.zip": metadata.getvalue()}
    addresses = {
        "source": "rxrx1",
        "images": f"{file_server.url}/images.zip",
        "metadata": f"{file_server.url}/metadata.zip",
    }
    return addresses, images


def _files(images, metadata):
    return {"images": [images], "metadata": [metadata]}


def _download(settings, folder):
    paths = folder / "images.zip", folder / "metadata.zip"
    RxRx1Source(settings).download(*paths, folder / "lock.json")
    return paths


def test_one_experiment_is_fetched_alone_and_read_in_place(official, file_server, tmp_path):
    addresses, images = official
    settings = RxRx1Dataset.model_validate(
        addresses | {"fetch": "selected", "batches": ["HUVEC-01"]}
    )
    assert settings.shards == 4
    paths = _download(settings, tmp_path)
    names = zipfile.ZipFile(paths[0]).namelist()
    assert len(names) == 18
    assert {name.split("/")[2] for name in names} == {"HUVEC-01"}
    assert all(asked for path, asked in file_server.asked if path == "images.zip")
    fields, missing = RxRx1Source(settings).catalogue("huvec", _files(*paths), tmp_path)
    assert missing.empty
    np.testing.assert_array_equal(read_images(fields), images[:3])


def test_cut_connections_change_nothing(official, file_server, tmp_path):
    addresses, images = official
    settings = RxRx1Dataset.model_validate(
        addresses | {"fetch": "selected", "cell_types": ["U2OS"]}
    )
    file_server.breaks = [None, 100, 50, 10]
    paths = _download(settings, tmp_path)
    fields, _ = RxRx1Source(settings).catalogue("u2os", _files(*paths), tmp_path)
    np.testing.assert_array_equal(read_images(fields), images[4:])


def test_subset_of_morphodiff_and_genes(official, tmp_path):
    addresses, _ = official
    settings = RxRx1Dataset.model_validate(
        addresses | {"subset": "morphodiff", "cell_types": ["HUVEC"]}
    )
    paths = _download(settings, tmp_path)
    genes = tmp_path / "genes.csv"
    pd.DataFrame({"siRNA ID": [KNOWN], "Gene Symbol": ["ABC1;ABC2"]}).to_csv(genes, index=False)
    fields, _ = RxRx1Source(settings).catalogue(
        "huvec", _files(*paths) | {"genes": [genes]}, tmp_path
    )
    keys = fields.keys()
    assert keys["perturbation"].tolist() == ["1138", "17", "17"]
    assert keys["gene"].fillna("").tolist() == ["", "ABC1", "ABC1"]


def test_blank_names_of_sirnas_are_no_empty_selection(official, file_server, tmp_path):
    addresses, _ = official
    text = zipfile.ZipFile(io.BytesIO(file_server.files["metadata.zip"])).read("rxrx1/metadata.csv")
    (tmp_path / "metadata.csv").write_bytes(text.replace(KNOWN.encode(), b""))
    settings = RxRx1Dataset.model_validate(addresses | {"subset": "morphodiff"})
    paths = _download(settings, tmp_path)
    with pytest.raises(DataError, match="None of the 1061 selected siRNAs is"):
        RxRx1Source(settings).catalogue(
            "huvec", _files(paths[0], tmp_path / "metadata.csv"), tmp_path
        )


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"batches": ["HUVEC-99"]}, "no experiment 'HUVEC-99'; it has HUVEC-01, HUVEC-02, U2OS-01"),
        ({"cell_types": ["RPE"]}, "no cell_type 'RPE'"),
        ({"cell_types": ["U2OS"], "batches": ["HUVEC-01"]}, "both a selected cell type and"),
    ],
)
def test_selections_of_nothing_are_named(official, tmp_path, selection, message):
    addresses, _ = official
    settings = RxRx1Dataset.model_validate(addresses | {"fetch": "selected"} | selection)
    with pytest.raises(DataError, match=message):
        _download(settings, tmp_path)
    assert not (tmp_path / "images.zip").exists()
    source = RxRx1Source(RxRx1Dataset.model_validate(addresses))
    assert source.selected_experiments(tmp_path / "metadata.zip") == {
        "HUVEC-01",
        "HUVEC-02",
        "U2OS-01",
    }
