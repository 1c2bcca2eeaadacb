"""Reading structures."""

from rdkit import Chem, rdBase

from morphpipe.core.errors import DataError


def read_smiles(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES.

    Raises
    ------
    DataError
        When RDKit cannot read it, or it holds no atom.
    """
    # RDKit's own words on standard error name no compound.
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise DataError(f"RDKit cannot read the SMILES {smiles!r}: correct it.")
    return molecule
