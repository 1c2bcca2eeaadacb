import math

import pytest

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.errors import DataError
from morphpipe.report.paper_items import PaperItem, by_paper, item_cell, item_table, read_item

from . import extras
from .extras import item_cell as cell_of


def item(cells, rows=(), columns=(), **more):
    content = {"name": "morphgen_table1", "paper": "morphgen", "kind": "table", "number": "1",
               "title": "T", "caption": "", "comparable": "no", "statement": "", "cells": cells,
               "rows": rows, "columns": columns}  # fmt: skip
    return PaperItem(None, content | more)


def test_items_are_sorted_by_paper_and_keep_their_order(tmp_path):
    table, figure, other = extras.write_items(tmp_path)
    found = by_paper([other, figure, table])
    assert list(found) == ["morphgen", "morphodiff"]
    assert [i.label for i in found["morphgen"]] == ["Figure 3", "Table 4"]
    assert found["morphgen"][0].figure == figure / "figure.png"
    assert found["morphodiff"][0].figure is None
    assert item([], number="instrument").label == "Instrument"


@pytest.mark.parametrize("broken", ["title", "comparable", "statement"])
def test_what_is_no_item_is_named(tmp_path, broken):
    folder, *_ = extras.write_items(tmp_path)
    content = dict(read_item(folder).content)
    del content[broken]
    write_checked_json(content, folder / "item.json")
    with pytest.raises(DataError, match=broken):
        read_item(folder)
    write_checked_json(content | {broken: "x", "comparable": "perhaps"}, folder / "item.json")
    with pytest.raises(DataError, match="comparability"):
        read_item(folder)
    (folder / "item.json").unlink()
    with pytest.raises(DataError, match="There is no item"):
        read_item(folder)


def test_a_cell_says_value_interval_published_and_difference():
    cell = item_cell(
        cell_of("r", "c", "s", 52.25, ci_low=50.04, ci_high=55.0, n=500, n_real=480,
                seeds_low=49.9, seeds_high=54.6, published=50.2, published_ci=0.6,
                difference=2.05, difference_low=-0.7, difference_high=5.0)
    )  # fmt: skip
    assert cell.text == "52.2"
    assert cell.note.split("\n") == [
        "50.0 to 55.0", "over seeds 49.9 to 54.6", "paper 50.2 ± 0.6 (+2.05, −0.700 to +5.00)",
        "n = 500 / 480",
    ]  # fmt: skip
    assert (cell.value, cell.low, cell.high) == (52.25, 50.04, 55.0)


@pytest.mark.parametrize(
    ("given", "text", "kind", "note"),
    [
        ({"published": 0.05, "quoted": True}, "0.05", "quoted", "quoted"),
        ({"published": 0.05, "quoted": True, "quoted_from": "X"}, "0.05", "quoted",
         "quoted from X"),
        ({"published": 78, "reason": "not run"}, "–", "number", "paper 78\nnot run"),
        ({"reason": "not run"}, "not run", "absent", ""),
        ({}, "–", "number", ""),
        ({"produced": math.nan, "reason": "no"}, "no", "absent", ""),
        ({"produced": 2.0, "ci_low": 1.0}, "2.00", "number", "1.00 or more"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_never_made_up(given, text, kind, note):
    cell = item_cell(cell_of("r", "c", "s") | given)
    assert (cell.text, cell.kind, cell.note) == (text, kind, note)


def test_rows_and_columns_keep_the_papers_order():
    cells = [
        cell_of(row, column, system, float(i))
        for i, (row, column, system) in enumerate(
            (r, c, s) for r in ("b", "a") for c in ("KID", "FID") for s in ("MorphGen", "floor")
        )
    ]
    made = item_table(item(cells, rows=["a", "b"], columns=["FID", "KID"]))
    assert [head.text for head in made.headers] == ["", "system", "FID", "KID"]
    assert [[cell.text for cell in row[:2]] for row in made.rows] == [
        ["a", "MorphGen"], ["a", "floor"], ["b", "MorphGen"], ["b", "floor"],
    ]  # fmt: skip
    assert [row[2].value for row in made.rows] == [6.0, 7.0, 2.0, 3.0]
    assert made.name == "morphgen_table1"
    assert item_table(item([])) is None


def test_a_system_that_is_the_row_is_not_said_twice():
    cells = [cell_of(name, "FID", name, 1.0) for name in ("SD", "MorphGen")]
    made = item_table(item(cells))
    assert [head.text for head in made.headers] == ["", "FID"]
    assert [row[0].text for row in made.rows] == ["SD", "MorphGen"]


def test_a_reason_of_several_rows_is_told_once_for_all():
    cells = [cell_of(row, str(i), "", 1.0, reason="other data") for row in "ab" for i in range(2)]
    made = item_table(item(cells))
    assert made.caption == "T Several values: other data."
    assert all(cell.note == "" for row in made.rows for cell in row[1:])


def test_a_reason_of_one_row_stands_in_it_once():
    cells = [cell_of("a", str(i), "", published=1.0 + i, reason="no stand-in") for i in range(3)]
    made = item_table(item(cells))
    assert made.caption == "T"
    assert [cell.note for cell in made.rows[0][1:]] == [
        "paper 1\nno stand-in",
        "paper 2",
        "paper 3",
    ]


def test_a_whole_number_is_a_setting_or_a_count_and_has_no_decimals():
    assert item_cell({"produced": 16}).text == "16"
    assert item_cell({"produced": 16.0}).text == "16.0"
