"""Image archives: a stored zip of PNG planes with the field table inside.

Anyone can look inside with `unzip`. An archive's directory is read once, when the field table is
made; afterwards a plane is one `pread` at the offset that the table holds.
"""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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
    ChannelManifest,
    FieldTable,
    check_fields,
    fields_from_table,
    with_metadata,
)
from morphpipe.datasets.zip_directory import ZIP_ERRORS, seal
from morphpipe.errors import DataError
from morphpipe.storage import atomic_path

TABLE_NAME = "fields.parquet"
# Of a PNG, beside its pixels: headers and whatever else an instrument writes into it.
_OVERHEAD = 1 << 16


def encode_png(plane: NDArray[Any]) -> bytes:
    """PNG bytes of one plane, uint8 or uint16 [H, W]."""
    buffer = io.BytesIO()
    Image.fromarray(plane).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def check_png(data: bytes) -> None:
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


def decode_plane(data: bytes, place: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """Pixels of one grey plane; checksums of PNG are verified.

    Parameters
    ----------
    data
        PNG.
    place
        What the plane is, for messages.
    size
        Height and width that it has to have; looked at before its pixels are unpacked.

    Raises
    ------
    DataError
        When the bytes are cut short or damaged, the plane is not grey, or it is of another size
        or too large for a plane.
    """
    try:
        check_png(data)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode not in ("L", "I;16"):
                raise DataError(f"{place} is not a grey 8- or 16-bit plane (mode {image.mode}).")
            if size is not None and (image.height, image.width) != size:
                raise DataError(
                    f"{place} has {image.height}x{image.width} pixels, the field table says "
                    f"{size[0]}x{size[1]}."
                )
            return np.asarray(image)
    except Image.DecompressionBombError as error:
        raise DataError(f"{place} is no plane of a microscope ({error}).") from None
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
            # A pipe is not waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise DataError(
                f"{path} cannot be opened ({error.strerror}), though the field table names it."
            ) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DataError(f"{path}, which the field table names, is not a file.")
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

    def _plane(self, plane: dict[str, Any], place: str, size: tuple[int, int]) -> NDArray[Any]:
        # Nothing is read, or unpacked, that is longer than a PNG of 16 bits can be.
        largest = _OVERHEAD + 4 * size[0] * (size[1] + 1)
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
                raise DataError(f"{place} has too many bytes for {size[0]}x{size[1]} pixels.")
            return decode_plane(data, place, size)
        if not 0 <= plane["length"] <= largest:
            raise DataError(
                f"{place} has {plane['length']} bytes, too many for {size[0]}x{size[1]} pixels: "
                "the field table is wrong."
            )
        data = os.pread(self._open(plane["file"]), plane["length"], plane["offset"])
        if len(data) != plane["length"]:
            raise DataError(f"{place} ends early: the archive is cut short.")
        if plane["compression"] == "deflated":
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, largest + 1)
            except zlib.error as error:
                raise DataError(f"{place} cannot be decompressed ({error}).") from None
            if len(data) > largest:
                raise DataError(f"{place} unpacks to more than {size[0]}x{size[1]} pixels need.")
        return decode_plane(data, place, size)

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
            file = self._fields.folder / location["file"]
            place = f"Field {entry['field_id']}, channel {channel} ({file})"
            plane = self._plane(location, place, shape)
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

    def repeat(self, row: dict[str, Any]) -> None:
        """Add a field of the same planes as the one before, which are stored once.

        Parameters
        ----------
        row
            See `add`.
        """
        planes = {key: self._rows[-1][key] for key in ("height", "width", "channels")}
        self._rows.append(dict.fromkeys(FIELD_SCHEMA.names) | row | planes)

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
    except KeyError:
        raise DataError(
            f"{path} holds no {TABLE_NAME}: it is damaged, or no image archive of morphpipe."
        ) from None
    except ZIP_ERRORS as error:
        raise DataError(
            f"{path} cannot be read as an image archive ({error}): delete it and make it again."
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
