"""Parallel download of a plate's many files into one archive."""

import io
import threading
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import requests
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch.connection import announced, ask, body, new_session, tells_its_end
from morphpipe.datasets.fetch.download import local_path, require_space, retry, storing
from morphpipe.datasets.fetch.file_kinds import CutShortError, WrongKindError, check_kind
from morphpipe.datasets.fetch.resumable_zip import ResumableZip, check_member_name

_CONNECTIONS = 8
# Files kept in memory while waiting for earlier ones.
_AHEAD = 4 * _CONNECTIONS
_LARGEST = 1 << 28
_CHUNK = 1 << 16


def fetch_plate(base_url: str, keys: Sequence[str], path: str | Path) -> int:
    """Download files of a public bucket into one stored zip, named by their keys.

    Cluster file systems limit the number of files, and a plate has some 17,000 planes. An
    interrupted call resumes from `<path>.part`.

    Parameters
    ----------
    base_url
        The bucket's address, without credentials, or a mirror of it: `https:`, `http:`, `file:`.
    keys
        Keys to download; duplicates are downloaded once.
    path
        The archive.

    Returns
    -------
    int
        Number of files in the archive.

    Raises
    ------
    DataError
        If a file cannot be downloaded or the disk is too small. The required space is estimated
        from the first file, since planes of a plate have similar sizes.
    """
    path = Path(path)
    keys = list(dict.fromkeys(keys))
    for key in keys:
        check_member_name(key)
    with storing(path), ResumableZip(path) as archive:
        archive.keep(_agreeing([member.filename for member in archive.members], keys))
        rest = keys[len(archive.members) :]
        sizes = [member.file_size for member in archive.members]
        with tqdm(desc=path.name, total=len(keys), initial=len(sizes), unit="file") as progress:
            for number, (key, data) in enumerate(_in_order(base_url, rest)):
                if number == 0:
                    require_space(path, len(data) * len(rest), f"{len(rest)} files of {base_url}")
                archive.add(
                    key, data, crc=zlib.crc32(data), size=len(data), method=zipfile.ZIP_STORED
                )
                progress.update()
        archive.finish()
    return len(keys)


def _agreeing(names: list[str], keys: list[str]) -> int:
    """Number of files in the part that match the first keys."""
    for number, (name, key) in enumerate(zip(names, keys, strict=False)):
        if name != key:
            return number
    return min(len(names), len(keys))


def _in_order(base_url: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    read = _reader(base_url)
    waiting: deque[tuple[str, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        try:
            for key in keys:
                waiting.append((key, pool.submit(read, key)))
                if len(waiting) == _AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _reader(base_url: str) -> Callable[[str], bytes]:
    """A function that downloads a key, with one connection per thread."""
    own = threading.local()

    def read(key: str) -> bytes:
        url = f"{base_url.rstrip('/')}/{quote(key)}"
        local = local_path(url)
        if local is not None:
            if local.stat().st_size > _LARGEST:
                raise _too_large(url)
            data = local.read_bytes()
            _check(data, key, url, ends=True)
            return data
        if not hasattr(own, "session"):
            own.session = new_session()
        return retry(
            lambda: _get(own.session, url, key),
            url,
            "The partial download is kept: rerun to resume.",
        )

    return read


def _too_large(url: str) -> DataError:
    return DataError(
        f"{url} has more than {_LARGEST >> 20} MB, too much for an image: check the address."
    )


def _get(session: requests.Session, url: str, key: str) -> bytes:
    with ask(session, url) as response:
        response.raise_for_status()
        size = announced(response)
        content = bytearray()
        for piece in body(response, _CHUNK):
            content += piece
            if len(content) > _LARGEST:
                raise _too_large(url)
        if size is not None and len(content) != size:
            raise requests.ConnectionError(f"{len(content)} of {size} bytes arrived")
        data, ends = bytes(content), tells_its_end(response)
    _check(data, key, url, ends=ends)
    return data


def _check(data: bytes, key: str, url: str, *, ends: bool) -> None:
    """Reject files that are not of the image type in their name.

    Images damaged at their source are kept, and excluded later; possibly truncated ones are not.
    """
    try:
        found = check_kind(io.BytesIO(data), key)
    except WrongKindError as error:
        raise DataError(
            f"{url} is not an image of a plate: {error}. Check the address, or set a mirror in the "
            "configuration."
        ) from None
    except CutShortError as error:
        if not ends:
            raise requests.ConnectionError(f"the connection closed early: {error}") from None
        return
    if not ends and found != "proven":
        raise requests.ConnectionError(
            "the server does not announce the file's length, so it may be incomplete"
        )
