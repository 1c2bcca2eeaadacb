"""Image archives: a stored zip of PNG planes with the field table inside.

It can be inspected with `unzip`. An archive's directory is read once, when the field table is made;
afterwards a plane is one `pread` at the table's offset.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.core.lineage import lineage_metadata
from morphpipe.core.storage import atomic_path, read_parquet
from morphpipe.tables.fields import (
    FIELD_SCHEMA,
    FieldTable,
    check_fields,
    fields_from_table,
    with_metadata,
)
from morphpipe.tables.manifest import ChannelManifest
from morphpipe.tables.png import encode_png
from morphpipe.tables.zip_directory import ZIP_ERRORS, archive_checksum

TABLE_NAME = "fields.parquet"


class ArchiveWriter:
    """Adds fields to an archive; created by `write_archive`."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, manifest: ChannelManifest) -> None:
        self._archive = archive
        self._path = path
        self._manifest = manifest
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], image: NDArray[Any]) -> None:
        """Add one field.

        Parameters
        ----------
        row
            Columns of `FIELD_SCHEMA` without `height`, `width` and `channels`; missing ones are
            null.
        image
            uint8 or uint16 [C, H, W] in the manifest's order.
        """
        dtype = np.uint8 if self._manifest.bit_depth == 8 else np.uint16
        channels = len(self._manifest.channels)
        if image.ndim != 3 or image.shape[0] != channels or image.dtype != dtype:
            raise DataError(
                f"Field {row['field_id']} is {image.dtype} of shape {list(image.shape)}; the "
                f"manifest requires {channels} planes of {np.dtype(dtype)}."
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
                    "file": self._path.name,
                    "offset": stream.tell() - len(data),
                    "length": len(data),
                    "compression": "stored",
                }
            )
        complete = dict.fromkeys(FIELD_SCHEMA.names) | row
        complete |= {"height": image.shape[1], "width": image.shape[2], "channels": planes}
        self._rows.append(complete)

    def repeat(self, row: dict[str, Any]) -> None:
        """Add a field with the planes of the previous one, which are stored once.

        `row` is as in `add`.
        """
        planes = {key: self._rows[-1][key] for key in ("height", "width", "channels")}
        self._rows.append(dict.fromkeys(FIELD_SCHEMA.names) | row | planes)

    def _finish(self) -> None:
        table = pa.Table.from_pylist(self._rows, schema=FIELD_SCHEMA)
        check_fields(table, self._manifest, self._path.name)
        content = with_metadata(FieldTable(table, self._manifest, self._path.parent))
        content = content.replace_schema_metadata(
            content.schema.metadata | lineage_metadata(self._path)
        )
        buffer = io.BytesIO()
        pq.write_table(content, buffer, write_page_checksum=True)
        info = zipfile.ZipInfo(TABLE_NAME, (1980, 1, 1, 0, 0, 0))
        info.external_attr = 0o644 << 16
        self._archive.writestr(info, buffer.getvalue())


@contextmanager
def write_archive(path: str | Path, manifest: ChannelManifest) -> Iterator[ArchiveWriter]:
    """Write an image archive, which appears only if the block succeeds.

    Byte-reproducible: times are fixed and nothing is deflated.

    Parameters
    ----------
    path
        The archive, `.zip`.
    manifest
        Channel manifest of the planes.

    Yields
    ------
    ArchiveWriter
        Writer to add fields to.
    """
    path = Path(path)
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        writer = ArchiveWriter(archive, path, manifest)
        yield writer
        writer._finish()


def table_inside(path: Path) -> pa.Table | None:
    """Read the field table inside an archive, or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            return pq.read_table(io.BytesIO(archive.read(TABLE_NAME)))
    except KeyError:
        return None
    except ZIP_ERRORS as error:
        raise DataError(
            f"{path} cannot be read as an image archive ({error}): restore it from where it came "
            "from, or, if the workflow made it, delete it and rerun the workflow."
        ) from None


def read_archived_fields(path: Path) -> FieldTable:
    """Read the field table inside an image archive, with the archive's current checksum."""
    table = table_inside(path)
    if table is None:
        raise DataError(
            f"{path} has no {TABLE_NAME}: it is damaged, or not an image archive of morphpipe."
        )
    fields = fields_from_table(table, path.parent, str(path))
    elsewhere = {plane["file"] for row in fields.planes() for plane in row} - {path.name}
    if elsewhere:
        raise DataError(
            f"{path} was written as {sorted(elsewhere)[0]!r}, which its field table refers to: "
            "rename it back."
        )
    current = archive_checksum(path, path.parent)
    return FieldTable(fields.table, fields.manifest, fields.folder, {current.file: current})


def read_fields(path: str | Path) -> FieldTable:
    """Read a field table from Parquet, or the one inside an image archive (`.zip`).

    Raises
    ------
    DataError
        If the file is not a valid field table.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"The field table {path} does not exist.")
    if path.suffix == ".zip":
        return read_archived_fields(path)
    return fields_from_table(read_parquet(path), path.parent, str(path))
