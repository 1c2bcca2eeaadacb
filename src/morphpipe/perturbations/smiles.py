"""Parse SMILES."""

from rdkit import Chem, rdBase

from morphpipe.core.errors import DataError


def read_smiles(smiles: str) -> Chem.Mol:
    """Parse a SMILES.

    Raises
    ------
    DataError
        If RDKit cannot read it, or it has no atom.
    """
    # RDKit's messages on standard error do not name the compound.
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise DataError(f"RDKit cannot read the SMILES {smiles!r}: correct it.")
    return molecule
