"""Validation of a sample sheet, listing all faults at once."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.planes import PlaneReader
from morphpipe.datasets.preparation.quality import same_pixels
from morphpipe.datasets.sources.channel_hints import (
    WARNING,
    hint_faults,
    listed,
    parse_planes,
    repeated_planes,
)
from morphpipe.datasets.sources.sheet import (
    ILLUMINATION,
    KEY_COLUMNS,
    REQUIRED_COLUMNS,
    SampleSheet,
    SheetChannel,
    normalise_frame,
    plate_names,
)
from morphpipe.tables.fields import CONTROLS, PERTURBATION_KINDS, name_fault

# As in the field table: ids and channel names become parts of file names.
_PATH_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=+-]*")


def _rows(mask: pd.Series) -> str:
    numbers = (np.flatnonzero(mask.fillna(False).to_numpy(dtype=bool)) + 1).tolist()
    return f"row{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def sheet_faults(
    frame: pd.DataFrame,
    channels: Sequence[SheetChannel],
    *,
    cell_type: str | None = None,
    perturbation_kind: str = "compound",
    negative_controls: Sequence[str] = (),
    positive_controls: Sequence[str] = (),
) -> list[str]:
    """List the faults of a user's table, without opening images.

    Parameters
    ----------
    frame
        The table as read.
    channels, cell_type, perturbation_kind, negative_controls, positive_controls
        See `morphpipe.datasets.sources.user_sheet.read_sheet`.

    Returns
    -------
    list of str
        One sentence per kind of fault, with up to about 20 rows, counted from 1 below the header.
        Non-fatal entries start with "Warning: ".
    """
    faults = list(
        _setting_faults(channels, perturbation_kind, negative_controls, positive_controls)
    )
    needed = [*REQUIRED_COLUMNS, *(channel.column for channel in channels)]
    missing = [column for column in needed if column not in frame]
    if missing:
        faults.append(
            f"There is no column {listed(missing)}; the table has "
            f"{listed(frame.columns) or 'none'}."
        )
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        faults.append(f"The column {listed(repeated.unique())} is repeated.")
    if not len(frame):
        faults.append("The table has no rows.")
    if faults:
        return faults

    rows = normalise_frame(
        frame,
        channels,
        cell_type=cell_type,
        perturbation_kind=perturbation_kind,
        negative_controls=negative_controls,
        positive_controls=positive_controls,
    )
    faults += _cell_faults(frame, rows, channels, cell_type)
    faults += _control_faults(rows, negative_controls, positive_controls)
    faults += _identity_faults(rows)
    planes, unparsed = parse_planes(rows, [channel.name for channel in channels])
    faults += unparsed
    faults += repeated_planes(planes, rows)
    labels = {channel.name: {channel.name, channel.column} for channel in channels}
    faults += hint_faults(planes, rows, labels)
    faults += _warnings(frame, rows, channels, negative_controls, positive_controls)
    return faults


def _setting_faults(
    channels: Sequence[SheetChannel],
    kind: str,
    negative: Sequence[str],
    positive: Sequence[str],
) -> Iterator[str]:
    if not channels:
        yield "The sheet has no channels: configure at least one."
    names = [channel.name for channel in channels]
    columns = [channel.column for channel in channels]
    for what, values in (("name", names), ("column", columns)):
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            yield f"Two channels have the same {what} {listed(repeated)}."
    unsafe = [name for name in names if not _PATH_SAFE.fullmatch(name) or name in KEY_COLUMNS]
    if unsafe:
        yield (
            f"{listed(map(repr, unsafe))} cannot be the name of a channel: use letters, digits, "
            "_ . = + -, and none of the sheet's own column names."
        )
    if kind not in PERTURBATION_KINDS:
        yield f"perturbation_kind {kind!r} is not one of {listed(PERTURBATION_KINDS)}."
    both = sorted(set(negative) & set(positive))
    if both:
        yield f"{listed(both)} is both a negative and a positive control."


def _cell_faults(
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    channels: Sequence[SheetChannel],
    cell_type: str | None,
) -> Iterator[str]:
    raw = frame.astype("string").apply(lambda column: column.str.strip()).reset_index(drop=True)
    empty = raw.isna() | (raw == "")
    filled = [*REQUIRED_COLUMNS, *(channel.column for channel in channels)]
    filled += [column for column in ("field_id", "site", "batch") if column in raw]
    filled += [column for column in rows if column.startswith(ILLUMINATION)]
    for column in filled:
        if empty[column].any():
            yield f"Column {column} is empty in {_rows(empty[column])}."
    if rows["cell_type"].isna().any():
        yield (
            f"There is no cell_type in {_rows(rows['cell_type'].isna())}: fill the column, or "
            "set the sheet's cell type."
        )
    for column, expected in (
        ("well", "wells like A01 (rows A to AF, columns 1 to 48)"),
        ("site", "non-negative integers"),
        (
            "concentration",
            "numbers from 0 (micromolar, with a decimal point; empty for none)",
        ),
    ):
        wrong = rows[column].isna() & ~empty[column] if column in raw else pd.Series(dtype=bool)
        if wrong.any():
            values = raw.loc[wrong, column].unique()
            yield f"Column {column} has {listed(values)} in {_rows(wrong)}; it takes {expected}."
    for column, allowed in (("perturbation_kind", PERTURBATION_KINDS), ("control", CONTROLS)):
        wrong = ~rows[column].isin(allowed)
        if wrong.any():
            values = rows.loc[wrong, column].unique()
            yield f"Column {column} has {listed(values)} in {_rows(wrong)}, not {listed(allowed)}."
    for column in ("cell_type", "perturbation", "batch", "plate"):
        pooled = column in ("cell_type", "perturbation")
        named = rows[column].dropna()
        reasons = named.map({name: name_fault(name, pooled=pooled) for name in named.unique()})
        for reason in reasons.dropna().unique():
            wrong = (reasons == reason).reindex(rows.index, fill_value=False)
            values = rows.loc[wrong, column].unique()
            yield (
                f"Column {column} has {listed(map(repr, values))} in {_rows(wrong)}, which is not "
                f"a valid name, since {reason}: rename it."
            )
    for column in [column for column in rows if column.startswith(ILLUMINATION)]:
        wrong = ~rows[column].str.lower().str.endswith(".npy").fillna(True).astype(bool)
        if wrong.any():
            yield f"Column {column} names no .npy file in {_rows(wrong)}."
    known = {ILLUMINATION + channel.name for channel in channels}
    unknown = [c for c in frame.columns if str(c).startswith(ILLUMINATION) and c not in known]
    if unknown:
        yield (
            f"The column {listed(unknown)} belongs to no channel; possible are "
            f"{listed(sorted(known))}."
        )


def _control_faults(
    rows: pd.DataFrame, negative: Sequence[str], positive: Sequence[str]
) -> Iterator[str]:
    for names, control in ((negative, "negative"), (positive, "positive")):
        wrong = rows["perturbation"].isin(list(names)) & (rows["control"] != control)
        if wrong.any():
            yield (
                f"Column control contradicts the list of {control} controls in {_rows(wrong)} "
                f"({listed(rows.loc[wrong, 'perturbation'].unique())})."
            )


def _identity_faults(rows: pd.DataFrame) -> Iterator[str]:
    ids = rows["field_id"]
    repeated = ids.duplicated(keep=False) & ids.notna()
    if repeated.any():
        yield (
            f"The field_id {listed(ids[repeated].unique())} is repeated in {_rows(repeated)}: ids "
            "must be unique (without the column they are made of plate, well and site)."
        )
    names = ids.fillna("empty")
    unsafe = names.map(lambda i: not _PATH_SAFE.fullmatch(i) or ".." in i).astype(bool)
    if unsafe.any():
        yield (
            f"The field_id {listed(ids[unsafe].unique())} in {_rows(unsafe)} cannot be used in "
            "file names: use letters, digits, _ . = + -, starting with a letter or digit."
        )
    site = ["batch", "plate", "well", "site"]
    twice = rows.duplicated(site, keep=False) & rows[site].notna().all(axis=1) & ~repeated
    if twice.any():
        yield f"Plate, well and site are the same in {_rows(twice)}."
    well = rows[rows[["plate", "well"]].notna().all(axis=1)].groupby(["batch", "plate", "well"])
    for column in ("perturbation", "concentration"):
        counts = well[column].nunique(dropna=False)
        several = counts[counts > 1]
        if len(several):
            wells = [f"{plate} {name}" for _, plate, name in several.index]
            yield f"There is more than one {column} in the well {listed(wells)}."


def _warnings(
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    channels: Sequence[SheetChannel],
    negative: Sequence[str],
    positive: Sequence[str],
) -> Iterator[str]:
    unused = [name for name in (*negative, *positive) if name not in set(rows["perturbation"])]
    if unused:
        yield f"{WARNING}the control {listed(unused)} is in no row."
    alike = _look_alike(rows["perturbation"].dropna().unique())
    if alike:
        yield (
            f"{WARNING}the perturbations {listed(alike)} look alike but are treated as different: "
            "use one spelling if they are the same."
        )
    known = {*KEY_COLUMNS, *(channel.column for channel in channels)}
    known |= {ILLUMINATION + channel.name for channel in channels}
    others = [str(column) for column in frame.columns if column not in known]
    if others:
        yield f"{WARNING}the column {listed(others)} is not used."
    controls = rows["control"] == "negative"
    if not controls.any():
        yield (
            f"{WARNING}there is no negative control, so effects of perturbations cannot be "
            "measured."
        )
        return
    plates = plate_names(rows)
    without = [plate for plate in plates.dropna().unique() if not controls[plates == plate].any()]
    if without:
        yield f"{WARNING}there is no negative control on the plate {listed(without)}."


def _look_alike(names: Iterable[str]) -> list[str]:
    """Pairs of names that differ only in case, blanks, invisible characters or Unicode form."""
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        visible = [c for c in plain if unicodedata.category(c) not in ("Cf", "Zs", "Cc")]
        groups.setdefault("".join(visible), []).append(name)
    return [" and ".join(map(ascii, group)) for group in groups.values() if len(group) > 1]


def plane_faults(sheet: SampleSheet, *, every: bool) -> list[str]:
    """List the faults of a sample sheet's images.

    Parameters
    ----------
    sheet
        The sheet.
    every
        Decode every plane; otherwise read all headers, and decode the first field of each plate.

    Returns
    -------
    list of str
        One sentence per kind of fault: missing or unreadable planes, channels of a field or fields
        of a plate that differ in size or depth, identical channels (of decoded planes),
        illumination functions that are missing or of another size, and file names that contradict
        the channel map. Non-fatal entries start with "Warning: ".
    """
    frame = sheet.frame.reset_index(drop=True)
    names = [channel.name for channel in sheet.channels]
    planes, faults = parse_planes(frame, names)
    faults += hint_faults(planes, frame, {name: {name} for name in names})
    plates = plate_names(frame)
    decode = pd.Series(every, index=frame.index) | ~plates.duplicated()
    unreadable: list[str] = []
    differing: list[str] = []
    of_plate: dict[str, dict[tuple[Any, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    corrections: dict[str, tuple[int, ...] | str] = {}
    uncorrected: list[str] = []
    same: list[str] = []
    with PlaneReader(sheet.folder) as reader:
        for row in tqdm(frame.index, desc="check", unit="field"):
            kinds, decoded = {}, {}
            for name in names:
                location = frame.at[row, name]
                place = f"field {frame.at[row, 'field_id']}, channel {name}"
                try:
                    if decode[row]:
                        decoded[name] = reader.read(location, place)
                        kinds[name] = (*decoded[name].shape, decoded[name].dtype)
                    else:
                        kinds[name] = reader.shape(location, place)
                except DataError as error:
                    unreadable.append(str(error))
                    continue
                column = ILLUMINATION + name
                if column in frame:
                    file = frame.at[row, column]
                    if file not in corrections:
                        corrections[file] = _array_shape(reader, file, place)
                    if corrections[file] != kinds[name][:2]:
                        uncorrected.append(f"{place}: {file} ({corrections[file]})")
            same += [
                f"field {frame.at[row, 'field_id']} ({' and '.join(pair)})"
                for pair in same_pixels(decoded)
            ]
            if len(set(kinds.values())) > 1:
                text = ", ".join(f"{name} {k[2]} {k[0]}x{k[1]}" for name, k in kinds.items())
                differing.append(f"field {frame.at[row, 'field_id']} ({text})")
            elif kinds:
                (kind,) = set(kinds.values())
                of_plate[plates[row]][kind].append(f"field {frame.at[row, 'field_id']}")
    odd = []
    for plate, fields in of_plate.items():
        usual = max(fields, key=lambda kind: len(fields[kind]))
        odd += [
            f"{field} ({kind[2]} {kind[0]}x{kind[1]}, plate {plate} has {usual[2]} "
            f"{usual[0]}x{usual[1]})"
            for kind, named in fields.items()
            if kind != usual
            for field in named
        ]
    for what, found in (
        ("cannot be read", unreadable),
        ("differ in size or depth between their channels", differing),
        ("differ in size or depth from the others of their plate", odd),
        ("have the same pixels in two channels (one plane under two names)", same),
        ("have no illumination function of their size", uncorrected),
    ):
        if found:
            items = "planes" if found is unreadable or found is uncorrected else "fields"
            faults.append(f"{len(found)} {items} {what}: {listed(found)}")
    return faults


def _array_shape(reader: PlaneReader, file: str, place: str) -> tuple[int, ...] | str:
    """The shape of an illumination function, or an error message."""
    try:
        return tuple(reader.read_array(file, place).shape)
    except DataError as error:
        return str(error)
