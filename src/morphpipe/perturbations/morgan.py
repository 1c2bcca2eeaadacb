"""Morgan fingerprints of compounds."""

import numpy as np
from numpy.typing import NDArray
from rdkit.Chem import rdFingerprintGenerator

from morphpipe.perturbations.smiles import read_smiles


def morgan_fingerprint(smiles: str, radius: int = 2, bits: int = 1024) -> NDArray[np.float32]:
    """Compute the folded Morgan fingerprint of a compound (Rogers and Hahn 2010) with RDKit.

    Parameters
    ----------
    smiles
        SMILES of the compound.
    radius
        Bonds around each atom; 2 is ECFP4.
    bits
        Length; 1024 as in CellFlux.

    Returns
    -------
    numpy.ndarray
        float32 [bits], 0 or 1. Stereochemistry is ignored.

    Raises
    ------
    DataError
        If RDKit cannot read the SMILES.
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    return generator.GetFingerprintAsNumPy(read_smiles(smiles)).astype(np.float32)
