import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.rdkit_descriptors import DESCRIPTORS, descriptors, standardise

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared/metadata/perturbation_embedding_bbbc021.csv.gz"


def _of(smiles):
    return dict(zip(DESCRIPTORS, descriptors(smiles), strict=True))


def test_the_list():
    assert len(set(DESCRIPTORS)) == 200
    assert list(DESCRIPTORS) == sorted(DESCRIPTORS)


def test_ethanol_by_hand():
    ethanol = _of("CCO")
    assert ethanol["MolWt"] == pytest.approx(2 * 12.011 + 6 * 1.008 + 15.999)
    assert ethanol["ExactMolWt"] == pytest.approx(24 + 6 * 1.00782503 + 15.99491462)
    assert ethanol["HeavyAtomCount"] == 3
    assert ethanol["NumValenceElectrons"] == 2 * 4 + 6 + 6
    assert ethanol["FractionCSP3"] == 1
    # Randic: bonds between atoms of degree 1 and 2, twice.
    assert ethanol["Chi1"] == pytest.approx(2 / np.sqrt(2))
    assert (ethanol["NumHDonors"], ethanol["NumHAcceptors"], ethanol["fr_Al_OH"]) == (1, 1, 1)


# What RDKit 2026.03 changed, by the examples of its issue 8997; and what 2024.03 changed: a chain
# had to be of four inner atoms, of any element.
@pytest.mark.parametrize(
    ("name", "smiles", "value"),
    [
        ("NumHAcceptors", "O=C1C=CC=CN1C", 2),
        ("NumHAcceptors", "Cn1cccc1", 1),
        ("fr_unbrch_alkane", "CCCC", 0),
        ("fr_unbrch_alkane", "CCCCCC", 1),
        ("fr_unbrch_alkane", "CCOCCC", 1),
    ],
)
def test_definitions_are_those_of_the_published_table(name, smiles, value):
    assert _of(smiles)[name] == value


def test_what_does_not_enter_and_what_does():
    lactate = "C[C@H](O)C(=O)O"
    np.testing.assert_allclose(descriptors(lactate), descriptors("C[C@@H](O)C(O)=O"), rtol=1e-12)
    assert _of("CC(=O)CC(C)=O")["fr_ketone"] == 2
    assert _of("CC(O)=CC(C)=O")["fr_ketone"] == 1


def test_partial_charges_of_platinum_are_not_defined():
    values = _of("[NH2][Pt](Cl)(Cl)[NH2]")
    undefined = {name for name, value in values.items() if np.isnan(value)}
    assert undefined == {
        "MaxPartialCharge", "MinPartialCharge", "MaxAbsPartialCharge", "MinAbsPartialCharge",
    }  # fmt: skip


def test_what_is_no_structure_stops():
    with pytest.raises(DataError, match="cannot read the SMILES 'c1ccc'"):
        descriptors("c1ccc")


def test_standardising_against_pandas():
    random = np.random.default_rng(0)
    values = random.normal(5, 3, (12, 200))
    values[:, 3] = 7
    values[:, 4] = 7 + 9e-4 * values[:, 5] / values[:, 5].std(ddof=1)
    values[2, 6] = values[5, 6] = np.nan
    made = standardise(values)
    frame = pd.DataFrame(values, columns=list(DESCRIPTORS))
    expected = ((frame - frame.mean()) / frame.std()).loc[:, frame.std() > 1e-3].fillna(0)
    assert made.names == tuple(expected.columns)
    assert len(made.names) == 198
    np.testing.assert_allclose(made.apply(values), expected, atol=1e-12)
    # Another compound, by the numbers of these.
    other = random.normal(5, 3, 200)
    by_hand = ((other - frame.mean()) / frame.std())[expected.columns]
    np.testing.assert_allclose(made.apply(other), [by_hand], atol=1e-12)


def test_what_cannot_be_standardised():
    ethanol = descriptors("CCO")
    with pytest.raises(DataError, match="1 compounds cannot be standardised"):
        standardise(ethanol[None])
    with pytest.raises(DataError, match="No descriptor distinguishes the 2 compounds"):
        standardise(np.stack([ethanol, ethanol]))


@pytest.fixture(scope="module")
def study():
    """The script that compares our descriptors with the published table."""
    path = ROOT / "benchmarks/rdkit_table.py"
    spec = importlib.util.spec_from_file_location("rdkit_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_published_columns_are_ours(study):
    if not PUBLISHED.is_file():
        pytest.skip(f"the published table is not at {PUBLISHED}")
    compounds, published = study.read_compounds(), study.read_published(PUBLISHED)
    otherwise = compounds["as_published"] != ""
    usual = study.computed(compounds.loc[~otherwise, "smiles"])
    result = study.study(usual, published)
    assert len(usual) == 81
    # Which vary in none of these compounds.
    assert list(result.index[~result["affine"]]) == ["fr_Imine", "fr_sulfone"]
    assert result["worst"].max() < 1e-10
    # Another drawing explains every other compound. Of Ipc the line through the usual ones says
    # nothing about bleomycin, which is far outside.
    others = study.computed(compounds.loc[otherwise, "as_published"])
    missed = study.deviating(others, usual, published)
    assert {name: columns for name, columns in missed.items() if columns} == {"bleomycin": ["Ipc"]}
    result = study.study(pd.concat([usual, others]), published)
    assert list(result.index[~result["affine"]]) == ["fr_sulfone"]
    # Published numbers of what is not defined are 0, and their deviation that of the others.
    assert (published.loc[["cisplatin", "carboplatin"], "MaxPartialCharge"] == 0).all()
    assert published["MaxPartialCharge"].std() == pytest.approx(np.sqrt(95 / 97))


def test_a_column_of_something_else_is_not_ours(study):
    random = np.random.default_rng(0)
    ours = pd.DataFrame(random.normal(size=(9, 200)), columns=list(DESCRIPTORS))
    published = pd.DataFrame({"MolWt": 3 - 2 * ours["MolWt"], "TPSA": ours["TPSA"] ** 2})
    published.loc[4, "MolWt"] += 1e-3
    assert not study.study(ours, published)["affine"].any()
    published.loc[4, "MolWt"] -= 1e-3
    assert study.study(ours, published)["affine"].to_dict() == {"MolWt": True, "TPSA": False}
