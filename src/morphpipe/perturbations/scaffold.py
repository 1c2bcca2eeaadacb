"""Bemis-Murcko scaffolds: what similar compounds share, to hold them out together."""

from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

from morphpipe.errors import DataError

# A compound without a ring has no scaffold (Bemis and Murcko 1996); such are held out as one.
ACYCLIC = "acyclic"


def scaffold(smiles: str) -> str:
    """The ring systems of a compound and what links them, as canonical SMILES.

    Bemis and Murcko, J. Med. Chem. 39:2887 (1996), by RDKit; atoms and bonds are kept.

    Parameters
    ----------
    smiles
        Of the compound.

    Returns
    -------
    str
        Canonical SMILES, or `acyclic`.

    Raises
    ------
    DataError
        When RDKit cannot read the SMILES.
    """
    # RDKit's own words on standard error name no compound.
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not smiles:
        raise DataError(f"{smiles!r} is no SMILES that RDKit can read: correct the compound table.")
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)) or ACYCLIC
