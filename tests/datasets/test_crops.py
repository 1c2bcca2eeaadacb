from dataclasses import replace

import numpy as np
import pytest

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.datasets.preparation.crops import write_crops
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import read_images

CENTRES = [(30, 30), (60, 90)]


@pytest.fixture
def fields(make_manifest, make_row, tmp_path):
    """Two discs well inside and one at the border, in the DNA channel."""
    y, x = np.mgrid[:100, :120]
    dna = np.zeros((100, 120), np.uint8)
    for cy, cx in [*CENTRES, (5, 60)]:
        dna[(y - cy) ** 2 + (x - cx) ** 2 <= 64] = 200
    names = ("actin", "tubulin", "DNA")
    image = np.stack([y.astype(np.uint8), x.astype(np.uint8), dna])
    with write_archive(tmp_path / "fields.zip", make_manifest(names)) as archive:
        archive.add(make_row("f0"), image)
        archive.add(make_row("f1", site=2), image)
    return read_fields(tmp_path / "fields.zip")


def test_whole_nuclei_become_rows_like_fields(fields, tmp_path):
    assert write_crops(fields, tmp_path / "crops.zip", size=32) == 4
    crops = read_fields(tmp_path / "crops.zip")
    assert crops.field_ids == ["f0_c000", "f0_c001", "f1_c000", "f1_c001"]
    assert [row["site"] for row in crops.rows()] == [1, 1, 2, 2]
    images = read_images(crops)
    assert images.shape == (4, 3, 32, 32)
    # The coordinate planes tell where each crop was cut.
    for image, (cy, cx) in zip(images, CENTRES, strict=False):
        assert (image[0, 16, 0], image[1, 0, 16]) == (cy, cx)


def test_order_by_name_turns_channels(make_manifest, make_row, tmp_path, fields):
    image = read_images(fields)[0]
    with write_archive(tmp_path / "turned.zip", make_manifest(("DNA", "tubulin", "actin"))) as a:
        a.add(make_row("f0"), image[::-1])
    turned = read_fields(tmp_path / "turned.zip")
    for source, name in ((fields, "own"), (turned, "turned")):
        write_crops(source, tmp_path / f"{name}-crops.zip", order="impa-bbbc021", size=32)
    own = read_fields(tmp_path / "own-crops.zip")
    assert own.manifest.names == ("actin", "tubulin", "DNA")
    np.testing.assert_array_equal(
        read_images(own)[:2], read_images(read_fields(tmp_path / "turned-crops.zip"))
    )


@pytest.mark.parametrize(
    ("rgb", "kept"),
    [
        (("actin", "tubulin", "DNA"), ("actin", "tubulin", "DNA")),
        (("actin", "ER", "DNA"), None),
        # IMPA's distances are on the first three channels.
        (None, ("actin", "tubulin", "DNA")),
    ],
)
def test_colours_stay_where_their_channels_do(make_manifest, make_row, tmp_path, fields, rgb, kept):
    image = read_images(fields)[0]
    names = ("actin", "tubulin", "DNA", "ER")
    manifest = replace(make_manifest(names), rgb=rgb)
    with write_archive(tmp_path / "four.zip", manifest) as archive:
        archive.add(make_row("f0"), np.concatenate([image, image[:1]]))
    write_crops(
        read_fields(tmp_path / "four.zip"), tmp_path / "c.zip", order="impa-bbbc021", size=32
    )
    assert read_fields(tmp_path / "c.zip").manifest.rgb == kept


def test_fields_of_other_cell_types_are_left_out(fields, tmp_path):
    assert write_crops(fields, tmp_path / "a.zip", size=32, cell_types=["HUVEC"]) == 4
    assert write_crops(fields, tmp_path / "b.zip", size=32, cell_types=["U2OS"]) == 0
    assert len(read_fields(tmp_path / "b.zip")) == 0


def test_mistakes(fields, tmp_path):
    path = tmp_path / "crops.zip"
    with pytest.raises(ConfigError, match=r"Unknown channel order 'rgb'.*impa-rxrx1"):
        write_crops(fields, path, order="rgb")
    with pytest.raises(DataError, match=r"impa-rxrx1 has the channel 'Golgi'"):
        write_crops(fields, path, order="impa-rxrx1")
    with pytest.raises(DataError, match="channel 'Hoechst', but the fields have"):
        write_crops(fields, path, nuclear="Hoechst")
    with pytest.raises(DataError, match="None of the 2 fields"):
        write_crops(fields, path, size=96)
    assert not path.exists()
