"""The published values against themselves, and against the papers' texts where they are there."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from morphpipe.report.papers.items import ITEMS
from morphpipe.report.papers.published import published_table, published_values

TEXTS = Path(__file__).resolve().parents[3] / "shared" / "papers"
# Values of each table: counted in the papers.
SIZES = {
    ("morphgen", "1"): 18, ("morphgen", "2"): 35, ("morphgen", "3"): 12, ("morphgen", "4"): 9,
    ("morphgen", "5"): 3, ("morphgen", "6"): 4, ("morphgen", "7"): 12, ("morphgen", "8"): 6,
    ("morphgen", "9"): 6, ("morphgen", "10"): 15, ("morphgen", "11"): 30, ("morphgen", "12"): 6,
    ("morphgen", "13"): 44, ("morphgen", "14"): 33, ("morphgen", "15"): 12,
    ("morphgen", "16"): 21, ("morphgen", "17"): 12, ("morphgen", "18"): 36,
    ("morphgen", "19"): 54, ("morphgen", "instrument"): 4, ("morphodiff", "1"): 24,
    ("morphodiff", "2"): 34,
}  # fmt: skip
COLUMNS = ("CATE real", "CATE generated", "Delta CATE")


def values(table, column, system="MorphGen", paper="morphgen"):
    """Values of a column by row."""
    return {
        row: value.value
        for (row, here, of), value in published_table(paper, table).items()
        if (here, of) == (column, system)
    }


def test_every_table_has_all_its_values_once():
    counts = Counter((value.paper, value.table) for value in published_values())
    assert counts == SIZES
    keys = [(v.paper, v.table, v.row, v.column, v.system) for v in published_values()]
    assert len(set(keys)) == len(keys)


def test_every_table_is_an_item_and_has_values_or_a_reason():
    tables = {(i.paper, i.number) for i in ITEMS.values() if i.kind == "table"}
    lacking = tables - set(SIZES)
    assert lacking == {("morphodiff", "4"), ("morphodiff", "5")}
    for paper, number in lacking:
        assert "its appendix" in ITEMS[f"{paper}_table{number}"].notes[0]


def test_a_value_that_is_not_there_has_a_reason():
    empty = [value for value in published_values() if value.value is None]
    assert len(empty) == 12  # MorphoDiff's channels in table 2
    assert all(value.note for value in empty)


@pytest.mark.parametrize(
    ("pattern", "low", "high"),
    [
        (r"FID( generated-real| real-real)?", 15, 400),
        (r"KID( mean)?", 0, 1),
        (r"Relative FID", 1, 3),
        (r"CATE (real|generated)", 0.3, 10),
        (r"Delta CATE", 0, 1.1),
        (r"MSE", 1e-5, 1e-3),
        (r"(Test a|A)ccuracy|CV mean|Macro-F1|.* → .*", 0.19, 1),
        (r"(Real|Generated) variance", 0.01, 0.02),
    ],
)
def test_values_are_in_range(pattern, low, high):
    found = [v for v in published_values() if re.fullmatch(pattern, v.column)]
    assert len(found) > 2
    assert all(low <= v.value <= high for v in found if v.value is not None)
    assert all(v.interval is None or 0 <= v.interval < v.value for v in found)


def test_distances_are_in_plain_units():
    assert values("1", "FID", "MorphoDiff", "morphodiff")["RxRx1, All Batches"] == 78
    assert values("1", "FID", "MorphoDiff")["RxRx1 (HUVEC), 50 perturbations"] == 78


@pytest.mark.parametrize("table", ["4", "18", "19"])
def test_differences_are_those_of_their_effects(table):
    real, generated, delta = (values(table, column) for column in COLUMNS)
    for row, told in delta.items():
        # All three are rounded to two decimals.
        assert abs(abs(real[row] - generated[row]) - told) <= 0.0151, row


def test_tables_that_repeat_each_other_agree():
    for short, long in (("2", "16"), ("3", "17")):
        for column in ("FID", "KID", "Relative FID"):
            full = values(long, column)
            brief = {
                row if short == "3" else here: value
                for (row, here, of), value in published_table("morphgen", short).items()
                if of == "MorphGen" and column == (here if short == "3" else row)
            }
            for row, value in brief.items():
                digits = len(value.printed.partition(".")[2])
                # The paper cuts some digits off and rounds others.
                assert abs(full[row] - value.value) < 10.0**-digits, (short, row, column)
    effects = values("18", "CATE generated")
    assert (
        values("4", "CATE generated")
        == {row.removeprefix("HUVEC, "): value for row, value in effects.items() if "HUVEC" in row}
        | {}
    )


def test_averages_ratios_and_differences_follow_from_their_parts():
    for table in ("13", "14"):
        for column in {v.column for v in published_values() if v.table == table}:
            parts = values(table, column)
            assert np.mean([v for row, v in parts.items() if row != "Average"]) == pytest.approx(
                parts["Average"], abs=6e-4
            )
    for table in ("8", "9"):
        rows = published_table("morphgen", table)
        for system in ("MorphGen", "CellFlux"):
            top, floor, ratio = (
                rows[(system, column, system)].value
                for column in ("FID generated-real", "FID real-real", "Relative FID")
            )
            # The paper averages ratios over seeds, which is not the ratio of averages.
            assert top / floor == pytest.approx(ratio, rel=0.005)
    real, generated = (values("7", f"{kind} variance") for kind in ("Real", "Generated"))
    for row, told in values("7", "Difference").items():
        assert generated[row] - real[row] == pytest.approx(told, abs=1e-9)


def test_numbers_of_another_paper_are_marked_as_quoted():
    quoted = {(v.paper, v.system) for v in published_values() if v.quoted}
    assert quoted == {("morphgen", "MorphoDiff"), ("morphgen", "Stable Diffusion")}


@pytest.mark.skipif(not TEXTS.is_dir(), reason=f"the papers' texts are not at {TEXTS}")
@pytest.mark.parametrize("paper", ["morphgen", "morphodiff"])
def test_every_row_stands_in_the_paper(paper):
    """The numbers of a row behind each other, with no other number between them."""
    # MorphoDiff's text has colons for some decimal points, and stars are lost in it.
    text = (TEXTS / f"{paper}.txt").read_text("utf-8").replace(":", ".")
    text = re.sub(r"\s*(×|\\times)\s*10\^\{-(\d)\}", r"e-\2", text)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for value in published_values():
        if value.paper == paper and value.table != "instrument" and "whole" not in value.row:
            numbers = rows.setdefault((value.table, value.row, value.system), [])
            numbers += [n.lstrip("-") for n in (value.printed, value.printed_interval) if n]
    for place, numbers in rows.items():
        pattern = r"\b" + r"[^\d\n]+".join(re.escape(n) for n in numbers) + r"\b"
        assert re.search(pattern, text), place
