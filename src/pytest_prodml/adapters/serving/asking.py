"""One request at a time, over a connection of its own: what a server says to whatever bytes it gets."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from dataclasses import dataclass

_MOST_ANSWER = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back: a status of HTTP with its body and one header, or None where nothing did."""

    status: int | None
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """Return a header's value; None without it."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class _Bytes:
    """What `http.client` reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        del mode
        return io.BytesIO(self._data)


def ask(host: str, port: int, data: bytes, *, seconds: float = 5.0, is_cut: bool = False) -> Said:
    """Send bytes, and read what comes back until the answer is complete or the time is over.

    A server may answer before it has read all, and close: what it said counts.
    """
    received = bytearray()
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=seconds) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            if is_cut:
                connection.shutdown(socket.SHUT_WR)
        while len(received) < _MOST_ANSWER and (part := connection.recv(2**16)):
            received += part
            if (found := _parsed(bytes(received))) is not None:
                return found
    found = _parsed(bytes(received), is_over=True)
    return Said(status=None) if found is None else found


def _parsed(data: bytes, *, is_over: bool = False) -> Said | None:
    """Return the answer if it is complete, or if nothing more will come."""
    if b"\r\n\r\n" not in data:
        return None
    answer = http.client.HTTPResponse(_Bytes(data))  # type: ignore[arg-type]
    try:
        answer.begin()
        if answer.length is None and not answer.chunked and not is_over:
            return None
        body = answer.read()
    except http.client.IncompleteRead as error:
        if not is_over:
            return None
        body = error.partial
    except (http.client.HTTPException, ValueError, OSError):
        return None
    return Said(status=answer.status, body=body, headers=tuple(answer.getheaders()))
