import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.scaffold import ACYCLIC, scaffold


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", "c1ccccc1"),  # aspirin: one benzene ring
        ("CCO", ACYCLIC),
        ("c1ccc(cc1)CCc1ccncc1C", "c1ccc(CCc2ccncc2)cc1"),  # two rings and their linker
    ],
)
def test_rings_and_linkers_remain(smiles, expected):
    assert scaffold(smiles) == expected


def test_a_salt_has_the_scaffold_of_its_base():
    assert scaffold("CCN(CC)CCc1ccncc1.OC(=O)c1ccccc1") == "c1ccncc1"
    assert scaffold("[Na+].[O-]C(=O)c1ccccc1") == "c1ccccc1"


def test_writing_does_not_matter():
    assert scaffold("c1ccccc1C(=O)O") == scaffold("OC(=O)C1=CC=CC=C1")


@pytest.mark.parametrize("smiles", ["", "C1CC", "hello"])
def test_no_smiles_is_an_error(smiles):
    with pytest.raises(DataError, match="cannot read the SMILES"):
        scaffold(smiles)
