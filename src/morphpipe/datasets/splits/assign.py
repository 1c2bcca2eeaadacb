"""Split fields of view by well, so that no well is in two splits.

Fields of one well share its cells' history, position on the plate and staining, by which a
classifier or distance would otherwise recognise the well.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.core.errors import ConfigError, DataError

WELL_COLUMNS = ["batch", "plate", "well"]
CONDITION_COLUMNS = ["cell_type", "perturbation"]

TooFew = Literal["error", "pool", "all-sides"]


def well_index(fields: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Number the well (batch, plate, well) of each field in sorted order: intp [n].

    Raises
    ------
    DataError
        If a column is missing or a field has no batch, plate or well.
    """
    missing = [column for column in WELL_COLUMNS if column not in fields]
    if missing:
        raise DataError(f"the field table lacks the column {missing[0]}, which identifies wells")
    without = fields[WELL_COLUMNS].isna().any(axis=1).to_numpy()
    if without.any():
        name = fields["field_id"].iloc[int(without.argmax())] if "field_id" in fields else "?"
        raise DataError(
            f"{int(without.sum())} fields have no batch, plate or well, e.g. {name}; only real "
            "fields can be split by well"
        )
    names = fields[WELL_COLUMNS].astype("string")
    return names.groupby(WELL_COLUMNS, sort=True).ngroup().to_numpy().astype(np.intp)


def _wells(fields: pd.DataFrame) -> tuple[npt.NDArray[np.intp], pd.DataFrame]:
    """Validate fields; return the well of each, and one row per well with its condition."""
    missing = [c for c in ["field_id", *CONDITION_COLUMNS] if c not in fields]
    if missing:
        raise DataError(f"the field table lacks the column {missing[0]}")
    if len(fields) == 0:
        raise DataError("there are no fields to split")
    repeated = fields["field_id"].duplicated()
    if repeated.any():
        raise DataError(f"field_id {fields['field_id'][repeated].iloc[0]} occurs more than once")
    index = well_index(fields)
    conditions = fields[CONDITION_COLUMNS].astype("string").fillna("").assign(index=index)
    wells = conditions.drop_duplicates().sort_values(["index", *CONDITION_COLUMNS])
    mixed = wells["index"].duplicated()
    if mixed.any():
        field = fields.iloc[int((index == wells["index"][mixed].iloc[0]).argmax())]
        raise DataError(
            f"well {field['well']} of plate {field['plate']} of batch {field['batch']} holds more "
            "than one cell type or perturbation; correct the metadata"
        )
    return index, wells.reset_index(drop=True)


