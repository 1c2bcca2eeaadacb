"""The split table: side of each field."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.config.splits import Split
from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.datasets.splits.assign import held_out, split_by_well
from morphpipe.tables.fields import FieldTable


def make_split(fields: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Split real fields as configured.

    Parameters
    ----------
    fields
        Real fields with `field_id`, `batch`, `plate`, `well`, `cell_type`, `perturbation`.
    split
        Fractions, seed, hold-outs, and the handling of data too small to be split.

    Returns
    -------
    pandas.DataFrame
        `field_id` and `split`. With `single_well: all-sides` every field is on every side if a
        split by well is impossible.

    Raises
    ------
    DataError
        If a condition has too few wells and `single_well` is `stop`, or the fields are invalid.
    ConfigError
        If a hold-out is invalid.
    """
    fields = with_structures(fields, split)
    try:
        if split.hold_out_to == "nowhere":
            drawn = split_by_well(fields, split.fractions, split.seed)
            held = drawn["field_id"].isin(fields["field_id"][held_out(fields, split.hold_out)])
            return drawn[~held | (drawn["split"] == "test")].reset_index(drop=True)
        return split_by_well(fields, split.fractions, split.seed, hold_outs=split.hold_out)
    except DataError as error:
        # Fails again unless few wells are the reason.
        everywhere = split_by_well(
            fields, split.fractions, split.seed, hold_outs=split.hold_out, too_few="all-sides"
        )
        if split.single_well == "all-sides":
            return everywhere
        raise DataError(
            f"{error}. Or set the split's `single_well: all-sides` to use every field on "
            "every side, which supports no claim."
        ) from None


def with_structures(fields: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Add the columns by which hold-outs compare compounds; null without SMILES.

    These are `scaffold` if a hold-out uses it, and `structure` (the parent structure) if one names
    a perturbation, which might otherwise return as a salt, another drawing or another name.
    """
    columns = {column for conditions in split.hold_out for column in conditions}
    if "smiles" not in fields or not columns & {"scaffold", "perturbation"}:
        return fields
    from morphpipe.perturbations.parent import parent_structure
    from morphpipe.perturbations.scaffold import scaffold

    known = fields["smiles"].dropna().unique()
    if "scaffold" in columns:
        fields = fields.assign(scaffold=fields["smiles"].map({s: scaffold(s) for s in known}))
    if "perturbation" in columns:
        parents = {}
        for smiles in known:
            # A compound with an invalid structure is held out by name only.
            with suppress(DataError):
                parents[smiles] = parent_structure(smiles)
        fields = fields.assign(structure=fields["smiles"].map(parents))
    return fields


def write_split(split: pd.DataFrame, path: str | Path) -> None:
    """Write a split table to Parquet."""
    write_parquet(pa.Table.from_pandas(split, preserve_index=False), path)


def read_split(path: str | Path) -> pd.DataFrame:
    """Read a split table: `field_id` and `split`.

    Raises
    ------
    DataError
        If the file is missing, damaged or not a split table.
    """
    table = read_parquet(path).to_pandas()
    missing = {"field_id", "split"} - set(table.columns)
    if missing:
        raise DataError(f"{path} is not a split table: it lacks {', '.join(sorted(missing))}.")
    return table


def select_side(fields: FieldTable, split: str | Path, side: str) -> FieldTable:
    """The fields of one side of a split table."""
    return fields.select(fields_on(read_split(split), side))


def fields_on(split: pd.DataFrame, side: str) -> list[str]:
    """Return the ids of the fields on a side.

    Raises
    ------
    DataError
        If there are none.
    """
    chosen = split.loc[split["split"] == side, "field_id"].tolist()
    if not chosen:
        raise DataError(f"The split has no field on the side {side!r}: raise its fraction.")
    return list(map(str, chosen))
