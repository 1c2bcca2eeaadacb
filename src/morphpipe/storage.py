"""Writing files so that a killed job leaves nothing that looks finished."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from morphpipe.errors import DataError


def _flush(path: Path) -> None:
    """Force a file's or a directory's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place once the block has ended well.

    The caller creates a file or a directory there. It is flushed to the disk and renamed on
    success, and removed when the block raises. The suffix is kept, since some writers choose the
    format by it.

    Parameters
    ----------
    path
        Where the result shall appear. Missing parent directories are made. An existing file is
        replaced in one step; an existing directory is removed just before the rename.

    Yields
    ------
    Path
        The temporary path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
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
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a Parquet file atomically, with page checksums (CRC32) on."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_parquet(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file and verify the checksum of every page that is read.

    Raises
    ------
    DataError
        When the file is missing, damaged or no Parquet file.
    """
    try:
        return pq.read_table(path, columns=columns, page_checksum_verification=True)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}: make it again.") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({error}): delete it and make it again."
        ) from None


def write_json(content: Any, path: str | Path) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def sha256_of_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
