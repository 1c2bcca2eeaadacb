"""Connections to servers: limits on time without progress, and answers that make no sense."""

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
"""Seconds after which a server is given up that has sent less than `SLOWEST` in them."""
SLOWEST = 1000
"""Bytes a second."""
VARIABLE = "MORPHPIPE_DOWNLOAD_PATIENCE"
_CONNECT = 20


def patience() -> float:
    """Seconds to wait for a server that sends little or nothing.

    Raises
    ------
    ConfigError
        When the environment variable that sets them holds something else.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return PATIENCE
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"{VARIABLE} is {text!r}: give seconds, more than 0 and up to 86400.")
    return seconds


def _slow() -> str:
    return (
        f"less than {SLOWEST} bytes a second arrived within {patience():g} s; to wait longer, set "
        f"the environment variable {VARIABLE} to more seconds"
    )


@contextmanager
def _deadline(connection: HTTPConnection) -> Iterator[None]:
    """Shut a connection whose answer does not begin in time.

    The time limit of a socket is one for each read: it never ends a server that sends its headers
    byte by byte.
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
    # Headers that were cut off look like headers without the missing lines.
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
    """requests' own, with connections that end when the headers take too long."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        # SOCKS has connections of its own.
        if not proxy.lower().startswith("socks"):
            _bound(manager)
        return manager


def _drop_body(response: requests.Response, *_: Any, **__: Any) -> None:
    """Close redirections: requests reads all that a server sends along with them."""
    if response.is_redirect:
        response.close()


def new_session() -> requests.Session:
    """A session that asks for files as they are, and does not wait for headers without end."""
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
    """Ask for a file; its content is read by `body`.

    Raises
    ------
    requests.RequestException
        When the server cannot be reached or its answer does not begin in time.
    """
    try:
        response = session.get(url, headers=headers, stream=True, timeout=(_CONNECT, patience()))
    except requests.ReadTimeout:
        raise requests.ConnectionError(_slow()) from None
    with response:
        yield response


def announced(response: requests.Response) -> int | None:
    """The length that an answer says its content has, or none.

    Raises
    ------
    requests.ConnectionError
        When it is no number, which is tried again like other faults of the network.
    """
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    # Proxies may repeat the line.
    said = {part.strip() for part in text.split(",")}
    number = said.pop()
    if said or not re.fullmatch("[0-9]{1,18}", number):
        raise requests.ConnectionError(f"the server says Content-Length: {text}, which is no size")
    return int(number)


def tells_its_end(response: requests.Response) -> bool:
    """Whether a connection that closes early would be noticed."""
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return chunked or announced(response) is not None


def body(response: requests.Response, largest_piece: int) -> Iterator[bytes]:
    """The content of an answer, in pieces as they arrive.

    Raises
    ------
    DataError
        When it is encoded, though it was asked for as it is.
    requests.ConnectionError
        When the connection breaks, or less than `SLOWEST` arrives in `patience` seconds.
    """
    encoding = response.headers.get("Content-Encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        raise DataError(
            f"{response.url} answers with Content-Encoding: {encoding}, though the file was asked "
            "for as it is: what arrives cannot be compared with its size. Name a mirror in the "
            "configuration, or fetch the file by hand."
        )
    limit = patience()
    waited, arrived = 0.0, 0
    while True:
        before = time.monotonic()
        try:
            # Other reads wait until a whole piece is there, for hours where bytes drip.
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