def _allocate(number: int, fractions: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Allocate `number` wells by largest remainder, at least one per split if possible."""
    exact = fractions * number
    shares = np.floor(exact).astype(np.intp)
    for split in np.argsort(shares - exact, kind="stable")[: number - int(shares.sum())]:
        shares[split] += 1
    while number >= len(shares) and (shares == 0).any():
        shares[int(shares.argmax())] -= 1
        shares[int((shares == 0).argmax())] += 1
    return shares


def _assign(
    strata: npt.NDArray[np.intp], fractions: npt.NDArray[np.float64], seed: int
) -> npt.NDArray[np.intp]:
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(strata))
    result = np.empty(len(strata), dtype=np.intp)
    shuffled = order[np.argsort(strata[order], kind="stable")]
    for wells in np.split(shuffled, np.flatnonzero(np.diff(strata[shuffled])) + 1):
        # Equal remainders rotate between splits over strata, so that they do not add up.
        turn = generator.permutation(len(fractions))
        shares = _allocate(len(wells), fractions[turn])
        result[wells] = np.repeat(turn, shares)
    return result


def _strata(wells: pd.DataFrame, sides: int, too_few: TooFew) -> npt.NDArray[np.intp]:
    """Stratum of each well: its condition, or a common stratum of all scarce conditions."""
    grouped = wells.groupby(CONDITION_COLUMNS, sort=True)
    strata = grouped.ngroup().to_numpy().astype(np.intp)
    number = grouped["index"].transform("size").to_numpy()
    scarce = number < sides
    if too_few == "error" and scarce.any():
        well = wells.iloc[int(scarce.argmax())]
        conditions = len(np.unique(strata[scarce]))
        raise DataError(
            f"perturbation {well['perturbation']} of cell type {well['cell_type']} has "
            f"{number[scarce.argmax()]} well(s), too few to be on {sides} sides"
            + (f" (and so have {conditions - 1} more conditions)" if conditions > 1 else "")
            + "; exclude it, use fewer splits or allow such wells to be pooled"
        )
    return np.where(scarce, -1, strata)


def _has_scarce(wells: pd.DataFrame, sides: int) -> bool:
    return bool((wells.groupby(CONDITION_COLUMNS)["index"].size() < sides).any())


def matching(fields: pd.DataFrame, column: str, values: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Find the fields that a hold-out's column selects: bool [n].

    Each of several mechanisms (`A|B`) counts. With the column `structure`, all perturbations with
    the same structure are selected, whatever their names.
    """
    of = fields[column].astype("string")
    if column == "moa":
        parts = of.str.split("|")
        return np.array(
            [not pd.isna(one) and any(part.strip() in values for part in all_of)
             for one, all_of in zip(of, parts, strict=True)], dtype=bool,
        )  # fmt: skip
    chosen = of.isin(values)
    if column == "perturbation" and "structure" in fields:
        structures = fields["structure"][chosen].dropna().unique()
        chosen |= fields["structure"].isin(structures)
    return chosen.to_numpy(dtype=bool, na_value=False)


def _held_out(
    fields: pd.DataFrame, index: npt.NDArray[np.intp], hold_outs: Sequence[Mapping[str, Any]]
) -> npt.NDArray[np.bool_]:
    held = np.zeros(len(fields), dtype=bool)
    for hold_out in hold_outs:
        chosen = np.ones(len(fields), dtype=bool)
        if not hold_out:
            raise ConfigError("a hold-out is empty and would select every field; give a column")
        for column, wanted in hold_out.items():
            if column not in fields:
                raise ConfigError(f"a hold-out uses the column {column}, which the fields lack")
            values = [wanted] if isinstance(wanted, str) or np.isscalar(wanted) else list(wanted)
            chosen &= matching(fields, column, [str(value) for value in values])
        if not chosen.any():
            raise ConfigError(f"the hold-out {dict(hold_out)} matches no field; check its values")
        if np.isin(index[~chosen], index[chosen]).any():
            raise ConfigError(f"the hold-out {dict(hold_out)} selects only part of a well")
        held |= chosen
    return held


def held_out(fields: pd.DataFrame, hold_outs: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.bool_]:
    """Find the fields that any hold-out selects: bool [n]; arguments as in `split_by_well`."""
    return _held_out(fields, well_index(fields), hold_outs)


def split_by_well(
    fields: pd.DataFrame,
    fractions: Mapping[str, float],
    seed: int,
    *,
    hold_outs: Sequence[Mapping[str, Any]] = (),
    too_few: TooFew = "error",
) -> pd.DataFrame:
    """Split fields by well, each condition (cell type, perturbation) by the same fractions.

    Parameters
    ----------
    fields
        One row per real field with field_id, batch, plate, well, cell_type and perturbation.
    fractions
        Fraction of the wells per split, for example ``{"train": 0.5, "encoder": 0.25, "test":
        0.25}``; they sum to 1. Each split gets at least one well of every condition. Without
        ``test``, only held-out fields are tested on.
    seed
        Seed of the draws; the result does not depend on the order of the rows.
    hold_outs
        Each maps columns to one or several values; fields that match all columns of one of them go
        to the split ``test`` only.
    too_few
        Handling of conditions with fewer wells than splits: ``error``; ``pool`` them and split
        their wells together, so that some splits lack some conditions; or ``all-sides``: every
        field is in every split, for trial runs on data too small to be split, which support no
        claim.

    Returns
    -------
    pandas.DataFrame
        field_id and split, sorted by both; a field is in one split, unless ``all-sides`` was
        requested and needed.

    Raises
    ------
    ConfigError
        If the fractions or hold-outs are invalid.
    DataError
        If fields lack columns or are repeated, a well has several conditions, or a condition has
        too few wells.
    """
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if len(shares) == 0 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-9:
        raise ConfigError(
            f"the fractions of the splits must be above 0 and sum to 1, not {dict(fractions)}"
        )
    index, wells = _wells(fields)
    names = np.array(list(fractions), dtype=object)
    held_wells = np.isin(wells["index"], index[_held_out(fields, index, hold_outs)])
    split = np.full(len(wells), "test", dtype=object)
    free = wells[~held_wells].reset_index(drop=True)
    if too_few == "all-sides" and _has_scarce(free, len(names)):
        pairs = [(field, name) for field in fields["field_id"] for name in names]
        result = pd.DataFrame(pairs, columns=["field_id", "split"])
        return result.sort_values(["field_id", "split"], ignore_index=True)
    if len(free):
        strata = _strata(free, len(names), too_few)
        split[~held_wells] = names[_assign(strata, shares, seed)]
    # Wells are numbered 0 … W-1 in the order of `wells`.
    result = pd.DataFrame({"field_id": fields["field_id"].to_numpy(), "split": split[index]})
    return result.sort_values("field_id", ignore_index=True)


def halves(
    fields: pd.DataFrame, seeds: Sequence[int], *, too_few: Literal["error", "pool"] = "error"
) -> list[npt.NDArray[np.bool_]]:
    """Split the fields of every condition into two halves by well, once per seed.

    Parameters
    ----------
    fields
        As in `split_by_well`.
    seeds
        Seeds of the draws; the results do not depend on the order of the rows.
    too_few
        Handling of conditions with a single well: ``error``, or ``pool`` them.

    Returns
    -------
    list of numpy.ndarray
        For each seed bool [n] in the order of the rows: whether the field is in the first half.

    Raises
    ------
    DataError
        If a condition, or all conditions together, has only one well.
    """
    index, wells = _wells(fields)
    if len(wells) < 2:
        raise DataError("a single well cannot be split into halves")
    strata = _strata(wells, 2, too_few)
    return [(_assign(strata, np.array([0.5, 0.5]), seed) == 0)[index] for seed in seeds]
