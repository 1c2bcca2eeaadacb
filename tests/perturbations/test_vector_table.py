import gzip

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.vector_table import read_vectors

ROWS = "taxol,1.5,-2\ncolchicine,0.25,1e-3\n"
VECTORS = [[1.5, -2], [0.25, 1e-3]]


def test_csv_with_and_without_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"perturbation,x,y\n{ROWS}")
    table = read_vectors(path)
    assert table.names == ("taxol", "colchicine")
    assert (table.header, table.columns) == (("perturbation", "x", "y"), ("x", "y"))
    np.testing.assert_array_equal(table.vectors, VECTORS)
    np.testing.assert_array_equal(table.take([1]), np.float32([VECTORS[1]]))
    path.write_text(ROWS)
    bare = read_vectors(path)
    assert (bare.names, bare.header, bare.columns) == (table.names, None, None)


def test_zipped_whatever_it_is_called(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(gzip.compress(ROWS.encode()))
    np.testing.assert_array_equal(read_vectors(path).vectors, VECTORS)


@pytest.mark.parametrize("header", ["", "gene,embedding\n"])
def test_numbers_in_brackets(tmp_path, header):
    path = tmp_path / "rxrx1.csv"
    path.write_text(header + 'RAC1,"[ 1.5 -2.\n  3e-1]"\nKRAS,"[0. 0. 1.]"\n')
    table = read_vectors(path)
    assert (table.names, table.header) == (("RAC1", "KRAS"), None)
    np.testing.assert_array_equal(table.vectors, [[1.5, -2, 0.3], [0, 0, 1]])


def test_parquet(tmp_path):
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"perturbation": ["a", "b"], "x": [1, 2], "y": [0.5, -0.5]})
    frame.to_parquet(path)
    table = read_vectors(path)
    assert (table.names, table.columns) == (("a", "b"), ("x", "y"))
    np.testing.assert_array_equal(table.vectors, [[1, 0.5], [2, -0.5]])
    frame.assign(y=["up", "down"]).to_parquet(path)
    with pytest.raises(DataError, match="column y has"):
        read_vectors(path)
    frame.assign(y=[0.5, None]).to_parquet(path)
    with pytest.raises(DataError, match="'b': number 2 is empty"):
        read_vectors(path)
    frame[["perturbation"]].to_parquet(path)
    with pytest.raises(DataError, match="no columns of numbers"):
        read_vectors(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("perturbation,x\n", "no rows"),
        ("a,1,2\nb,1\n", "'b': 1 numbers, but the first row has 2"),
        ("a\n", "0 numbers"),
        ("a,1\nb,one\n", "line 2: number 1 is 'one'"),
        ("perturbation,x\na,1\nx,y\n", "line 3: number 1 is 'y'"),
        ("a,1\nb,\n", "'b': number 1 is empty"),
        ("a,1\nb,inf\n", "'b': number 1 is empty or not finite"),
        ("a,1\na,2\n", "'a' 2 times"),
        ("a,1\n,2\n", "without a name"),
    ],
)
def test_what_is_no_table_of_vectors_stops(tmp_path, text, said):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_vectors(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_vectors(tmp_path / "absent.csv")
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(ROWS.encode() * 100)[:-20])
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_vectors(path)


def test_a_header_of_counted_columns_is_a_header(tmp_path):
    path = tmp_path / "e.csv"
    frame = pd.DataFrame(np.eye(3), index=pd.Index(["DMSO", "taxol", "x"], name="perturbation"))
    frame.to_csv(path)
    table = read_vectors(path)
    assert table.header == ("perturbation", "0", "1", "2")
    assert table.names == ("DMSO", "taxol", "x")
    np.testing.assert_array_equal(table.vectors, np.eye(3))
