"""Read the planes of fields at the locations in a field table."""

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.tables.archive import table_inside
from morphpipe.tables.fields import (
    FieldTable,
)
from morphpipe.tables.npy import MAGIC, decode_array
from morphpipe.tables.png import decode_plane
from morphpipe.tables.zip_directory import BEFORE, BEHIND, archive_checksum, local_member

# Maximum size of a PNG besides its pixels: headers and instrument metadata.
_OVERHEAD = 1 << 16


class FieldReader:
    """Reads the planes of the rows of a field table.

    Archives are opened at first use; their size and directory are verified against the table, and
    the member name and CRC-32 of each plane. Use it as a context manager, or call `close`.

    Parameters
    ----------
    fields
        The rows to read.
    """

    def __init__(self, fields: FieldTable) -> None:
        self._fields = fields
        self._files: dict[str, int] = {}
        # Offsets of planes in the archive's own table, by archive and field_id.
        self._own: dict[str, dict[str, list[int]] | None] = {}

    def __enter__(self) -> "FieldReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _open(self, name: str) -> int:
        descriptor = self._files.get(name)
        if descriptor is not None:
            return descriptor
        path = self._fields.folder / name
        try:
            # Do not block on a pipe.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise DataError(
                f"{path} cannot be opened ({error.strerror}), although the field table refers to "
                "it."
            ) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DataError(f"{path}, which the field table refers to, is not a file.")
        try:
            self._verify_checksum(name, path)
        except DataError:
            os.close(descriptor)
            raise
        self._files[name] = descriptor
        return descriptor

    def _verify_checksum(self, name: str, path: Path) -> None:
        expected = self._fields.checksums.get(name)
        if expected is None:
            return
        size = path.stat().st_size
        if size != expected.size:
            raise DataError(
                f"{path} has {size} bytes, the field table was made when it had {expected.size}: "
                "rebuild the field table, or download the archive again."
            )
        if (
            archive_checksum(path, self._fields.folder).directory_sha256
            != expected.directory_sha256
        ):
            raise DataError(
                f"The directory of {path} has changed since the field table was made: make "
                "the field table again."
            )

    def open_archives(self) -> None:
        """Open and verify all archives of the rows, before the first plane is read.

        Raises
        ------
        DataError
            If an archive is missing, or is not the one that the table was made from.
        """
        files = self._fields.table["channels"].combine_chunks().flatten().flatten()[0]
        for name in files.unique().to_pylist():
            if name in self._fields.checksums:
                self._open(name)

    def _bytes(self, plane: dict[str, Any], place: str, largest: int) -> tuple[bytes, str | None]:
        """Content of an image file, and the name of its member of an archive, if it is one."""
        if plane["offset"] is None:
            path = self._fields.folder / plane["file"]
            try:
                if not path.is_file() and path.exists():
                    raise DataError(f"{place} is a folder, a pipe or a device, not a file.")
                with open(path, "rb") as stream:
                    data = stream.read(largest + 1)
            except OSError as error:
                raise DataError(f"{place} cannot be read ({error.strerror}).") from None
            if len(data) > largest:
                raise DataError(f"{place} has too many bytes for its pixels.")
            return data, None
        if not 0 <= plane["length"] <= largest:
            raise DataError(
                f"{place} has {plane['length']} bytes, too many for its pixels: the field table is "
                "wrong."
            )
        start = min(plane["offset"], BEFORE)
        end = start + plane["length"]
        block = os.pread(self._open(plane["file"]), end + BEHIND, plane["offset"] - start)
        data = block[start:end]
        if len(data) != plane["length"]:
            raise DataError(f"{place} ends early: the archive is cut short.")
        member = local_member(block[:start], block[end:])
        if member is None:
            raise DataError(
                f"{place} does not begin where the field table says: the table or the archive has "
                "been changed. Make them again."
            )
        if plane["compression"] == "deflated":
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, largest + 1)
            except zlib.error as error:
                raise DataError(f"{place} cannot be decompressed ({error}).") from None
            if len(data) > largest:
                raise DataError(f"{place} unpacks to more bytes than its pixels need.")
        name, checksum = member
        if zlib.crc32(data) != checksum:
            raise DataError(
                f"{place} is not the plane that the archive was written with: the CRC-32 of its "
                f"member {name} is another. Create or download the archive again."
            )
        return data, name

    def _check_name(self, entry: dict[str, Any], number: int, name: str, place: str) -> None:
        """Check that a member belongs to the field and channel of the row."""
        field_id, location = entry["field_id"], entry["channels"][number]
        named, _, file = name.rpartition("/")
        of_channel = file == f"{self._fields.manifest.names[number]}.png"
        if named == field_id and of_channel:
            return
        of_archive = self._fields.checksums.get(location["file"])
        if name.endswith(".npy"):
            fits = is_crop(name, field_id)
        elif of_archive is not None and of_archive.members is not None:
            fits = name == member_name(of_archive.members, entry, number)
        else:
            # A plane shared by several fields has the name of the first.
            own = self._own_offsets(location["file"])
            fits = own is None or (
                of_channel
                and {field_id, named} <= own.keys()
                and own[field_id][number] == own[named][number] == location["offset"]
            )
        if not fits:
            raise DataError(
                f"{place} lies where the archive has {name}: the field table has been changed. "
                "Rebuild it from the archives."
            )

    def _own_offsets(self, file: str) -> dict[str, list[int]] | None:
        """Offsets of planes in an archive's own table, or None."""
        if file not in self._own:
            table = table_inside(self._fields.folder / file)
            rows = None if table is None else table.select(["field_id", "channels"]).to_pylist()
            self._own[file] = rows and {
                row["field_id"]: [plane["offset"] for plane in row["channels"]] for row in rows
            }
        return self._own[file]

    def read(self, row: int) -> NDArray[Any]:
        """Read all planes of the field at a position.

        Returns
        -------
        numpy.ndarray
            uint8 or uint16 [C, H, W] in the manifest's order.

        Raises
        ------
        DataError
            If a channel cannot be read, or its size, depth or archive member contradicts the table.
        """
        entry = self._fields.table.slice(row, 1).to_pylist()[0]
        shape = (entry["height"], entry["width"])
        dtype = np.uint8 if self._fields.manifest.bit_depth == 8 else np.uint16
        names = self._fields.manifest.names
        # Nothing is read, or unpacked, that is longer than the pixels can be: of a PNG of 16 bits,
        # or of an array with all channels.
        largest = _OVERHEAD + 4 * shape[0] * (shape[1] + 1) * len(names)
        planes: list[NDArray[Any]] = []
        before: tuple[dict[str, Any], bytes, str | None] | None = None
        for number, (channel, location) in enumerate(zip(names, entry["channels"], strict=True)):
            file = self._fields.folder / location["file"]
            place = f"Field {entry['field_id']}, channel {channel} ({file})"
            if before is None or before[0] != location:
                before = (location, *self._bytes(location, place, largest))
            _, data, name = before
            if data.startswith(MAGIC):
                plane = decode_array(data, place, shape, len(names))[..., number]
            else:
                plane = decode_plane(data, place, shape)
            if name is not None:
                self._check_name(entry, number, name, place)
            if plane.shape != shape or plane.dtype != dtype:
                raise DataError(
                    f"{place} is {plane.dtype} {plane.shape[0]}x{plane.shape[1]}, the field table "
                    f"says {np.dtype(dtype)} {shape[0]}x{shape[1]}."
                )
            planes.append(plane)
        return np.stack(planes)

    def batches(self, size: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Iterate over all fields in batches of `size`: the rows and [n, C, H, W].

        Raises
        ------
        DataError
            See `read`; or if the fields differ in size.
        """
        for start in range(0, len(self._fields), size):
            rows = range(start, min(start + size, len(self._fields)))
            yield slice(rows.start, rows.stop), self._stack(rows)

    def _stack(self, rows: range) -> NDArray[Any]:
        images = [self.read(row) for row in rows]
        sizes = {image.shape[1:] for image in images}
        if len(sizes) != 1:
            raise DataError(
                f"The fields in {self._fields.folder} have several sizes "
                f"({', '.join(f'{h}x{w}' for h, w in sorted(sizes)) or 'none'}): crop them to one."
            )
        return np.stack(images)


def read_images(fields: FieldTable) -> NDArray[Any]:
    """Read all fields of a table into memory, [n, C, H, W]."""
    if not len(fields):
        raise DataError(f"There are no fields to read in {fields.folder}.")
    with FieldReader(fields) as reader:
        return next(reader.batches(len(fields)))[1]


def member_name(members: str, row: Mapping[str, Any], number: int) -> str:
    """Name a field's plane in a third-party archive.

    Parameters
    ----------
    members
        See `ArchiveChecksum`.
    row
        Row of the field table.
    number
        Index of the channel, from 0.
    """
    for key in ("batch", "plate", "well", "site"):
        members = members.replace(f"{{{key}}}", str(row[key]))
    return members.replace("{channel}", str(number + 1))


def is_crop(member: str, field_id: str) -> bool:
    """Whether a member of an archive of crops is that of a field, whose id it is named after.

    The folders and the name of the file are parts of the published key, see
    `morphpipe.datasets.sources.crops`.
    """
    *folders, file = member.removesuffix(".npy").split("/")
    return field_id.endswith(file) and all(folder in field_id for folder in folders[-2:])
