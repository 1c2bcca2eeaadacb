"""Fetching, and the field table of an archive that somebody else has made."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
import yaml

from morphpipe.core.storage import read_parquet
from morphpipe.datasets.sources import rxrx1
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.png import encode_png


def test_download_checks_and_records(morphpipe, tmp_path):
    source, output, lock = tmp_path / "a.bin", tmp_path / "b" / "a.bin", tmp_path / "lock.json"
    source.write_bytes(b"content")
    expected = hashlib.sha256(b"content").hexdigest()
    ended = morphpipe("download", f"file:{source}", output, "--lock", lock)
    assert ended.code == 0
    assert expected in ended.out
    assert output.read_bytes() == b"content"
    assert json.loads(lock.read_text()) == {f"file:{source}": expected}
    source.write_bytes(b"another")
    ended = morphpipe("download", f"file:{source}", output, "--lock", lock)
    assert ended.code == 1
    assert expected in ended.err
    assert morphpipe("download", f"file:{source}", output, "--sha256", "0" * 64).code == 1


def test_weights_come_with_their_record(morphpipe, tmp_path, tiny_config):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "model.bin").write_bytes(b"numbers")
    content = yaml.safe_load(tiny_config.read_text())
    content["paths"] = {"cache": str(tmp_path / "cache"), "lock": str(tmp_path / "lock.json")}
    content["weights"] = {
        "mine": {"source": f"file:{tmp_path}/there", "files": ["model.bin"], "licence": "MIT"}
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    for folder, option in (
        (tmp_path / "cache" / "weights" / "mine", ()),
        (tmp_path / "own", ("--output", tmp_path / "own")),
    ):
        ended = morphpipe("weights", "mine", "--config", config, *option)
        assert ended.code == 0, ended.err
        assert ended.out.strip() == str(folder)
        assert (folder / "model.bin").read_bytes() == b"numbers"
        record = json.loads((folder / "weights.json").read_text())
        assert record["sha256"] == {"model.bin": hashlib.sha256(b"numbers").hexdigest()}


SITES = {
    "HUVEC-01_1_B02_1": ("HUVEC", 1138),
    "HUVEC-01_1_B03_1": ("HUVEC", 17),
    "HUVEC-01_1_B04_1": ("HUVEC", 17),
    "HUVEC-01_1_B05_1": ("HUVEC", 17),
}


@pytest.fixture
def screen(tmp_path, monkeypatch, tiny_config):
    """RxRx1 in small: the second site lacks a plane, the third has one that is no PNG."""
    monkeypatch.setattr(rxrx1, "SIZE", 8)
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 8), dtype=np.uint8)
    lines = ["site_id,cell_type,experiment,plate,well,site,sirna_id"]
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i, (site_id, (cell_type, sirna)) in enumerate(SITES.items()):
            experiment, plate, well, site = site_id.split("_")
            lines.append(f"{site_id},{cell_type},{experiment},{plate},{well},{site},{sirna}")
            for channel in range(6):
                if (i, channel) == (1, 3):
                    continue
                data = b"damaged" if (i, channel) == (2, 4) else encode_png(images[i, channel])
                name = f"{experiment}/Plate{plate}/{well}_s{site}_w{channel + 1}.png"
                archive.writestr(f"rxrx1/images/{name}", data)
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    return images


def _config(folder, tiny_config, **settings):
    content = yaml.safe_load(tiny_config.read_text())
    content["datasets"]["rxrx1"] = {"source": "rxrx1"} | settings
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _fields(morphpipe, folder, config, *options):
    return morphpipe(
        "fields", "rxrx1", "--config", config, "--images", folder / "images.zip",
        "--metadata", folder / "metadata.csv", "--output", folder / "fields.parquet", *options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "aside"), [((), ["B03", "B04"]), (("--no-look",), ["B03"])], ids=["look", "no look"]
)
def test_fields_of_rxrx1_and_what_is_put_aside(
    morphpipe, tmp_path, screen, tiny_config, options, aside
):
    ended = _fields(
        morphpipe,
        tmp_path,
        _config(tmp_path, tiny_config, quality={"unreadable": "quarantine"}),
        *options,
    )
    assert ended.code == 0, ended.err
    assert f"{4 - len(aside)} fields" in ended.out
    quarantine = read_parquet(tmp_path / "quarantine.parquet").to_pandas()
    assert [name.split("_")[2] for name in quarantine["field_id"]] == aside
    fields = read_fields(tmp_path / "fields.parquet")
    kept = [i for i, name in enumerate(SITES) if name.split("_")[2] not in aside]
    assert fields.field_ids == [list(SITES)[i] for i in kept]
    if not options:
        np.testing.assert_array_equal(read_images(fields), screen[kept])


def test_fields_of_rxrx1_stop_at_a_missing_plane(morphpipe, tmp_path, screen, tiny_config):
    ended = _fields(morphpipe, tmp_path, _config(tmp_path, tiny_config))
    assert ended.code == 1
    assert "HUVEC-01_1_B03_1" in ended.err
    assert "unreadable: quarantine" in ended.err
    assert not (tmp_path / "fields.parquet").exists()
