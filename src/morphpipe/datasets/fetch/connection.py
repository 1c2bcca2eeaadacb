"""HTTP connections with time limits and checks of malformed answers."""

import math
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from morphpipe.core.errors import ConfigError, DataError

PATIENCE = 60.0
"""Default seconds to wait; see `patience`."""
SLOWEST = 1000
"""Minimum rate, bytes per second."""
VARIABLE = "MORPHPIPE_DOWNLOAD_PATIENCE"
_CONNECT = 20


def patience() -> float:
    """Return the seconds to wait for a server that sends little or nothing.

    Raises
    ------
    ConfigError
        If the environment variable is not a valid number of seconds.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return PATIENCE
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"{VARIABLE} is {text!r}: set it to seconds between 0 and 86400.")
    return seconds


def _slow() -> str:
    return (
        f"less than {SLOWEST} bytes a second arrived within {patience():g} s; to wait longer, set "
        f"the environment variable {VARIABLE} to more seconds"
    )


@contextmanager
def _deadline(connection: HTTPConnection) -> Iterator[None]:
    """Shut a connection whose answer does not begin in time.

    A socket's time limit applies to each read, so it does not stop headers sent byte by byte.
    """
    over = threading.Event()
    held = connection.sock

    def shut() -> None:
        over.set()
        with suppress(OSError):  # closed by the other side meanwhile
            held.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(patience(), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException):
        if not over.is_set():
            raise
    finally:
        timer.cancel()
    # Truncated headers look like headers with missing lines.
    if over.is_set():
        raise ConnectionResetError(_slow())


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with _deadline(self):
            return super().getresponse()


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with _deadline(self):
            return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _bound(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Adapter whose connections close if the headers take too long."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        # SOCKS proxies use their own connections.
        if not proxy.lower().startswith("socks"):
            _bound(manager)
        return manager


def _drop_body(response: requests.Response, *_: Any, **__: Any) -> None:
    """Close redirections, whose body requests would read in full."""
    if response.is_redirect:
        response.close()


def new_session() -> requests.Session:
    """Open a session that requests unencoded files and limits the wait for headers."""
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"
    session.hooks["response"].append(_drop_body)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


@contextmanager
def ask(
    session: requests.Session, url: str, headers: Mapping[str, str] | None = None
) -> Iterator[requests.Response]:
    """Request a file; read its content with `body`.

    Raises
    ------
    requests.RequestException
        If the server cannot be reached or does not answer in time.
    """
    try:
        response = session.get(url, headers=headers, stream=True, timeout=(_CONNECT, patience()))
    except requests.ReadTimeout:
        raise requests.ConnectionError(_slow()) from None
    with response:
        yield response


def announced(response: requests.Response) -> int | None:
    """Return the announced content length, or None.

    Raises
    ------
    requests.ConnectionError
        If it is not a number; retried like other network errors.
    """
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    # Proxies may repeat the header.
    said = {part.strip() for part in text.split(",")}
    number = said.pop()
    if said or not re.fullmatch("[0-9]{1,18}", number):
        raise requests.ConnectionError(f"the server says Content-Length: {text}, which is no size")
    return int(number)


def tells_its_end(response: requests.Response) -> bool:
    """Whether a connection that closes early would be detected."""
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return chunked or announced(response) is not None


def body(response: requests.Response, largest_piece: int) -> Iterator[bytes]:
    """Yield the content of an answer in pieces as they arrive.

    Raises
    ------
    DataError
        If the content is encoded although it was requested unencoded.
    requests.ConnectionError
        If the connection breaks or the rate stays below `SLOWEST` for `patience` seconds.
    """
    encoding = response.headers.get("Content-Encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        raise DataError(
            f"{response.url} answers with Content-Encoding: {encoding} although the file was "
            "requested unencoded, so its size cannot be checked. Set a mirror in the "
            "configuration, or download the file by hand."
        )
    limit = patience()
    waited, arrived = 0.0, 0
    while True:
        before = time.monotonic()
        try:
            # Other reads wait for a full piece, possibly for hours.
            piece = response.raw.read1(largest_piece, decode_content=False)
        except ReadTimeoutError:
            raise requests.ConnectionError(_slow()) from None
        except HTTPError as error:
            raise requests.ConnectionError(error) from None
        if not piece:
            return
        waited += time.monotonic() - before
        arrived += len(piece)
        yield piece
        if waited >= limit:
            if arrived < SLOWEST * waited:
                raise requests.ConnectionError(_slow())
            waited, arrived = 0.0, 0
