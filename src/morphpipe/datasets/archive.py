"""Image archives: a stored zip of PNG planes with the field table inside.

Anyone can look inside with `unzip`. An archive's directory is read once, when the field table is
made; afterwards a plane is one `pread` at the offset that the table holds.
"""

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from morphpipe.datasets.fields import (
    FIELD_SCHEMA,
    ArchiveSeal,
    ChannelManifest,
    FieldTable,
    check_fields,
    fields_from_table,
    relative_to,
    with_metadata,
)
from morphpipe.errors import DataError
from morphpipe.storage import atomic_path

TABLE_NAME = "fields.parquet"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
# The records at the end of an archive (PKWARE's APPNOTE, 4.3.14 to 4.3.16): the common one, and
# the pair that replaces it where there are more than 65,535 members or 4 GB.
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_COMMENT = 65_535
_COMPRESSION = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


@dataclass(frozen=True)
class Member:
    """Where a member's bytes lie inside an archive."""

    name: str
    offset: int
    length: int
    compression: str
    size: int


def directory_start(path: Path) -> int:
    """Where an archive's directory begins.

    Read from the end of the file: `zipfile` would parse every entry, which costs 5 s and 0.5 GB
    with RxRx1's archive.

    Raises
    ------
    DataError
        When the end of the file is not that of a zip archive.
    """
    size = path.stat().st_size
    tail_start = max(size - _LONGEST_COMMENT - _END.size - _END64_LOCATOR.size - _END64.size, 0)
    with open(path, "rb") as stream:
        stream.seek(tail_start)
        tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end >= 0 and len(tail) - end >= _END.size:
        directory_end, length = end, _END.unpack_from(tail, end)[5]
        locator = end - _END64_LOCATOR.size
        end64 = locator - _END64.size
        if locator >= 0 and tail.startswith(b"PK\x06\x07", locator) and end64 >= 0:
            directory_end, length = end64, _END64.unpack_from(tail, end64)[8]
        if length <= tail_start + directory_end:
            return tail_start + directory_end - int(length)
    raise DataError(
        f"{path} does not end like a zip archive: it may be cut short. Delete it and let the "
        "workflow make or download it again."
    )


def seal(path: Path, folder: Path) -> ArchiveSeal:
    """Size of an archive and hash of its directory, to notice later that it has changed.

    Raises
    ------
    DataError
        When the end of the file is not that of a zip archive.
    """
    start = directory_start(path)
    with open(path, "rb") as stream:
        stream.seek(start)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return ArchiveSeal(relative_to(path, folder), stream.tell(), digest)


def members(path: Path) -> list[Member]:
    """Every member of an archive with the place of its bytes.

    The offset of the bytes follows a member's local header, whose length only the header itself
    tells; headers are read in the order of the file, which is one pass.

    Raises
    ------
    DataError
        When the file is no zip archive, is cut short, or uses an unknown compression.
    """
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
            found = []
            for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
                if entry.is_dir():
                    continue
                if entry.compress_type not in _COMPRESSION:
                    raise DataError(
                        f"{path}: {entry.filename} is compressed by method "
                        f"{entry.compress_type}; stored and deflated members can be read."
                    )
                stream.seek(entry.header_offset)
                header = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
                if header[0] != b"PK\x03\x04":
                    raise zipfile.BadZipFile(f"no member where {entry.filename} should begin")
                start = entry.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
                found.append(
                    Member(
                        entry.filename,
                        start,
                        entry.compress_size,
                        _COMPRESSION[entry.compress_type],
                        entry.file_size,
                    )
                )
            return found
    except (zipfile.BadZipFile, struct.error, OSError) as error:
        raise DataError(
            f"{path} cannot be read as a zip archive ({error}): it may be cut short. Delete it "
            "and let the workflow make or download it again."
        ) from None


