"""Image archives as a dataset, such as the crops that a workflow cuts."""

import numpy as np
import pytest

from morphpipe.config.datasets import ArchivesDataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.archives_source import ArchivesSource
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import write_fields


@pytest.fixture
def archives(make_fields, make_row, tmp_path):
    """Archives of two plates."""
    paths = []
    for plate in ("p1", "p2"):
        paths.append(tmp_path / "in" / f"{plate}.zip")
        paths[-1].parent.mkdir(exist_ok=True)
        rows = [make_row(f"{plate}_{i}", plate=plate, well=f"B0{i}") for i in range(3)]
        make_fields(paths[-1], 3, rows=rows)
    return paths


def catalogue(paths, tmp_path, **settings):
    given = {"source": "archives", "images": list(map(str, paths)), "licence": "MIT", "shards": 2}
    size = read_fields(paths[0]).keys()["height"].iloc[0]
    given |= {"size": int(size), "channels": len(read_fields(paths[0]).manifest.channels)}
    source = ArchivesSource(ArchivesDataset.model_validate(given | settings))
    (tmp_path / "out").mkdir(exist_ok=True)
    return source.catalogue("cells", {"images": paths}, tmp_path / "out")


def test_images_are_read_in_place_under_the_new_name(archives, tmp_path):
    table, missing = catalogue(archives, tmp_path)
    assert missing.empty
    assert set(table.keys()["dataset"]) == {"cells"}
    write_fields(table, tmp_path / "out" / "fields.parquet")
    found = read_fields(tmp_path / "out" / "fields.parquet")
    assert found.field_ids == [f"p{p}_{i}" for p in (1, 2) for i in range(3)]
    expected = [image for path in archives for image in read_images(read_fields(path))]
    for image, other in zip(read_images(found), expected, strict=True):
        np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 7}, "set `size`"),
        ({"channels": 9}, "set `channels: "),
        ({"shards": 3}, "set `shards: 2`"),
    ],
)
def test_settings_that_do_not_fit_are_a_sentence(archives, tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        catalogue(archives, tmp_path, **settings)


def test_generated_images_are_no_dataset(archives, make_fields, make_row, tmp_path):
    made = tmp_path / "in" / "made.zip"
    make_fields(made, 1, rows=[make_row("g", origin="generated", plate=None, well=None)])
    with pytest.raises(DataError, match="generated images"):
        catalogue([*archives, made], tmp_path)


def test_an_image_that_is_there_twice_is_named(archives, tmp_path):
    with pytest.raises(DataError, match="p1_0"):
        catalogue([archives[0], archives[0]], tmp_path)
