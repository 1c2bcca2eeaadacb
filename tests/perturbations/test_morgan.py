import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.morgan import morgan_fingerprint


@pytest.mark.parametrize(
    ("smiles", "radius", "substructures"),
    [
        ("C", 2, 1),  # the atom
        ("CC", 2, 2),  # CH3 and CH3-CH3
        ("c1ccccc1", 0, 1),  # CH
        ("c1ccccc1", 1, 2),  # CH with its two neighbours
        ("c1ccccc1", 2, 3),  # and with theirs
        ("CCO", 0, 3),  # CH3, CH2, OH
        ("CCO", 1, 6),  # each with its neighbours
    ],
)
def test_bits_are_circular_substructures(smiles, radius, substructures):
    fingerprint = morgan_fingerprint(smiles, radius)
    assert fingerprint.shape == (1024,)
    assert fingerprint.dtype == np.float32
    assert set(np.unique(fingerprint)) == {0, 1}
    assert fingerprint.sum() == substructures


def test_the_way_a_structure_is_written_does_not_matter():
    aspirin = morgan_fingerprint("CC(=O)Oc1ccccc1C(=O)O", bits=2048)
    np.testing.assert_array_equal(aspirin, morgan_fingerprint("OC(=O)C1=CC=CC=C1OC(C)=O", 2, 2048))
    assert (aspirin != morgan_fingerprint("OC(=O)c1ccccc1O", bits=2048)).any()


@pytest.mark.parametrize("smiles", ["C1CC", "", "taxol"])
def test_what_is_no_structure_stops(smiles):
    with pytest.raises(DataError, match="cannot read the SMILES"):
        morgan_fingerprint(smiles)
