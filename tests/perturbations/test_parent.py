import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.parent import parent_structure

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ASPIRIN, "OC(=O)c1ccccc1OC(C)=O"),
        (ASPIRIN, "[Na+].CC(=O)Oc1ccccc1C(=O)[O-]"),
        ("CN(C)CCc1ccccc1", "C[NH+](C)CCc1ccccc1.[Cl-]"),
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
    ],
    ids=["drawing", "salt", "hydrochloride", "tautomer"],
)
def test_one_compound_has_one_parent(one, other):
    assert parent_structure(one) == parent_structure(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(ASPIRIN, "OC(=O)c1ccccc1O"), ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O")],
    ids=["another compound", "enantiomers"],
)
def test_two_compounds_have_two(one, other):
    assert parent_structure(one) != parent_structure(other)


def test_what_is_no_structure_is_said():
    with pytest.raises(DataError, match="cannot read the SMILES"):
        parent_structure("hello")
