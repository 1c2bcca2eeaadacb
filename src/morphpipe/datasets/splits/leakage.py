"""Detect leakage between training and test fields."""

from collections.abc import Mapping, Sequence

import pandas as pd

from morphpipe.config.splits import Split
from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.assign import WELL_COLUMNS, matching
from morphpipe.datasets.splits.table import with_structures

LEAKAGE_COLUMNS = ["kind", "field_id", "side", "other_field_id", "other_side", "detail"]
HELD_OUT, SAME_WELL, SAME_PIXELS = "held-out condition", "same well", "same pixels"
SAME_STRUCTURE = "held out with it"


def find_leakage(
    split: pd.DataFrame,
    fields: pd.DataFrame,
    hold_out: Sequence[Mapping[str, str | list[str]]],
    pixels: pd.Series,
) -> pd.DataFrame:
    """List fields and conditions that are on several sides of a split but must not be.

    Uses only the tables, whoever made the split.

    Parameters
    ----------
    split
        `field_id` and `split`.
    fields
        One row per field, with the columns that identify wells and those of `hold_out`.
    hold_out
        From the configuration: conditions that must be in `test` only.
    pixels
        Hash of each field's pixels, by field_id; fields without one are not compared.

    Returns
    -------
    pandas.DataFrame
        `LEAKAGE_COLUMNS`; one row per perturbation held out because of its structure, per field of
        a held-out condition outside `test`, and per pair of fields of one well, or with the same
        pixels, on different sides (in larger groups each is paired with the first on another side).
    """
    table = split.merge(fields, on="field_id", validate="many_to_one")
    found = [pd.DataFrame(columns=LEAKAGE_COLUMNS)]
    for conditions in hold_out:
        chosen = table["split"] != "test"
        for column, wanted in conditions.items():
            values = [wanted] if isinstance(wanted, str) else list(wanted)
            chosen &= matching(table, column, values)
        text = ", ".join(f"{column} {wanted}" for column, wanted in conditions.items())
        rows = table.loc[chosen, ["field_id", "split"]].rename(columns={"split": "side"})
        found.append(rows.assign(kind=HELD_OUT, detail=text))
        found.append(_taken_along(table, conditions))
    wells = table[WELL_COLUMNS].astype("string").agg("/".join, axis=1)
    found.append(_pairs(table, wells, SAME_WELL))
    found.append(_pairs(table, table["field_id"].map(pixels), SAME_PIXELS))
    return pd.concat(found, ignore_index=True)[LEAKAGE_COLUMNS].astype("string")


def _taken_along(table: pd.DataFrame, conditions: Mapping[str, str | list[str]]) -> pd.DataFrame:
    """Other names of held-out structures, with their first field."""
    wanted = conditions.get("perturbation")
    if wanted is None or "structure" not in table:
        return pd.DataFrame(columns=LEAKAGE_COLUMNS)
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    along = matching(table, "perturbation", names) & ~table["perturbation"].isin(names)
    rows = table[along].drop_duplicates("perturbation")
    of = table[table["perturbation"].isin(names)].drop_duplicates("structure")
    named = dict(zip(of["structure"], of["perturbation"], strict=True))
    detail = [
        f"{name} has the structure of {named.get(structure, ', '.join(names))}"
        for name, structure in zip(rows["perturbation"], rows["structure"], strict=True)
    ]
    rows = rows[["field_id", "split"]].rename(columns={"split": "side"})
    return rows.assign(kind=SAME_STRUCTURE, detail=detail)


def _pairs(table: pd.DataFrame, group: pd.Series, kind: str) -> pd.DataFrame:
    """Fields of one group on different sides."""
    rows = table[["field_id", "split"]].assign(group=group).dropna(subset=["group"])
    sides = rows.groupby("group")["split"].transform("nunique")
    rows = rows[sides > 1].sort_values(["group", "split", "field_id"])
    pairs = []
    for name, members in rows.groupby("group", sort=True):
        first = members.iloc[0]
        for other in members[members["split"] != first["split"]].itertuples():
            pairs.append(
                (kind, first["field_id"], first["split"], other.field_id, other.split, str(name))
            )
    return pd.DataFrame(pairs, columns=LEAKAGE_COLUMNS)


def pixel_hashes(fields: pd.DataFrame, quality: pd.DataFrame) -> pd.Series:
    """Hash each field's raw pixels, by field_id; a tile has the hash of its field and position."""
    known = quality.dropna(subset=["pixels_sha256"]).set_index("field_id")["pixels_sha256"]
    ids = fields["field_id"].astype("string")
    tile = ids.str.extract(r"^(?P<field>.+)_(?P<place>r[0-9]+c[0-9]+)$")
    hashes = ids.map(known)
    tiled = hashes.isna() & tile["field"].notna()
    hashes[tiled] = tile["field"][tiled].map(known) + " " + tile["place"][tiled]
    return pd.Series(hashes.to_numpy(), index=ids.to_numpy())


def check_leakage(
    split: pd.DataFrame, fields: pd.DataFrame, settings: Split, quality: pd.DataFrame
) -> pd.DataFrame:
    """Raise DataError if a split leaks.

    Parameters
    ----------
    split
        `field_id` and `split`.
    fields
        The field table's keys.
    settings
        The split as configured.
    quality
        The quality table, for the hashes of pixels.

    Returns
    -------
    pandas.DataFrame
        The allowed rows of `find_leakage`: perturbations held out by structure, identical pixels if
        the configuration lists them, and everything for `all-sides`.

    Raises
    ------
    DataError
        Naming the first leak of each kind.
    """
    found = find_leakage(
        split, with_structures(fields, settings), settings.hold_out, pixel_hashes(fields, quality)
    )
    everywhere = settings.single_well == "all-sides" and split["field_id"].duplicated().any()
    if not everywhere:
        stop_at_leaks(found, settings)
    return found


def stop_at_leaks(found: pd.DataFrame, settings: Split) -> None:
    """Raise DataError with the first leak of each kind that the configuration does not allow.

    Parameters
    ----------
    found
        See `find_leakage`.
    settings
        The split as configured.
    """
    allowed = {SAME_STRUCTURE} | ({SAME_PIXELS} if settings.duplicates == "list" else set())
    wrong = found[~found["kind"].isin(allowed)]
    if wrong.empty:
        return
    lines = []
    for kind, rows in wrong.groupby("kind", sort=True):
        first = rows.iloc[0]
        other = (
            ""
            if pd.isna(first["other_field_id"])
            else (f" and {first['other_field_id']} on the side {first['other_side']}")
        )
        lines.append(
            f"{kind}: {first['field_id']} on the side {first['side']}{other}"
            + (f" ({first['detail']})" if kind == HELD_OUT else "")
            + (f", and {len(rows) - 1} more" if len(rows) > 1 else "")
        )
    raise DataError(
        "The split leaks: " + "; ".join(lines) + ". Correct the data; for identical pixels, "
        "remove the copies from the data, or set the split's `duplicates: list` to have them "
        "listed in the report."
    )
