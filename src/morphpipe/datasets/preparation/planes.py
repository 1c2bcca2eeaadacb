"""Reader of raw planes: TIFF or PNG, as files or zip members."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.plane_files import (
    DEFLATED,
    PNG,
    TIFF,
    ZIP_ERRORS,
    RawPlane,
    check_deflated,
    decode_with_pillow,
    parse_location,
    png_shape,
    size_of_file,
    tiff_page,
)
from morphpipe.tables.png import decode_plane

_LARGEST_MEMBER = 1 << 31


class PlaneReader:
    """Reads raw planes by location; zip archives stay open after first use.

    Use it as a context manager, or call `close`.

    Parameters
    ----------
    folder
        Base of relative locations.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._archives: dict[str, zipfile.ZipFile] = {}

    def __enter__(self) -> "PlaneReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all archives."""
        for archive in self._archives.values():
            archive.close()
        self._archives.clear()

    def read(self, location: str, place: str) -> NDArray[Any]:
        """Read the pixels of one plane.

        Checksums are verified if the format has them (zip members, PNG, deflated TIFF). For LZW and
        uncompressed TIFF only wrong lengths are detected.

        Parameters
        ----------
        location
            See `parse_location`.
        place
            Name of the plane, for messages.

        Returns
        -------
        numpy.ndarray
            uint8 or uint16 [H, W].

        Raises
        ------
        DataError
            If the file, member or page is missing, truncated or damaged, is not grey or not 8- or
            16-bit unsigned, or has several pages and the location does not specify one.
        """
        where, plane = self._parse(location, place)
        with self._open(plane, where, whole=True) as (stream, size):
            if plane.image.lower().endswith(PNG):
                return decode_plane(stream.read(), where)
            with tiff_page(stream, size, plane, where) as (page, index, kind):
                if page.compression in DEFLATED:
                    check_deflated(stream, page, where)
                pixels = (
                    # tifffile needs imagecodecs for LZW; Pillow includes libtiff.
                    decode_with_pillow(stream, index)
                    if page.compression == COMPRESSION.LZW
                    else page.asarray(maxworkers=1)
                )
                if pixels.shape != page.shape:
                    raise DataError(
                        f"{where} decodes to {list(pixels.shape)} pixels, its header says "
                        f"{list(page.shape)}: the file is damaged."
                    )
                return np.ascontiguousarray(pixels, dtype=kind)

    def read_array(self, location: str, place: str) -> NDArray[np.float32]:
        """Read an illumination function from a NumPy file (`.npy`) or zip member.

        Parameters
        ----------
        location
            `file.npy` or `archive.zip!member.npy`.
        place
            Its name, for messages.

        Returns
        -------
        numpy.ndarray
            float32 [H, W].

        Raises
        ------
        DataError
            If it is missing, damaged or not a numeric plane.
        """
        where = f"{place} ({location})"
        archive, mark, member = location.partition(".zip!")
        plane = RawPlane(f"{archive}.zip", member, None) if mark else RawPlane(location, None, None)
        with self._open(plane, where, whole=True) as (stream, _):
            try:
                array = np.load(stream, allow_pickle=False)
            except (ValueError, EOFError, OSError, MemoryError) as error:
                raise DataError(f"{where} cannot be read as a NumPy file ({error}).") from None
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise DataError(f"{where} holds {array.dtype} {list(array.shape)}, not a plane.")
        return np.asarray(array, dtype=np.float32)

    def shape(self, location: str, place: str) -> tuple[int, int, np.dtype[Any]]:
        """Read height, width and type of one plane from its header.

        Truncated TIFFs are detected too, since the header says where pixels end.

        Raises
        ------
        DataError
            See `read`; the pixels are not checked.
        """
        where, plane = self._parse(location, place)
        with self._open(plane, where, whole=False) as (stream, size):
            if plane.image.lower().endswith(PNG):
                return png_shape(stream, where)
            with tiff_page(stream, size, plane, where) as (page, _, kind):
                return page.shape[0], page.shape[1], kind

    def _parse(self, location: str, place: str) -> tuple[str, RawPlane]:
        try:
            return f"{place} ({location})", parse_location(location)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None

    @contextmanager
    def _open(self, plane: RawPlane, where: str, *, whole: bool) -> Iterator[tuple[IO[bytes], int]]:
        """A seekable stream of the image and its length; a member is verified if `whole`."""
        path = self._folder / plane.file
        if plane.member is None:
            size = size_of_file(path, where)
            # A TIFF may be a long stack, of which only requested pages are read.
            if not plane.image.lower().endswith(TIFF) and size > _LARGEST_MEMBER:
                raise DataError(
                    f"{where} has {size / 1e9:.1f} GB; files up to {_LARGEST_MEMBER / 1e9:.1f} GB "
                    "can be read."
                )
            try:
                stream: IO[bytes] = open(path, "rb")  # noqa: SIM115
            except OSError as error:
                raise DataError(f"{where}: {path} cannot be opened ({error.strerror}).") from None
            with stream:
                yield stream, size
            return
        archive = self._archive(plane.file, path, where)
        try:
            entry = archive.getinfo(plane.member)
        except KeyError:
            raise DataError(f"{where}: {path} holds no member {plane.member}.") from None
        if entry.file_size > _LARGEST_MEMBER:
            raise DataError(
                f"{where} has {entry.file_size / 1e9:.1f} GB inside the archive; members up to "
                f"{_LARGEST_MEMBER / 1e9:.1f} GB can be read."
            )
        try:
            stream = archive.open(entry)
            if whole:
                # At most the announced size; reading to the end makes zipfile verify the checksum.
                with stream as member:
                    stream = io.BytesIO(member.read(entry.file_size + 1))
        except ZIP_ERRORS as error:
            raise DataError(f"{where} is damaged inside the archive ({error}).") from None
        with stream:
            yield stream, entry.file_size

    def _archive(self, file: str, path: Path, where: str) -> zipfile.ZipFile:
        if file not in self._archives:
            if path.exists():
                size_of_file(path, where)
            try:
                self._archives[file] = zipfile.ZipFile(path)
            except ZIP_ERRORS as error:
                raise DataError(
                    f"{where}: {path} cannot be opened as a zip archive ({error})."
                ) from None
        return self._archives[file]
