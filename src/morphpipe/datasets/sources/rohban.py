"""Rohban et al. 2017 (cpg0017-rohban-pathways): constructs of the wells.

U2OS cells overexpressing genes (open reading frames), plates 41744, 41754, 41755, 41756 and 41757
of the batch 2013_10_11_SIGMA2_Pilot, all with the same layout.
"""

import io
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.sheet import normalise_well
from morphpipe.tables.user_tables import read_table_bytes

# MorphoDiff's two subsets; wild types and mutants are pooled by the gene's name.
ROHBAN_GENES_5 = ("RAC1", "KRAS", "CDC42", "RHOA", "PAK1")
ROHBAN_GENES_12 = (
    "XBP1",
    "MAPK14",
    "RAC1",
    "AKT1",
    "AKT3",
    "RHOA",
    "PRKACA",
    "SMAD4",
    "RPS6KB1",
    "KRAS",
    "BRAF",
    "RAF1",
)

NEGATIVE_CONTROL = "EMPTY"
_COLUMNS = ("PUBLICID", "Well", "TARGETGENE", "TARGETTRANS", "ISMUTANT")
# PUBLICID of wells without a construct.
_NOTHING = "0"


def rohban_annotation(path: str | Path) -> pd.DataFrame:
    """Read the table of wells that MorphoDiff's code uses (augmented_metadata.csv).

    Parameters
    ----------
    path
        CSV with PUBLICID, Well, TARGETGENE, TARGETTRANS and ISMUTANT, one row per well.

    Returns
    -------
    pandas.DataFrame
        `well` (`B02`), `perturbation` (the gene's name, or EMPTY), `perturbation_kind`, `control`
        (wells without construct are negative), `gene`, `construct` (PUBLICID), `transcript` and
        `mutant`; the last three and `gene` are missing for EMPTY.

    Raises
    ------
    DataError
        If columns are missing, a well is malformed or repeated, or a well has a construct without a
        gene or vice versa.
    """
    path = Path(path)
    try:
        # As text: PUBLICID 0 is a marker, and a gene may be called "NA".
        table = pd.read_csv(io.BytesIO(read_table_bytes(path, "annotation")), dtype=str)
    except ValueError as error:
        raise DataError(f"{path} cannot be read as CSV ({error}): download it again.") from None
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}.")
    wells = pd.Series([normalise_well(str(text)) for text in table["Well"]], dtype="string")
    for mask, what in (
        (wells.isna(), "is not a well"),
        (wells.duplicated(), "stands there more than once"),
    ):
        if mask.any():
            raise DataError(f"{path}: the well {table['Well'][mask].iloc[0]} {what}.")
    empty = table["PUBLICID"] == _NOTHING
    odd = empty != table["TARGETGENE"].isna()
    if odd.any():
        raise DataError(
            f"{path}: the well {wells[odd].iloc[0]} has a construct without a gene, or a gene "
            "without a construct."
        )
    return pd.DataFrame(
        {
            "well": wells,
            "perturbation": table["TARGETGENE"].fillna(NEGATIVE_CONTROL),
            "perturbation_kind": empty.map({True: "none", False: "orf"}),
            "control": empty.map({True: "negative", False: "none"}),
            "gene": table["TARGETGENE"],
            "construct": table["PUBLICID"].mask(empty),
            "transcript": table["TARGETTRANS"],
            "mutant": (table["ISMUTANT"] == "1").astype("boolean").mask(empty),
        }
    )
