"""Bemis-Murcko scaffolds, to hold out similar compounds together."""

from rdkit.Chem.Scaffolds import MurckoScaffold

from morphpipe.perturbations.parent import parent_structure
from morphpipe.perturbations.smiles import read_smiles

# A compound without a ring has no scaffold (Bemis and Murcko 1996); such are held out as one.
ACYCLIC = "acyclic"


def scaffold(smiles: str) -> str:
    """Extract the ring systems of a parent structure and their linkers, as canonical SMILES.

    Bemis and Murcko, J. Med. Chem. 39:2887 (1996), by RDKit; atoms and bonds are kept.

    Returns
    -------
    str
        Canonical SMILES, or `acyclic`.

    Raises
    ------
    DataError
        If RDKit cannot read the SMILES.
    """
    molecule = read_smiles(parent_structure(smiles))
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)) or ACYCLIC
