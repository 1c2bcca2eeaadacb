import csv
import io

import pytest

from morphpipe.report.comma_separated import comma_separated
from morphpipe.report.tables import MOST_ROWS, Cell, Table, table


def lines_of(made: Table):
    return list(csv.reader(io.StringIO(comma_separated(made))))


def test_numbers_are_unrounded_and_intervals_have_columns():
    rows = [
        ["a", Cell("0.333", "number", "0.1 to 0.5", 1 / 3, 0.1, 0.5)],
        ["b, c", Cell("1,234", "number")],
        ["d", Cell("too few images", "absent")],
        ["e", Cell("–", "number")],
    ]
    assert lines_of(table("x", ["name", "value"], rows, 1)) == [
        ["name", "value", "value (95 % low)", "value (95 % high)"],
        ["a", repr(1 / 3), "0.1", "0.5"],
        ["b, c", "1234", "", ""],
        ["d", "too few images", "", ""],
        ["e", "", "", ""],
    ]


def test_notes_have_a_column_and_rows_are_not_cut():
    rows = [["a", Cell("5", "number", f"first\n{i}")] for i in range(MOST_ROWS + 3)]
    made = table("x", ["name", "value"], rows, 1)
    assert len(made.shown) == MOST_ROWS
    lines = lines_of(made)
    assert lines[0] == ["name", "value", "value (note)"]
    assert len(lines) == MOST_ROWS + 4
    assert lines[-1] == ["a", "5", f"first; {MOST_ROWS + 2}"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-0.5", "-0.5"), ("−0.5", "-0.5"),
        ("+3.2e-05", "+3.2e-05"), ("-lactate", "'-lactate"), ("1138", "1138"),
        ('say "x"\n', 'say "x"\n'),
    ],
)  # fmt: skip
def test_nothing_is_a_formula(text, written):
    assert lines_of(table("x", ["name"], [[text]]))[1] == [written]
