"""Atomic file writing: a killed job leaves nothing that looks complete."""

import errno
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from morphpipe.core.errors import DataError, StorageError
from morphpipe.core.lineage import LINEAGE, lineage_metadata


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: Exception) -> bool:
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in numbers
    # Safetensors and NumPy have only a message.
    said = str(error)
    return any(f"(os error {number})" in said for number in numbers) or (
        isinstance(error, OSError) and "requested and" in said and said.endswith("written")
    )


# Two jobs on different machines may write the same file: temporary names identify them.
_HOST = socket.gethostname()


def _remove_leftovers(path: Path) -> None:
    start, end = f".{path.stem}.{_HOST}.", f".partial{path.suffix}"
    for leftover in os.listdir(path.parent):
        if not (leftover.startswith(start) and leftover.endswith(end)):
            continue
        process = leftover.removeprefix(start).split(".")[0]
        if not process.isdigit() or _is_running(int(process)):
            continue
        place = path.parent / leftover
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists but belongs to another user
        pass
    return True


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` that replaces it when the block succeeds.

    The caller creates a file or directory there. It is flushed and renamed on success, and removed
    if the block raises. The suffix is kept, since it may determine the format. Leftovers of killed
    processes are removed first.

    Parameters
    ----------
    path
        Path of the result. Missing parent directories are created. An existing file is replaced
        atomically; an existing directory is removed just before the rename.

    Yields
    ------
    Path
        The temporary path to write to.

    Raises
    ------
    StorageError
        If the disk is full; existing content of `path` is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    writer = f"{_HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    temporary = path.with_name(f".{path.stem}.{writer}.partial{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir():
            for file in temporary.rglob("*"):
                _flush(file)
            if path.is_dir():
                shutil.rmtree(path)
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except Exception as error:
        if _is_full(error):
            raise StorageError(
                f"{path} cannot be written: the disk is full, or a quota or file size limit is "
                "reached. Free some space and rerun."
            ) from None
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


# Parquet's checksums (CRC-32 of pages) do not cover page headers and the footer with schema and
# metadata. The footer therefore has the SHA-256 of the whole file, computed with zeros in its
# place. For other readers it is ordinary metadata.
CHECKSUM = b"morphpipe.sha256"
_BLANK = b"0" * 64
_CHUNK = 1 << 20


@contextmanager
def parquet_writer(path: str | Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a Parquet file atomically, with CRC-32 of pages and SHA-256 of the file.

    The lineage is stored too, see `morphpipe.core.lineage`.

    Parameters
    ----------
    path
        Path of the file.
    schema
        Schema of the rows, with metadata.

    Yields
    ------
    pyarrow.parquet.ParquetWriter
        Writer for tables of this schema.
    """
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(
            temporary, schema, compression="zstd", write_page_checksum=True
        ) as writer:
            yield writer
            writer.add_key_value_metadata(lineage_metadata(path) | {CHECKSUM: _BLANK})
        place = _checksum_place(temporary)
        assert place is not None
        checksum = _digest_around(temporary, place)
        with open(temporary, "r+b") as stream:
            stream.seek(place)
            stream.write(checksum)


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a table as a Parquet file, see `parquet_writer`."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table)


def read_parquet(
    path: str | Path, columns: list[str] | None = None, *, own: bool = False
) -> pa.Table:
    """Read a Parquet file and verify its checksums.

    These are of the pages read, and of the whole file if it was written by `parquet_writer`.

    Parameters
    ----------
    path
        The file.
    columns
        The columns to read; None for all.
    own
        Whether the checksum of `parquet_writer` is required.

    Raises
    ------
    DataError
        If the file is missing, damaged or not a Parquet file.
    """
    if own and os.path.exists(path) and _checksum_place(path) is None:
        raise DataError(
            f"{path} has no checksum: it was not written by morphpipe, or was edited since. Delete "
            "it and create it again."
        )
    with _reading(path):
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
        return table.replace_schema_metadata(_own_metadata(table.schema.metadata))


def parquet_rows(path: str | Path) -> int:
    """Read the number of rows of a Parquet file, verified as in `read_parquet`."""
    with _reading(path):
        return int(pq.read_metadata(path).num_rows)


def read_parquet_schema(path: str | Path) -> pa.Schema:
    """Read the schema and metadata of a Parquet file, verified as in `read_parquet`."""
    with _reading(path):
        schema = pq.read_schema(path)
        return schema.with_metadata(_own_metadata(schema.metadata))


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Verify a file's checksum, and turn subsequent errors into a `DataError`."""
    try:
        status = os.stat(path)
        _verify_checksum(str(path), status.st_ino, status.st_size, status.st_mtime_ns)
        yield
    except FileNotFoundError:
        raise DataError(f"The file {path} does not exist: create it again.") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({error}): it is damaged; delete it and create it "
            "again."
        ) from None


@lru_cache(maxsize=4096)
def _verify_checksum(path: str, *_: int) -> None:
    place = _checksum_place(path)
    if place is None:
        return
    with open(path, "rb") as stream:
        stream.seek(place)
        expected = stream.read(len(_BLANK))
    if _digest_around(path, place) != expected:
        raise DataError(
            f"{path} is damaged: its SHA-256 has changed since it was written; delete it and "
            "create it again."
        )


def _checksum_place(path: str | Path) -> int | None:
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - 8, 0))
        length = min(int.from_bytes(stream.read(4), "little") + 8, size)
        stream.seek(size - length)
        footer = stream.read()
    key = footer.rfind(CHECKSUM)
    # Thrift's compact protocol puts two bytes between key and value: type and length.
    place = key + len(CHECKSUM) + 2
    return None if key < 0 or place + len(_BLANK) > length else size - length + place


def _digest_around(path: str | Path, place: int) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while at_most := min(_CHUNK, place - stream.tell()):
            digest.update(stream.read(at_most))
        digest.update(_BLANK)
        stream.seek(len(_BLANK), os.SEEK_CUR)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest().encode()


def _own_metadata(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    """Metadata without the additions of `parquet_writer`."""
    added = (CHECKSUM, LINEAGE.encode())
    kept = {key: value for key, value in (metadata or {}).items() if key not in added}
    return kept or None


def write_json(content: Any, path: str | Path) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def sha256_of_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
