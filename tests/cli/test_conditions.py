"""The verb `conditions`."""

import json

import numpy as np
import pytest

from morphpipe.perturbations.condition_table import ConditionTable


@pytest.fixture
def fields(tmp_path, make_fields, make_row):
    path = tmp_path / "fields.zip"
    compounds = [("p1", "CCO"), ("p1", "CCO"), ("p2", "c1ccccc1"), ("p3", None)]
    rows = [
        make_row(f"f{i}", perturbation=name, perturbation_kind="compound", control="none", smiles=s)
        for i, (name, s) in enumerate(compounds)
    ]
    make_fields(path, 5, rows=[*rows, make_row("f4")])
    return path


def test_table_of_settings(morphpipe, tmp_path, fields):
    output = tmp_path / "conditions.parquet"
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"kind": "morgan", "bits": 16, "missing": "leave_out"}))
    ended = morphpipe("conditions", "--settings", settings, "--fields", fields, "--output", output)
    assert ended.code == 0, ended.err
    assert "p3\tno SMILES" in ended.out
    assert "conditions: 4, perturbations without an embedding: 1; 16 numbers each" in ended.out
    table = ConditionTable.read(output)
    assert table.width == 16
    np.testing.assert_array_equal(table.matrix[table.rows(["control"], [None])], np.zeros((1, 16)))


def test_listing_writes_nothing(morphpipe, fields):
    ended = morphpipe(
        "conditions", "--settings", '{"kind": "morgan"}', "--fields", fields, "--list-missing"
    )
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "p3\tno SMILES",
        "conditions: 4, perturbations without an embedding: 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--list-missing",), "Give either"),
        (("--settings", '{"kind": "morgan"}'), "--output"),
        (("--settings", '{"kind": "morgan"}', "--output", "{out}"), "p3 (no SMILES)"),
        (("--settings", '{"kind": "morgen"}', "--list-missing"), "morgen"),
        (("--settings", '{"kind": "scgpt", "weights": "w"}', "--list-missing"), "weights w"),
    ],
)
def test_mistakes(morphpipe, tmp_path, fields, arguments, said):
    arguments = [text.replace("{out}", str(tmp_path / "out.parquet")) for text in arguments]
    ended = morphpipe("conditions", "--fields", fields, *arguments)
    assert ended.code == 1
    assert said in ended.err
    assert not (tmp_path / "out.parquet").exists()
