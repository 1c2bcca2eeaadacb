"""Parent structures: the structure shared by a compound's salts, charges and drawings."""

from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from morphpipe.perturbations.smiles import read_smiles


@lru_cache(maxsize=200_000)
def parent_structure(smiles: str) -> str:
    """Return the neutral largest fragment in RDKit's canonical tautomer, as canonical SMILES.

    Stereochemistry is kept unless it depends on the tautomer: enantiomers are different compounds.

    Raises
    ------
    DataError
        If RDKit cannot read the SMILES.
    """
    molecule = read_smiles(smiles)
    # RDKit's messages on standard error do not name the compound.
    with rdBase.BlockLogs():
        fragment = rdMolStandardize.FragmentParent(molecule)
        neutral = rdMolStandardize.Uncharger().uncharge(fragment)
        tautomers = rdMolStandardize.TautomerEnumerator(_parameters())
        return str(Chem.MolToSmiles(tautomers.Canonicalize(neutral)))


def _parameters() -> rdMolStandardize.CleanupParameters:
    parameters = rdMolStandardize.CleanupParameters()
    parameters.tautomerRemoveSp3Stereo = False  # type: ignore[assignment]
    return parameters
