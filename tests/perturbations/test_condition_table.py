import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.perturbations.condition_table import (
    ConditionTable,
    build,
    concentration_code,
    read_condition,
)
from morphpipe.perturbations.random_codes import random_code
from morphpipe.perturbations.rdkit_descriptors import descriptors, standardise

SMILES = {
    "dmso": "CS(C)=O",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "ethanol": "CCO",
    "phenol": "Oc1ccccc1",
}
NONE = [None]


@pytest.fixture
def fields():
    """Fields of a screen: a control, two doses of one compound, one of two others."""
    rows = [
        ("dmso", "negative", np.nan),
        ("dmso", "negative", np.nan),
        ("aspirin", "none", 0.1),
        ("aspirin", "none", 10.0),
        ("ethanol", "positive", 10.0),
        ("phenol", "none", 1.0),
    ]
    frame = pd.DataFrame(rows, columns=["perturbation", "control", "concentration"])
    return frame.assign(gene=None, smiles=frame["perturbation"].map(SMILES))


def _build(fields, **content):
    return build(fields, read_condition(content), None)


def _embeddings(table, names, concentrations=None):
    return table.matrix[table.rows(names, concentrations or [None] * len(names))]


def test_constant(fields):
    table = _build(fields, kind="constant")
    assert table.matrix.shape == (4, 768)
    assert (table.matrix == 1).all()
    assert table.missing.empty


def test_random_codes_do_not_depend_on_the_dataset(fields):
    table = _build(fields, kind="random", width=6, seed=4, extra=["unseen"])
    codes = _embeddings(table, ["dmso", "phenol", "unseen"])
    expected = [random_code(name, 6, 4) for name in ("dmso", "phenol", "unseen")]
    np.testing.assert_array_equal(codes, expected)
    assert table.matrix.dtype == np.float32


def test_descriptors_are_standardised_over_the_compounds_of_the_dataset(fields):
    table = _build(
        fields, kind="rdkit", control="as_data", extra=["butanol"], smiles={"butanol": "CCCCO"}
    )
    compounds = ["aspirin", "ethanol", "phenol"]
    values = np.stack([descriptors(SMILES[name]) for name in compounds])
    made = standardise(values)
    np.testing.assert_allclose(_embeddings(table, compounds), made.apply(values), rtol=1e-6)
    np.testing.assert_allclose(_embeddings(table, compounds).mean(axis=0), 0, atol=1e-6)
    others = np.stack([descriptors("CS(C)=O"), descriptors("CCCCO")])
    np.testing.assert_allclose(
        _embeddings(table, ["dmso", "butanol"]), made.apply(others), rtol=1e-6
    )
    assert table.columns == made.names
    assert table.standardisation["compounds"] == 3
    np.testing.assert_array_equal(table.standardisation["means"], made.means)


@pytest.mark.parametrize(("control", "value"), [("zeros", 0), ("ones", 1)])
def test_the_embedding_of_controls(fields, control, value):
    table = _build(fields, kind="morgan", bits=64, control=control)
    assert (_embeddings(table, ["dmso"]) == value).all()
    # A positive control is a treatment.
    assert set(np.unique(_embeddings(table, ["ethanol"]))) == {0, 1}


def test_a_control_without_structure_is_missing_like_any_other(fields):
    fields = fields.assign(smiles=fields["smiles"].where(fields["control"] != "negative"))
    assert _build(fields, kind="morgan").missing.empty
    with pytest.raises(DataError, match=r"1 of 4 perturbations .*: dmso \(no SMILES\)"):
        _build(fields, kind="morgan", control="as_data")


