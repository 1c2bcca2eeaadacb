"""Genes of RxRx1's siRNAs, and MorphoDiff's subset of siRNAs.

RxRx1's metadata identify a siRNA by Thermo Fisher's name (column `sirna`; EMPTY for the negative
control) and by a number (`sirna_id`). Only the official metadata have both: the competition's
tables (`train.csv`, `test.csv`) have only numbers.
"""

import io
from importlib import resources
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.tables.user_tables import read_table_bytes

_NAME, _GENE = "siRNA ID", "Gene Symbol"


def genes_of_sirnas(path: str | Path) -> dict[str, str]:
    """Read the gene of every siRNA from Thermo Fisher's export.

    Of several symbols ("MTHFS;ST20-MTHFS"), the first is used.

    Parameters
    ----------
    path
        CSV, also compressed (`.csv.gz`), with the columns `siRNA ID` and `Gene Symbol`.

    Returns
    -------
    dict
        Gene by siRNA, without siRNAs that have no symbol (s21506 in the published export).

    Raises
    ------
    DataError
        If the table is unreadable, or a siRNA has no name or two genes.
    """
    try:
        table = pd.read_csv(
            io.BytesIO(read_table_bytes(path, "table of siRNAs")),
            dtype=str,
            usecols=[_NAME, _GENE],
            keep_default_na=False,
        )
    except ValueError as error:
        raise DataError(
            f"{path} cannot be read as Thermo Fisher's table of siRNAs ({error}): it must be a CSV "
            f"with the columns {_NAME!r} and {_GENE!r}."
        ) from None
    genes: dict[str, str] = {}
    for row, (text, symbols) in enumerate(zip(table[_NAME], table[_GENE], strict=True)):
        name, gene = text.strip(), symbols.partition(";")[0].strip()
        if not name:
            raise DataError(f"{path}, row {row + 1}: the siRNA has no name in {_NAME!r}.")
        if genes.setdefault(name, gene) != gene:
            raise DataError(f"{path}: the siRNA {name} has two genes, {genes[name]} and {gene}.")
    return {name: gene for name, gene in genes.items() if gene}


def morphodiff_huvec() -> tuple[str, ...]:
    """List the 1,061 siRNAs of MorphoDiff's HUVEC experiments, by Thermo Fisher's names.

    Names as in the column `sirna` of RxRx1's official metadata; the experiments also have the
    negative control EMPTY. MorphoDiff's lists flag none as out of distribution; those of "Single
    Batch" and of all batches are identical.
    """
    text = resources.files("morphpipe.datasets").joinpath("resources/morphodiff_huvec.txt")
    return tuple(line for line in text.read_text("utf-8").splitlines() if not line.startswith("#"))
