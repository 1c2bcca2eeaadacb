"""Which gene a siRNA of RxRx1 silences, and the siRNAs that MorphoDiff takes.

RxRx1's metadata name a siRNA twice: by Thermo Fisher's name in the column `sirna` (EMPTY for the
negative control) and by a number in `sirna_id`. Only the official metadata join the two: the
competition's tables (`train.csv`, `test.csv`) hold numbers alone.
"""

import io
from importlib import resources
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.tables.user_tables import read_table_bytes

_NAME, _GENE = "siRNA ID", "Gene Symbol"


def genes_of_sirnas(path: str | Path) -> dict[str, str]:
    """The gene of every siRNA in Thermo Fisher's export.

    Where several symbols are listed ("MTHFS;ST20-MTHFS"), the first one is meant.

    Parameters
    ----------
    path
        CSV, also compressed (`.csv.gz`), with the columns `siRNA ID` and `Gene Symbol`.

    Returns
    -------
    dict
        Gene by siRNA; siRNAs without a symbol (s21506 in the published export) are not in it.

    Raises
    ------
    DataError
        When the table cannot be read, or a siRNA stands there without a name or with two genes.
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
            f"{path} cannot be read as Thermo Fisher's table of siRNAs ({error}): it has to be a "
            f"CSV with the columns {_NAME!r} and {_GENE!r}."
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
    """The 1,061 siRNAs of MorphoDiff's HUVEC experiments, by Thermo Fisher's names.

    They are names in the column `sirna` of RxRx1's official metadata. The experiments have the
    negative control EMPTY besides. MorphoDiff's lists flag none of them as out of distribution,
    and those of "Single Batch" and of all batches hold the same names.
    """
    text = resources.files("morphpipe.datasets").joinpath("resources/morphodiff_huvec.txt")
    return tuple(line for line in text.read_text("utf-8").splitlines() if not line.startswith("#"))
