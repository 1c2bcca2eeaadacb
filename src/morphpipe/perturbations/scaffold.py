"""Bemis-Murcko scaffolds: what similar compounds share, to hold them out together."""

from rdkit.Chem.Scaffolds import MurckoScaffold

from morphpipe.perturbations.parent import parent_structure
from morphpipe.perturbations.smiles import read_smiles

# A compound without a ring has no scaffold (Bemis and Murcko 1996); such are held out as one.
ACYCLIC = "acyclic"


def scaffold(smiles: str) -> str:
    """The ring systems of a compound's parent structure and what links them, as canonical SMILES.

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
    molecule = read_smiles(parent_structure(smiles))
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)) or ACYCLIC
