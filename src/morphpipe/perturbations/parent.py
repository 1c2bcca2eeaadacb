"""Parent structures: what a compound's salts, charges and drawings share."""

from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from morphpipe.perturbations.smiles import read_smiles


@lru_cache(maxsize=200_000)
def parent_structure(smiles: str) -> str:
    """The neutral largest fragment in RDKit's canonical tautomer, as canonical SMILES.

    Stereochemistry stays, as far as it does not depend on the tautomer: enantiomers are two
    compounds.

    Parameters
    ----------
    smiles
        Of the compound.

    Raises
    ------
    DataError
        When RDKit cannot read the SMILES.
    """
    molecule = read_smiles(smiles)
    # RDKit's own words on standard error name no compound.
    with rdBase.BlockLogs():
        fragment = rdMolStandardize.FragmentParent(molecule)
        neutral = rdMolStandardize.Uncharger().uncharge(fragment)
        tautomers = rdMolStandardize.TautomerEnumerator(_parameters())
        return str(Chem.MolToSmiles(tautomers.Canonicalize(neutral)))


def _parameters() -> rdMolStandardize.CleanupParameters:
    parameters = rdMolStandardize.CleanupParameters()
    parameters.tautomerRemoveSp3Stereo = False  # type: ignore[assignment]
    return parameters
