"""One's own plates on the command line, from a folder of an instrument to crops."""

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images


@pytest.fixture
def export(tmp_path):
    """Two wells with two sites as Harmony names them: DNA in ch2, actin in ch1."""
    folder = tmp_path / "plate7" / "Images"
    folder.mkdir(parents=True)
    y, x = np.mgrid[:64, :64]
    random = np.random.default_rng(0)
    for column in (3, 4):
        for site in (1, 2):
            actin = random.integers(300, 4000, (64, 64)).astype(np.uint16)
            dna = np.where((y - 32) ** 2 + (x - 30 - column) ** 2 < 80, 3000, 200)
            dna = (dna + random.integers(0, 20, (64, 64))).astype(np.uint16)
            name = f"r02c{column:02d}f{site:02d}p01"
            tifffile.imwrite(folder / f"{name}-ch1sk1fk1fl1.tiff", actin)
            tifffile.imwrite(folder / f"{name}-ch2sk1fk1fl1.tiff", dna)
    pd.DataFrame({"well": ["B03", "B04"], "perturbation": ["DMSO", "taxol"]}).to_csv(
        tmp_path / "map.csv", index=False
    )
    return folder


@pytest.fixture
def sheet(morphpipe, export, tmp_path):
    path = export / "sheet.csv"
    ended = morphpipe(
        "datasets", "sheet", export, "--plate-map", tmp_path / "map.csv", "--output", path
    )
    assert ended.code == 0, ended.err
    assert "4 fields" in ended.out
    return path


@pytest.fixture
def config(sheet, tmp_path, tiny_config):
    content = yaml.safe_load(tiny_config.read_text())
    content["datasets"]["mine"] = {
        "source": "sheet",
        "sheet": str(sheet),
        "cell_type": "U2OS",
        "negative_controls": ["DMSO"],
        "channels": [
            {"name": "DNA", "stain": "Hoechst", "column": "ch2"},
            {"name": "actin", "stain": "phalloidin", "column": "ch1"},
        ],
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_from_a_folder_to_crops_and_a_picture(morphpipe, sheet, config, tmp_path):
    ended = morphpipe("datasets", "check", sheet, "--dataset", "mine", "--config", config)
    assert ended.code == 0, ended.out + ended.err
    assert "4 fields of 1 plate, channels DNA, actin" in ended.out
    images = tmp_path / "images"
    ended = morphpipe("datasets", "preprocess", "mine", "--config", config, "--output", images)
    assert ended.code == 0, ended.err
    fields = read_fields(images / "shard-0.zip")
    assert fields.keys()["plate"].unique().tolist() == ["plate7"]
    assert fields.keys()["control"].tolist().count("negative") == 2
    assert (images / "shard-0-quality.parquet").exists()
    ended = morphpipe(
        "datasets", "crops", images / "shard-0.zip", "--size", 24, "--output", tmp_path / "c.zip"
    )
    assert ended.code == 0, ended.err
    assert read_images(read_fields(tmp_path / "c.zip")).shape == (4, 2, 24, 24)
    picture = tmp_path / "fields.png"
    assert morphpipe("show", images / "shard-0.zip", "--output", picture).code == 0
    assert picture.stat().st_size > 1000
    plate = tmp_path / "plate.zarr"
    ended = morphpipe("export", images / "shard-0.zip", "--output", plate)
    assert ended.code == 0, ended.err
    assert (plate / "B").is_dir()


def test_check_finds_channels_itself_and_tells_all_faults_at_once(morphpipe, sheet):
    ended = morphpipe("datasets", "check", sheet, "--negative", "DMSO")
    assert ended.code == 0, ended.err
    assert "channels ch1, ch2" in ended.out
    table = pd.read_csv(sheet, dtype=str)
    table.loc[0, "ch1"] = table.loc[1, "ch1"]
    table.loc[2, "perturbation"] = None
    table.to_csv(sheet, index=False)
    ended = morphpipe("datasets", "check", sheet)
    assert ended.code == 1
    assert "perturbation is empty" in ended.err
    assert "ch1" in ended.err


def test_missing_image_is_told(morphpipe, sheet):
    (sheet.parent / "r02c03f01p01-ch1sk1fk1fl1.tiff").unlink()
    ended = morphpipe("datasets", "check", sheet, "--negative", "DMSO")
    assert ended.code == 1
    assert "r02c03f01p01-ch1sk1fk1fl1.tiff" in ended.out


def test_swapped_channels_are_caught(morphpipe, sheet):
    """The columns ch1 and ch2 exchanged in some rows: the file names speak against it."""
    table = pd.read_csv(sheet, dtype=str)
    table.loc[:1, ["ch1", "ch2"]] = table.loc[:1, ["ch2", "ch1"]].to_numpy()
    table.to_csv(sheet, index=False)
    ended = morphpipe("datasets", "check", sheet, "--negative", "DMSO")
    assert ended.code == 1
    assert "ch2" in ended.out + ended.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("check", "{sheet}", "--dataset", "screen"), "not a sample sheet"),
        (("check", "{sheet}", "--channels", "DNA=ch9"), "ch9"),
        (("sheet", "{folder}", "--output", "elsewhere.csv"), "Save the sheet in"),
        (("preprocess", "screen", "--output", "x"), "not a sample sheet"),
        (("preprocess", "mine", "--plate", "p", "--output", "x"), "it has plate7"),
    ],
)
def test_mistakes_are_sentences(morphpipe, sheet, config, arguments, expected):
    given = [part.format(sheet=sheet, folder=sheet.parent) for part in arguments]
    if arguments[0] != "sheet":
        given += ["--config", str(config)]
    ended = morphpipe("datasets", *given)
    assert ended.code == 1
    assert expected in ended.err
