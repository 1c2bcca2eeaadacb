"""RDKit descriptors of structures, as in MorphoDiff."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from morphpipe.core.errors import DataError
from morphpipe.perturbations.smiles import read_smiles

# The 200 descriptors that descriptastorus (github.com/bp-kelley/descriptastorus, BSD-3-Clause)
# calls RDKit2D, version 1.0.0, in its order. MorphoDiff's published table names columns by
# position, from latent_1.
_NAMES = """
    BalabanJ BertzCT Chi0 Chi0n Chi0v Chi1 Chi1n Chi1v Chi2n Chi2v Chi3n Chi3v Chi4n Chi4v
    EState_VSA1 EState_VSA10 EState_VSA11 EState_VSA2 EState_VSA3 EState_VSA4 EState_VSA5
    EState_VSA6 EState_VSA7 EState_VSA8 EState_VSA9 ExactMolWt FpDensityMorgan1 FpDensityMorgan2
    FpDensityMorgan3 FractionCSP3 HallKierAlpha HeavyAtomCount HeavyAtomMolWt Ipc Kappa1 Kappa2
    Kappa3 LabuteASA MaxAbsEStateIndex MaxAbsPartialCharge MaxEStateIndex MaxPartialCharge
    MinAbsEStateIndex MinAbsPartialCharge MinEStateIndex MinPartialCharge MolLogP MolMR MolWt
    NHOHCount NOCount NumAliphaticCarbocycles NumAliphaticHeterocycles NumAliphaticRings
    NumAromaticCarbocycles NumAromaticHeterocycles NumAromaticRings NumHAcceptors NumHDonors
    NumHeteroatoms NumRadicalElectrons NumRotatableBonds NumSaturatedCarbocycles
    NumSaturatedHeterocycles NumSaturatedRings NumValenceElectrons PEOE_VSA1 PEOE_VSA10
    PEOE_VSA11 PEOE_VSA12 PEOE_VSA13 PEOE_VSA14 PEOE_VSA2 PEOE_VSA3 PEOE_VSA4 PEOE_VSA5
    PEOE_VSA6 PEOE_VSA7 PEOE_VSA8 PEOE_VSA9 RingCount SMR_VSA1 SMR_VSA10 SMR_VSA2 SMR_VSA3
    SMR_VSA4 SMR_VSA5 SMR_VSA6 SMR_VSA7 SMR_VSA8 SMR_VSA9 SlogP_VSA1 SlogP_VSA10 SlogP_VSA11
    SlogP_VSA12 SlogP_VSA2 SlogP_VSA3 SlogP_VSA4 SlogP_VSA5 SlogP_VSA6 SlogP_VSA7 SlogP_VSA8
    SlogP_VSA9 TPSA VSA_EState1 VSA_EState10 VSA_EState2 VSA_EState3 VSA_EState4 VSA_EState5
    VSA_EState6 VSA_EState7 VSA_EState8 VSA_EState9 fr_Al_COO fr_Al_OH fr_Al_OH_noTert fr_ArN
    fr_Ar_COO fr_Ar_N fr_Ar_NH fr_Ar_OH fr_COO fr_COO2 fr_C_O fr_C_O_noCOO fr_C_S fr_HOCCN
    fr_Imine fr_NH0 fr_NH1 fr_NH2 fr_N_O fr_Ndealkylation1 fr_Ndealkylation2 fr_Nhpyrrole fr_SH
    fr_aldehyde fr_alkyl_carbamate fr_alkyl_halide fr_allylic_oxid fr_amide fr_amidine
    fr_aniline fr_aryl_methyl fr_azide fr_azo fr_barbitur fr_benzene fr_benzodiazepine
    fr_bicyclic fr_diazo fr_dihydropyridine fr_epoxide fr_ester fr_ether fr_furan fr_guanido
    fr_halogen fr_hdrzine fr_hdrzone fr_imidazole fr_imide fr_isocyan fr_isothiocyan fr_ketone
    fr_ketone_Topliss fr_lactam fr_lactone fr_methoxy fr_morpholine fr_nitrile fr_nitro
    fr_nitro_arom fr_nitro_arom_nonortho fr_nitroso fr_oxazole fr_oxime fr_para_hydroxylation
    fr_phenol fr_phenol_noOrthoHbond fr_phos_acid fr_phos_ester fr_piperdine fr_piperzine
    fr_priamide fr_prisulfonamd fr_pyridine fr_quatN fr_sulfide fr_sulfonamd fr_sulfone
    fr_term_acetylene fr_tetrazole fr_thiazole fr_thiocyan fr_thiophene fr_unbrch_alkane fr_urea
    qed