def test_missing_embeddings_stop_with_names_reasons_and_ways_out(fields):
    fields.loc[fields["perturbation"] == "aspirin", "smiles"] = None
    fields.loc[fields["perturbation"] == "phenol", "smiles"] = "Oc1ccc"
    with pytest.raises(DataError) as stopped:
        _build(fields, kind="morgan")
    said = str(stopped.value)
    assert "2 of 4 perturbations" in said
    assert "aspirin (no SMILES)" in said
    assert "phenol (RDKit cannot read the SMILES 'Oc1ccc'" in said
    assert "`smiles`" in said
    assert "leave_out" in said
    # The structure that was missing, and the one that was wrong.
    given = {"aspirin": SMILES["aspirin"], "phenol": SMILES["phenol"]}
    assert _build(fields, kind="morgan", smiles=given).missing.empty


def test_missing_embeddings_that_are_left_out(fields, tmp_path):
    fields.loc[fields["perturbation"] == "aspirin", "smiles"] = None
    table = _build(fields, kind="morgan", bits=8, missing="leave_out", concentration="appended")
    assert table.missing.to_dict("records") == [{"perturbation": "aspirin", "reason": "no SMILES"}]
    assert set(table.concentrations()) == {"dmso", "ethanol", "phenol"}
    lost = (table.frame["perturbation"] == "aspirin").to_numpy()
    assert lost.sum() == 2
    np.testing.assert_array_equal(np.isnan(table.matrix).all(axis=1), lost)
    np.testing.assert_array_equal(np.isnan(table.matrix).any(axis=1), lost)
    table.write(tmp_path / "table.parquet")
    again = ConditionTable.read(tmp_path / "table.parquet")
    np.testing.assert_array_equal(again.matrix, table.matrix)
    with pytest.raises(DataError, match=r"aspirin \(no SMILES\)"):
        again.rows(["aspirin"], [0.1])


def test_nothing_has_an_embedding(fields):
    fields["smiles"] = None
    for missing in ("stop", "leave_out"):
        with pytest.raises(DataError, match="no SMILES"):
            _build(fields, kind="rdkit", missing=missing)
    with pytest.raises(DataError, match="no fields"):
        _build(fields[:0], kind="random")


def test_concentrations_that_are_ignored_or_appended(fields):
    ignored = _build(fields, kind="random", width=3)
    assert len(ignored) == 4
    rows = ignored.rows(["aspirin", "aspirin"], [0.1, 99.0])
    assert rows.dtype == np.int64
    assert rows[0] == rows[1]
    assert ignored.concentrations()["aspirin"] == pytest.approx([np.nan], nan_ok=True)

    table = _build(fields, kind="random", width=3, concentration="appended", extra=["unseen"])
    assert table.width == 5
    found = _embeddings(table, ["aspirin", "aspirin", "phenol", "dmso"], [0.1, 10.0, 1.0, np.nan])
    np.testing.assert_array_equal(found[0, :3], random_code("aspirin", 3, 0))
    np.testing.assert_array_equal(found[1, :3], found[0, :3])
    np.testing.assert_allclose(found[:, 3:], [[-1, 1], [1, 1], [0, 1], [0, 0]], atol=1e-7)
    assert table.concentrations() == {
        "aspirin": [0.1, 10.0],
        "dmso": pytest.approx([np.nan], nan_ok=True),
        "ethanol": [10.0],
        "phenol": [1.0],
        "unseen": [0.1, 1.0, 10.0],
    }
    with pytest.raises(DataError, match=r"aspirin at 1 uM \(it has embeddings at 0\.1, 10 uM\)"):
        table.rows(["aspirin"], [1.0])
    fields.loc[2, "concentration"] = -1
    with pytest.raises(DataError, match=r"'aspirin' has the concentration -1"):
        _build(fields, kind="random", concentration="appended")


def test_what_stands_for_a_concentration():
    assert concentration_code(None) == concentration_code(0) == (0, 0)
    assert concentration_code(1) == (0, 1)
    assert concentration_code(0.001) == pytest.approx((-3, 1))


def test_columns_of_a_concentration(fields):
    table = _build(fields, kind="rdkit", concentration="appended")
    assert table.columns[-2:] == ("log10_concentration", "has_concentration")
    assert len(table.columns) == table.width


