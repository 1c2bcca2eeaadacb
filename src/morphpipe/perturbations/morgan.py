"""Morgan fingerprints: which circular substructures a compound has."""

import numpy as np
from numpy.typing import NDArray
from rdkit.Chem import rdFingerprintGenerator

from morphpipe.perturbations.smiles import read_smiles


def morgan_fingerprint(smiles: str, radius: int = 2, bits: int = 1024) -> NDArray[np.float32]:
    """The folded Morgan fingerprint of a compound (Rogers and Hahn 2010), by RDKit.

    Parameters
    ----------
    smiles
        Of the compound.
    radius
        Bonds around each atom; 2 is ECFP4.
    bits
        Length. 1024 as CellFlux conditions on.

    Returns
    -------
    numpy.ndarray
        float32 [bits], 0 or 1. Stereochemistry does not enter.

    Raises
    ------
    DataError
        When RDKit cannot read the SMILES.
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    return generator.GetFingerprintAsNumPy(read_smiles(smiles)).astype(np.float32)