"""
DESCRIPTORS: tuple[str, ...] = tuple(_NAMES.split())

# RDKit has changed two descriptors since MorphoDiff's table was made. These are the earlier
# patterns, which reproduce the table: for unbranched alkanes until RDKit 2024.03 (pull request
# 7255; descriptastorus also keeps the old one), for acceptors until 2026.03 (issue 8997).
_UNBRANCHED_ALKANE = Chem.MolFromSmarts("[R0;D2][R0;D2][R0;D2][R0;D2]")
_ACCEPTOR = Chem.MolFromSmarts(
    "[$([O,S;H1;v2]-[!$(*=[O,N,P,S])]),$([O,S;H0;v2]),$([O,S;-]),"
    "$([N;v3;!$(N-*=!@[O,N,P,S])]),$([nH0,o,s;+0])]"
)
_FUNCTIONS: dict[str, Callable[[Chem.Mol], float]] = dict(Descriptors.descList) | {
    "fr_unbrch_alkane": lambda molecule: len(molecule.GetSubstructMatches(_UNBRANCHED_ALKANE)),
    "NumHAcceptors": lambda molecule: len(molecule.GetSubstructMatches(_ACCEPTOR)),
}

MINIMUM_DEVIATION = 1e-3
"""Descriptors that vary less are dropped (MorphoDiff: 27 of 200 over its 98 compounds)."""


def descriptors(smiles: str) -> NDArray[np.float64]:
    """Compute the 200 descriptors of a compound.

    Parameters
    ----------
    smiles
        SMILES of the compound, with salts as written; stereochemistry is ignored, the tautomer
        matters.

    Returns
    -------
    numpy.ndarray
        float64 [200], in the order of `DESCRIPTORS`; NaN if undefined (partial charges of compounds
        with an atom without Gasteiger parameters, such as platinum).

    Raises
    ------
    DataError
        If RDKit cannot read the SMILES, or fails on a descriptor.
    """
    molecule = read_smiles(smiles)
    values = np.empty(len(DESCRIPTORS))
    with rdBase.BlockLogs():
        for place, name in enumerate(DESCRIPTORS):
            try:
                values[place] = _FUNCTIONS[name](molecule)
            except (RuntimeError, ValueError, ArithmeticError) as error:
                raise DataError(
                    f"RDKit fails on the descriptor {name} of {smiles!r}: {error}"
                ) from None
    values[~np.isfinite(values)] = np.nan
    return values


@dataclass(frozen=True)
class Standardisation:
    """Standardisation of descriptors, for the reference compounds and others.

    Attributes
    ----------
    names
        The kept descriptors, in order.
    means, deviations
        float64 [kept], over the reference compounds.
    compounds
        Number of reference compounds.
    """

    names: tuple[str, ...]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    compounds: int

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardise descriptors [n, 200] to [n, kept]; undefined ones become 0."""
        kept = [_PLACES[name] for name in self.names]
        scores = (np.atleast_2d(values)[:, kept] - self.means) / self.deviations
        return np.nan_to_num(scores, nan=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "names": list(self.names),
            "means": self.means.tolist(),
            "deviations": self.deviations.tolist(),
            "compounds": self.compounds,
        }


_PLACES = {name: place for place, name in enumerate(DESCRIPTORS)}


def standardise(values: NDArray[np.float64]) -> Standardisation:
    """Fit the standardisation of descriptors as in MorphoDiff.

    Descriptors with a standard deviation of at most 0.001 are dropped; the others are centred and
    divided by their standard deviation (with n - 1), both over the compounds for which they are
    defined. This reproduces MorphoDiff's published table, see docs/conditions.md.

    Parameters
    ----------
    values
        float64 [n, 200], see `descriptors`.

    Raises
    ------
    DataError
        If there are fewer than two compounds, or no descriptor distinguishes them.
    """
    if len(values) < 2:
        raise DataError(
            f"The descriptors of {len(values)} compounds cannot be standardised: at least two with "
            "a structure are needed."
        )
    defined = np.isfinite(values)
    counts = defined.sum(axis=0)
    known = np.where(defined, values, 0.0)
    means = known.sum(axis=0) / np.maximum(counts, 1)
    squares = np.where(defined, (known - means) ** 2, 0.0).sum(axis=0)
    deviations = np.sqrt(squares / np.maximum(counts - 1, 1))
    kept = deviations > MINIMUM_DEVIATION
    if not kept.any():
        raise DataError(
            f"No descriptor distinguishes the {len(values)} compounds: they have the same "
            "structure."
        )
    names = tuple(name for name, keep in zip(DESCRIPTORS, kept, strict=True) if keep)
    return Standardisation(names, means[kept], deviations[kept], len(values))