def encode_png(plane: NDArray[Any]) -> bytes:
    """PNG bytes of one plane, uint8 or uint16 [H, W]."""
    buffer = io.BytesIO()
    Image.fromarray(plane).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _check_png(data: bytes) -> None:
    """Verify the checksum of every chunk: Pillow skips those of the pixels and what follows.

    Raises
    ------
    ValueError
        When a checksum is wrong or the last chunk is missing.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("not a PNG file")
    at, kind = 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 8 + length
        if len(data) < end + 4:
            raise ValueError("it ends early")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError(f"wrong checksum of the chunk {kind.decode('latin-1')}")
        at = end + 4


def decode_plane(data: bytes, place: str) -> NDArray[Any]:
    """Pixels of one grey plane; checksums of PNG are verified.

    Raises
    ------
    DataError
        When the bytes are cut short or damaged, or the plane is not grey.
    """
    try:
        _check_png(data)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode not in ("L", "I;16"):
                raise DataError(f"{place} is not a grey 8- or 16-bit plane (mode {image.mode}).")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{place} cannot be decoded ({error}): the file is damaged.") from None


class FieldReader:
    """Reads the planes of the rows of a field table.

    An archive is opened at its first use, and its size and directory are compared with what the
    table says. Use it as a context manager, or call `close`.

    Parameters
    ----------
    fields
        The rows that will be read.
    """

    def __init__(self, fields: FieldTable) -> None:
        self._fields = fields
        self._files: dict[str, int] = {}

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
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DataError(
                f"{path} cannot be opened ({error.strerror}), though the field table names it."
            ) from None
        try:
            self._check_seal(name, path)
        except DataError:
            os.close(descriptor)
            raise
        self._files[name] = descriptor
        return descriptor

    def _check_seal(self, name: str, path: Path) -> None:
        expected = self._fields.seals.get(name)
        if expected is None:
            return
        size = path.stat().st_size
        if size != expected.size:
            raise DataError(
                f"{path} has {size} bytes, the field table was made when it had "
                f"{expected.size}: make the field table again, or fetch the archive again."
            )
        if seal(path, self._fields.folder).directory_sha256 != expected.directory_sha256:
            raise DataError(
                f"The directory of {path} has changed since the field table was made: make "
                "the field table again."
            )

    def open_archives(self) -> None:
        """Open and check every archive that the rows point into, before the first plane is read.

        Raises
        ------
        DataError
            When an archive is missing, or is not the one that the table was made from.
        """
        files = self._fields.table["channels"].combine_chunks().flatten().flatten()[0]
        for name in files.unique().to_pylist():
            if name in self._fields.seals:
                self._open(name)

    def _plane(self, plane: dict[str, Any], place: str) -> NDArray[Any]:
        if plane["offset"] is None:
            path = self._fields.folder / plane["file"]
            try:
                return decode_plane(path.read_bytes(), place)
            except OSError as error:
                raise DataError(f"{place}: {path} cannot be read ({error.strerror}).") from None
        data = os.pread(self._open(plane["file"]), plane["length"], plane["offset"])
        if len(data) != plane["length"]:
            raise DataError(f"{place} ends early in {plane['file']}: the archive is cut short.")
        if plane["compression"] == "deflated":
            try:
                data = zlib.decompress(data, -15)
            except zlib.error as error:
                raise DataError(f"{place} cannot be decompressed ({error}).") from None
        return decode_plane(data, place)

    def read(self, row: int) -> NDArray[Any]:
        """All planes of the field at a position.

        Returns
        -------
        numpy.ndarray
            uint8 or uint16 [C, H, W] in the manifest's order.

        Raises
        ------
        DataError
            Naming the field and the channel that cannot be read, or whose size or depth is not
            what the table says.
        """
        entry = self._fields.table.slice(row, 1).to_pylist()[0]
        shape = (entry["height"], entry["width"])
        dtype = np.uint8 if self._fields.manifest.bit_depth == 8 else np.uint16
        planes = []
        for channel, location in zip(self._fields.manifest.names, entry["channels"], strict=True):
            place = f"Field {entry['field_id']}, channel {channel}"
            plane = self._plane(location, place)
            if plane.shape != shape or plane.dtype != dtype:
                raise DataError(
                    f"{place} is {plane.dtype} {plane.shape[0]}x{plane.shape[1]}, the field table "
                    f"says {np.dtype(dtype)} {shape[0]}x{shape[1]}."
                )
            planes.append(plane)
        return np.stack(planes)

    def batches(self, size: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """All fields in order, `size` at a time: the rows and [n, C, H, W].

        Raises
        ------
        DataError
            See `read`; and when the fields are not all of one size.
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
    """All fields of a table at once, [n, C, H, W]; for tables that fit into memory."""
    if not len(fields):
        raise DataError(f"There are no fields to read in {fields.folder}.")
    with FieldReader(fields) as reader:
        return next(reader.batches(len(fields)))[1]


