import gzip

import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.tables import user_tables
from morphpipe.tables.user_tables import read_user_table

PLAIN = "well,perturbation\nA01,DMSO\nA02,µ-taxol\n"


def read(folder, content, name="map.csv"):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return read_user_table(folder / name, "plate map")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (PLAIN, "map.csv"),
        (PLAIN.encode("utf-8-sig"), "map.csv"),
        (PLAIN.encode("utf-16"), "map.csv"),
        (PLAIN.replace(",", "\t"), "map.txt"),
        (PLAIN.replace(",", ";"), "map.csv"),
        (PLAIN.replace("\n", "\r\n"), "map.csv"),
        (PLAIN.replace("\n", ",\n"), "map.csv"),
        (PLAIN + "\n,\n", "map.csv"),
        (gzip.compress(PLAIN.encode()), "map.csv"),
    ],
    ids=["plain", "mark", "UTF-16", "tabs", "semicolons", "Windows", "comma last", "blank", "gzip"],
)
def test_what_can_be_read_is_the_same_table(tmp_path, content, name):
    expected = pd.DataFrame({"well": ["A01", "A02"], "perturbation": ["DMSO", "µ-taxol"]})
    pd.testing.assert_frame_equal(read(tmp_path, content, name), expected, check_dtype=False)


def test_text_stays_as_it_was_written(tmp_path):
    table = read(tmp_path, 'plate,note\n0012,NA\n1e5,"a, ""b"""\nx,\n')
    assert table["plate"].tolist() == ["0012", "1e5", "x"]
    assert table["note"].tolist() == ["NA", 'a, "b"', ""]


def test_parquet(tmp_path):
    pd.DataFrame({"well": ["A01"]}).to_parquet(tmp_path / "map.parquet")
    assert read_user_table(tmp_path / "map.parquet", "plate map")["well"].tolist() == ["A01"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        ("\nwell\n", "its first line is"),
        (PLAIN.encode("cp1252"), r"line 3 is not in UTF-8 \(the byte 0xb5\).*CSV UTF-8"),
        (b"PK\x03\x04" + bytes(range(256)), "Excel workbook"),
        (PLAIN + "A03,x,y\n", "has 2 columns, but row 4 has 3 cells"),
        ("well,well\nA01,A02\n", "column 'well' more than once"),
        ("well,\nA01,x\n", "Column 2 .* has no name"),
        ('well,perturbation\nA01,"x\n', "cannot be read as CSV"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, content, message):
    with pytest.raises(DataError, match=f"plate map .*{message}|{message}"):
        read(tmp_path, content)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"plate map .* does not exist"):
        read_user_table(tmp_path / "map.csv", "plate map")


def test_damaged_compression_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path, gzip.compress(PLAIN.encode())[:-9], "map.csv.gz")


def test_a_sheet_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(user_tables, "LARGEST", 1 << 20)
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 20))
    with pytest.raises(DataError, match="more than 1 MB when it is unpacked, too much for"):
        read(tmp_path, bomb)
    with pytest.raises(DataError, match="has more than 1 MB, too much for a text table"):
        read(tmp_path, b"a,b\n" + b"1,2\n" * (1 << 19))


def test_a_compressed_sheet_that_is_damaged(tmp_path):
    whole = gzip.compress(PLAIN.encode())
    for content in (whole[:-9], whole[:15] + b"\xff\xff" + whole[17:]):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path, content)
