import numpy as np
import pytest

from morphpipe.config.datasets import SimulatedDataset
from morphpipe.core.errors import ConfigError
from morphpipe.datasets.simulated import CHANNELS, plate_layout, simulate_field
from morphpipe.datasets.simulated.source import manifest, screen_design, simulate_plate
from morphpipe.datasets.sources.rxrx1 import MANIFEST as RXRX1
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import concatenate, plate_shards, write_fields


@pytest.fixture(scope="module")
def dataset():
    return SimulatedDataset(
        source="simulated",
        seed=4,
        field_size=32,
        cell_types=["epithelial"],
        perturbations=["control", "graded-high"],
        plates=2,
        replicates=2,
        sites=2,
    )


@pytest.fixture(scope="module")
def plates(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    for plate in (1, 2):
        simulate_plate(screen_design(dataset), plate, "screen", folder / f"plate{plate}.zip")
    return folder


def test_archive_holds_the_simulated_fields_in_order(dataset, plates):
    fields = read_fields(plates / "plate1.zip")
    design = screen_design(dataset)
    images = read_images(fields)
    expected = [
        (well, site) for well in plate_layout(design, 1) for site in range(1, dataset.sites + 1)
    ]
    assert len(fields) == len(expected) == 8
    for row, image, (well, site) in zip(fields.rows(), images, expected, strict=True):
        assert (row["well"], row["site"], row["plate"]) == (well.well, site, well.plate)
        assert (row["cell_type"], row["perturbation"]) == (well.cell_type, well.perturbation)
        np.testing.assert_array_equal(image, simulate_field(design, well, site))


def test_channels_are_rxrx1s_in_its_order(dataset):
    assert manifest(screen_design(dataset)).names == CHANNELS == RXRX1.names


def test_only_the_control_is_a_negative_control(plates):
    keys = read_fields(plates / "plate1.zip").keys()
    assert dict(zip(keys["perturbation"], keys["control"], strict=True)) == {
        "control": "negative",
        "graded-high": "none",
    }


def test_plates_join_to_one_table_with_a_shard_each(dataset, plates):
    parts = [read_fields(plates / f"plate{plate}.zip") for plate in (1, 2)]
    joined = concatenate(parts, plates)
    write_fields(joined, plates / "fields.parquet")
    read = read_fields(plates / "fields.parquet")
    assert np.bincount(plate_shards(read, dataset.plates)).tolist() == [8, 8]
    np.testing.assert_array_equal(
        read_images(read), np.concatenate([read_images(part) for part in parts])
    )


def test_same_seed_gives_the_same_bytes(dataset, plates, tmp_path):
    simulate_plate(screen_design(dataset), 1, "screen", tmp_path / "plate1.zip")
    assert (tmp_path / "plate1.zip").read_bytes() == (plates / "plate1.zip").read_bytes()
    other = dataset.model_copy(update={"seed": 5})
    simulate_plate(screen_design(other), 1, "screen", tmp_path / "other.zip")
    left, right = (
        read_images(read_fields(p)) for p in (tmp_path / "other.zip", plates / "plate1.zip")
    )
    assert not np.array_equal(left, right)


def test_unknown_names_stop(dataset):
    with pytest.raises(ConfigError, match="nonsense"):
        screen_design(dataset.model_copy(update={"cell_types": ["nonsense"]}))


def test_colours_are_those_of_the_configuration():
    design = screen_design(SimulatedDataset(source="simulated"))
    assert manifest(design).rgb is None
    assert manifest(design, ("actin", "ER", "DNA")).rgb == ("actin", "ER", "DNA")
