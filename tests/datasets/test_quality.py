import pandas as pd
import pytest

from morphpipe.datasets.quality import join_quarantine, unreadable_fields
from morphpipe.errors import DataError


def _damage(path, fields, row):
    plane = fields.planes()[row][1]
    content = bytearray(path.read_bytes())
    content[plane["offset"] + plane["length"] // 2] ^= 0xFF
    path.write_bytes(content)


def test_good_fields_give_an_empty_table(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip")
    found = unreadable_fields(fields, quarantine=False)
    assert found.columns.tolist() == ["field_id", "reason"]
    assert found.empty


def test_damaged_plane_stops_or_goes_into_quarantine(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip")
    _damage(tmp_path / "a.zip", fields, 2)
    with pytest.raises(DataError, match=r"Field f2, channel ER .*`quarantine: true`"):
        unreadable_fields(fields, quarantine=False)
    found = unreadable_fields(fields, quarantine=True)
    assert found["field_id"].tolist() == ["f2"]
    assert "channel ER" in found["reason"].iloc[0]


@pytest.mark.parametrize("quarantine", [True, False])
def test_another_archive_stops_even_with_quarantine(make_fields, tmp_path, quarantine):
    fields, _ = make_fields(tmp_path / "a.zip", seed=0)
    make_fields(tmp_path / "a.zip", seed=1, names=("ER", "DNA"))
    with pytest.raises(DataError, match=r"a\.zip"):
        unreadable_fields(fields, quarantine=quarantine)


def test_joined_tables_keep_their_columns_when_all_are_empty():
    empty = pd.DataFrame(columns=["field_id", "reason"])
    assert join_quarantine([empty, empty]).dtypes.astype(str).tolist() == ["string", "string"]
    one = pd.DataFrame({"field_id": ["a"], "reason": ["b"]})
    assert join_quarantine([empty, one, one])["field_id"].tolist() == ["a", "a"]