def test_names_that_are_not_known(fields):
    table = _build(fields, kind="random")
    with pytest.raises(DataError) as stopped:
        table.rows(["asprin", "ethanol", *(f"compound-{i}" for i in range(30))], NONE * 32)
    said = str(stopped.value)
    assert "31 conditions have no embedding" in said
    assert "asprin (not in the table, which has 'aspirin')" in said
    assert "..." in said
    assert "compound-25" not in said
    assert "`extra`" in said


def test_structures_of_wrong_names(fields):
    with pytest.raises(ConfigError, match=r"names Aspirin, which is neither .*'aspirin' is"):
        _build(fields, kind="morgan", smiles={"Aspirin": "C"})


def test_two_structures_of_one_compound(fields):
    fields.loc[2, "smiles"] = "C"
    with pytest.raises(DataError, match="'aspirin' has more than one `smiles`"):
        _build(fields, kind="rdkit")
    # Which does not matter to other kinds, or where one is given.
    _build(fields, kind="random")
    _build(fields, kind="morgan", smiles={"aspirin": "CC"})


def test_a_table_of_ones_own(fields, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("perturbation,x,y\nDMSO,0,0\naspirin,1,2\nEthanol,3,4\nparacetamol,5,6\n")
    with pytest.raises(DataError, match=rf"1 of 4 .*phenol \(not in mine\.csv.*add them to {path}"):
        _build(fields, kind="table", file=str(path))
    table = _build(fields, kind="table", file=str(path), missing="leave_out", extra=["paracetamol"])
    found = _embeddings(table, ["dmso", "aspirin", "ethanol", "paracetamol"])
    np.testing.assert_array_equal(found, [[0, 0], [1, 2], [3, 4], [5, 6]])
    assert table.columns == ("x", "y")
    path.write_text("compound,x\naspirin,1\n")
    with pytest.raises(DataError, match="not 'compound'"):
        _build(fields, kind="table", file=str(path))
    path.write_text("aspirin,1\n")
    with pytest.raises(DataError, match="not 'aspirin'"):
        _build(fields, kind="table", file=str(path))


def test_a_published_table_of_descriptors(fields, tmp_path):
    (tmp_path / "published.csv").write_text("compound,latent_1\naspirin,0.5\nethanol,1\nphenol,2\n")
    settings = read_condition({"kind": "rdkit", "form": "table", "weights": "published"})
    table = build(fields, settings, tmp_path)
    np.testing.assert_array_equal(_embeddings(table, ["aspirin", "dmso"]), [[0.5], [0]])
    assert table.columns == ("latent_1",)


@pytest.mark.parametrize("concentration", ["ignored", "appended"])
def test_written_and_read_again(fields, tmp_path, concentration):
    table = _build(fields, kind="rdkit", concentration=concentration)
    path = tmp_path / "table.parquet"
    table.write(path)
    again = ConditionTable.read(path)
    pd.testing.assert_frame_equal(again.frame, table.frame)
    np.testing.assert_array_equal(again.matrix, table.matrix)
    assert again.settings == table.settings
    assert (again.kind, again.width) == ("rdkit", table.width)
    assert (again.columns, again.description) == (table.columns, table.description)
    assert again.standardisation == table.standardisation
    # Readable without morphpipe, too.
    plain = pq.read_table(path)
    assert plain.column_names == ["perturbation", "concentration", "embedding", "reason"]
    assert json.loads(plain.schema.metadata[b"morphpipe"])["width"] == table.width


def test_what_is_no_table_of_conditions(fields, tmp_path):
    path = tmp_path / "other.parquet"
    fields.to_parquet(path)
    with pytest.raises(DataError, match="is not a table of conditions"):
        ConditionTable.read(path)
    with pytest.raises(DataError, match="does not exist"):
        ConditionTable.read(tmp_path / "absent.parquet")


def test_conditions_that_cannot_be():
    with pytest.raises(ConfigError, match=r"condition\.bits: .*greater than 0"):
        read_condition({"kind": "morgan", "bits": 0})
    with pytest.raises(ConfigError, match="condition"):
        read_condition({"kind": "gene2vec"})