class ArchiveWriter:
    """Collects fields into an archive; made by `write_archive`."""

    def __init__(self, archive: zipfile.ZipFile, name: str, manifest: ChannelManifest) -> None:
        self._archive = archive
        self._name = name
        self._manifest = manifest
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], image: NDArray[Any]) -> None:
        """Add one field.

        Parameters
        ----------
        row
            Columns of `FIELD_SCHEMA` but `height`, `width` and `channels`; missing ones are null.
        image
            uint8 or uint16 [C, H, W] in the manifest's order.
        """
        dtype = np.uint8 if self._manifest.bit_depth == 8 else np.uint16
        channels = len(self._manifest.channels)
        if image.ndim != 3 or image.shape[0] != channels or image.dtype != dtype:
            raise DataError(
                f"Field {row['field_id']} is {image.dtype} of shape {list(image.shape)}; the "
                f"manifest asks for {channels} planes of {np.dtype(dtype)}."
            )
        planes = []
        for channel, plane in zip(self._manifest.names, image, strict=True):
            data = encode_png(plane)
            info = zipfile.ZipInfo(f"{row['field_id']}/{channel}.png", (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            self._archive.writestr(info, data)
            stream = self._archive.fp
            assert stream is not None
            planes.append(
                {
                    "file": self._name,
                    "offset": stream.tell() - len(data),
                    "length": len(data),
                    "compression": "stored",
                }
            )
        complete = dict.fromkeys(FIELD_SCHEMA.names) | row
        complete |= {"height": image.shape[1], "width": image.shape[2], "channels": planes}
        self._rows.append(complete)

    def _finish(self, folder: Path) -> None:
        table = pa.Table.from_pylist(self._rows, schema=FIELD_SCHEMA)
        check_fields(table, self._manifest, self._name)
        buffer = io.BytesIO()
        fields = FieldTable(table, self._manifest, folder)
        pq.write_table(with_metadata(fields), buffer, write_page_checksum=True)
        info = zipfile.ZipInfo(TABLE_NAME, (1980, 1, 1, 0, 0, 0))
        info.external_attr = 0o644 << 16
        self._archive.writestr(info, buffer.getvalue())


@contextmanager
def write_archive(path: str | Path, manifest: ChannelManifest) -> Iterator[ArchiveWriter]:
    """Write an image archive; it appears under its name only when the block has ended well.

    The same fields give the same bytes: times are fixed and nothing is deflated.

    Parameters
    ----------
    path
        The archive, `.zip`.
    manifest
        What the planes are.

    Yields
    ------
    ArchiveWriter
        To add fields to.
    """
    path = Path(path)
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        writer = ArchiveWriter(archive, path.name, manifest)
        yield writer
        writer._finish(path.parent)


def read_archived_fields(path: Path) -> FieldTable:
    """The field table inside an image archive, sealed with the archive as it is now."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(TABLE_NAME)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} cannot be read as an image archive ({error}).") from None
    except KeyError:
        raise DataError(
            f"{path} holds no {TABLE_NAME}: it is a zip, but no image archive of morphpipe."
        ) from None
    fields = fields_from_table(pq.read_table(io.BytesIO(data)), path.parent, str(path))
    elsewhere = {plane["file"] for row in fields.planes() for plane in row} - {path.name}
    if elsewhere:
        raise DataError(
            f"{path} was called {sorted(elsewhere)[0]!r} when it was written: give it that name "
            "again, since its field table points there."
        )
    current = seal(path, path.parent)
    return FieldTable(fields.table, fields.manifest, fields.folder, {current.file: current})
