"""Hints about the order of channels from file names, before any image is opened."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.plane_files import RawPlane, parse_location

# Maximum rows or files listed in a message.
SHOWN = 20
# ImageXpress: _w2 before the end or before the file's 36-digit id; Operetta and Phenix: -ch2.
_CHANNEL_NUMBER = re.compile(
    r"(?:^|[_-])(?:(w)([0-9])(?=[0-9A-F]{8}-)|(w)([0-9]{1,2})(?=[._]|$)|(ch)([0-9]{1,2})(?![0-9]))",
    re.IGNORECASE,
)

WARNING = "Warning: "


def listed(items: Iterable[Any]) -> str:
    """Join up to `SHOWN` items for a message."""
    items = [str(item) for item in items]
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def parse_planes(
    rows: pd.DataFrame, names: Sequence[str]
) -> tuple[dict[str, dict[int, RawPlane]], list[str]]:
    """Parse locations by channel and row; also return faults."""
    planes: dict[str, dict[int, RawPlane]] = {}
    faults = []
    for name in names:
        wrong = []
        planes[name] = {}
        for row, location in rows[name].dropna().items():
            try:
                planes[name][int(row)] = parse_location(location)
            except DataError as error:
                wrong.append(f"row {int(row) + 1}: {error}")
        if wrong:
            faults.append(f"Channel {name}: {listed(wrong)}")
    return planes, faults


def repeated_planes(
    planes: Mapping[str, Mapping[int, RawPlane]], rows: pd.DataFrame
) -> Iterator[str]:
    """Report planes that are used in several cells."""
    users: dict[tuple[str, str | None, int], list[tuple[int, str]]] = defaultdict(list)
    for name, column in planes.items():
        for row, plane in column.items():
            users[os.path.normpath(plane.file), plane.member, plane.page or 0].append((row, name))
    across: list[str] = []
    within: list[str] = []
    for used in users.values():
        if len(used) > 1:
            location = rows.loc[used[0][0], used[0][1]]
            text = f"{location} ({'; '.join(f'row {row + 1}, {name}' for row, name in used[:4])})"
            (across if len({name for _, name in used}) > 1 else within).append(text)
    if across:
        yield (
            "The same plane stands in the columns of several channels, so the channels are mixed "
            f"up: {listed(across)}."
        )
    if within:
        yield f"The same plane is used by several fields: {listed(within)}."


def _channel_number(name: str) -> str | None:
    """Return the last channel number in a name, such as w2 or ch5, or None."""
    found = _CHANNEL_NUMBER.findall(name)
    if not found:
        return None
    kind, number = (part for part in found[-1] if part)
    return f"{kind.lower()}{int(number)}"


def hint_faults(
    planes: Mapping[str, Mapping[int, RawPlane]],
    rows: pd.DataFrame,
    labels: Mapping[str, set[str]],
) -> Iterator[str]:
    """Report file names that contradict the channel map, or give warnings on weaker hints.

    A contradiction is a channel number in a file's name (`_w2`, `-ch2`) that distinguishes the
    channels of a field but differs from that of the column or channel (`w1`, `ch1`), or is in
    another column in other rows of the batch.

    Parameters
    ----------
    planes
        Locations by channel and row. Pages of multi-page files are skipped: they share a file name.
    rows
        Used for batches, which may differ in channel order.
    labels
        Names of each channel.
    """
    words = {name: {label.lower() for label in own} for name, own in labels.items()}
    numbers = {
        name: {number for label in own if (number := _channel_number(label)) is not None}
        for name, own in labels.items()
    }
    batches = rows["batch"].tolist()
    files = {
        name: {
            row: PurePosixPath(plane.image).name
            for row, plane in column.items()
            if plane.page is None
        }
        for name, column in planes.items()
    }
    said, shared = _channel_numbers(files), _shared_words(files)
    seen: dict[str, dict[tuple[Any, str], list[int]]] = defaultdict(lambda: defaultdict(list))
    contradicting, doubtful = defaultdict(list), defaultdict(list)
    for name, column in files.items():
        others = set().union(*(own for other, own in words.items() if other != name)) - words[name]
        for row, file in column.items():
            number = said.get((row, name))
            if number is not None:
                seen[number][batches[row], name].append(row + 1)
                same = {own for own in numbers[name] if own.strip("0123456789") in number}
                if same and number not in same:
                    contradicting[name].append(f"row {row + 1} {file}")
                    continue
            parts = _words(file) - shared[row]
            if parts & others and not parts & words[name]:
                doubtful[name].append(f"row {row + 1} {file}")
    for name, found in contradicting.items():
        yield (
            f"Channel {name} has planes whose numbers contradict their column: {listed(found)}. "
            "Correct the cells, or rename the column and channel without a number if the number in "
            "the files is not a channel."
        )
    for name, found in doubtful.items():
        yield (
            f"{WARNING}Channel {name} has planes named like another channel: {listed(found)}. "
            "Ignore this only if the word has another meaning there."
        )
    for number, users in sorted(seen.items()):
        if len({name for _, name in users}) == 1:
            continue
        text = "; ".join(
            f"{name} (batch {batch}, rows {listed(numbered[:5])}{' ...' * (len(numbered) > 5)})"
            for (batch, name), numbered in list(users.items())[:SHOWN]
        )
        if len({batch for batch, _ in users}) < len(users):
            yield f"Planes named {number} are in the columns of several channels: {text}."
        else:
            yield (
                f"{WARNING}planes named {number} are another channel in another batch: {text}. "
                "Ignore this only if the batches were imaged in different channel orders."
            )


def _words(file: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", file.lower()))


def _shared_words(files: Mapping[str, Mapping[int, str]]) -> dict[int, set[str]]:
    """Words in all file names of a field, such as `ER` of `ER-stress`, by row."""
    by_row: dict[int, list[set[str]]] = defaultdict(list)
    for column in files.values():
        for row, file in column.items():
            by_row[row].append(_words(file))
    return {
        row: set.intersection(*found) if len(found) > 1 else set() for row, found in by_row.items()
    }


def _channel_numbers(files: Mapping[str, Mapping[int, str]]) -> dict[tuple[int, str], str]:
    """Channel numbers in file names by row and channel.

    Numbers shared by all channels of a field are ignored: `w1` may be a well.
    """
    by_row: dict[int, dict[str, str]] = defaultdict(dict)
    for name, column in files.items():
        for row, file in column.items():
            number = _channel_number(file)
            if number is not None:
                by_row[row][name] = number
    return {
        (row, name): number
        for row, found in by_row.items()
        if len(found) == 1 or len(set(found.values())) > 1
        for name, number in found.items()
    }
