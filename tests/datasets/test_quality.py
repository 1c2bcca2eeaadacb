import numpy as np
import pandas as pd
import pytest

from morphpipe.config.preprocessing import Quality
from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.quality import (
    QUALITY_KEYS,
    pixels_sha256,
    quality_control,
    quality_table,
    quarantine_of,
)
from morphpipe.tables.archive import read_fields, write_archive

QUARANTINE = Quality(unreadable="quarantine")


def _damage(path, fields, row):
    plane = fields.planes()[row][1]
    content = bytearray(path.read_bytes())
    content[plane["offset"] + plane["length"] // 2] ^= 0xFF
    path.write_bytes(content)


def test_good_fields_are_measured_and_kept(make_fields, tmp_path):
    fields, images = make_fields(tmp_path / "a.zip", size=(48, 40))
    found = quality_control(fields, Quality())
    assert found["field_id"].tolist() == fields.field_ids
    assert found["reason"].isna().all()
    assert {"focus_DNA", "saturation_ER", "contrast_DNA", "debris_ER", "nuclei"} <= set(found)
    # Of uniform random numbers one in 256 is 255.
    expected = (images[:, 1] == 255).mean(axis=(1, 2))
    np.testing.assert_allclose(found["saturation_ER"], expected)
    assert quarantine_of(found).empty


def test_field_beyond_a_limit_is_put_aside_with_its_reason(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", size=(48, 40))
    found = quality_control(fields, Quality(max_saturation=0.0))
    aside = quarantine_of(found)
    assert aside["field_id"].tolist() == fields.field_ids
    assert "saturated" in aside["reason"].iloc[0]
    assert "DNA" in aside["reason"].iloc[0]


def test_damaged_plane_stops_or_goes_into_quarantine(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", size=(48, 40))
    _damage(tmp_path / "a.zip", fields, 2)
    with pytest.raises(DataError, match=r"Field f2, channel ER .*unreadable: quarantine"):
        quality_control(fields, Quality())
    found = quality_control(fields, QUARANTINE)
    aside = quarantine_of(found)
    assert aside["field_id"].tolist() == ["f2"]
    assert "channel ER" in aside["reason"].iloc[0]
    assert found.loc[2, ["focus_DNA", "pixels_sha256"]].isna().all()
    assert found.drop(index=2)["focus_DNA"].notna().all()


def test_one_plane_under_two_channels_stops_or_goes_into_quarantine(
    make_manifest, make_row, tmp_path
):
    plane = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)
    with write_archive(tmp_path / "a.zip", make_manifest(("DNA", "ER"), 8)) as archive:
        archive.add(make_row("f0"), np.stack([plane, plane]))
        archive.add(make_row("f1"), np.stack([plane, plane[::-1]]))
        archive.add(make_row("f2"), np.full((2, 48, 40), 7, np.uint8))
    fields = read_fields(tmp_path / "a.zip")
    with pytest.raises(DataError, match="f0: the channels DNA and ER have the same pixels"):
        quality_control(fields, Quality())
    aside = quarantine_of(quality_control(fields, QUARANTINE))
    assert aside["field_id"].tolist() == ["f0"]


@pytest.mark.parametrize("unreadable", ["stop", "quarantine"])
def test_another_archive_stops_even_with_quarantine(make_fields, tmp_path, unreadable):
    fields, _ = make_fields(tmp_path / "a.zip", seed=0)
    make_fields(tmp_path / "a.zip", seed=1, names=("ER", "DNA"))
    with pytest.raises(DataError, match=r"a\.zip"):
        quality_control(fields, Quality(unreadable=unreadable))


def test_fields_too_small_to_measure_are_read_but_have_no_limits(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", size=(16, 16))
    assert set(quality_control(fields, Quality()).columns) == set(QUALITY_KEYS)
    with pytest.raises(DataError, match="too small"):
        quality_control(fields, Quality(min_focus=-3))


def test_hash_is_of_pixels_and_shape():
    plane = np.arange(12, dtype=np.uint8)
    assert pixels_sha256(plane.reshape(3, 4)) == pixels_sha256(plane.reshape(3, 4).copy(order="F"))
    assert pixels_sha256(plane.reshape(3, 4)) != pixels_sha256(plane.reshape(4, 3))
    assert pixels_sha256(plane) != pixels_sha256(plane.astype(np.uint16))


def test_empty_tables_keep_their_columns():
    table = quality_table(pd.DataFrame(columns=list(QUALITY_KEYS)))
    assert table.num_rows == 0
    assert table.schema.names == list(QUALITY_KEYS)
    aside = quarantine_of(table.to_pandas())
    assert aside.dtypes.astype(str).tolist() == ["string", "string"]
