"""A revocation list from a file, or from an https address that the user gave: bounded in size and time.

This is the only module of the package that can dial out, and it loads nothing until it has to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_prodml.certificate.digest import open_regular
from pytest_prodml.codec import ENVELOPE_LIMITS
from pytest_prodml.errors import InputError
from pytest_prodml.verify.report import Reason, RefusalError

if TYPE_CHECKING:
    import http.client
    import urllib.request

_SECONDS = 20.0


def read_revocations_from(source: str, *, seconds: float = _SECONDS) -> bytes:
    """Return the bytes of a revocation list.

    Parameters
    ----------
    source : str
        A path, or a URL. Of URLs only ``https`` is taken, and a redirect must stay with it.
    seconds : float
        Time for the whole transfer.

    Raises
    ------
    RefusalError
        ``revocation-missing``: whatever the reason is for which there are no bytes.
    """
    try:
        return _within(seconds, source) if "://" in source else _read(Path(source))
    except InputError as error:
        raise RefusalError(Reason(code="revocation-missing", message=error.what, path=source)) from None


def _read(path: Path) -> bytes:
    with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(ENVELOPE_LIMITS.size_bytes + 1)


def _within(seconds: float, url: str) -> bytes:
    """Fetch in a thread that is left behind when the time is over.

    The time limit of a socket is one for each read: a server that drips would never meet it.
    """
    import threading

    if not url.startswith("https://"):
        raise InputError("only a file or an https address is read")
    found: list[bytes | Exception] = []

    def work() -> None:
        try:
            found.append(_fetch(url, seconds))
        except Exception as error:  # noqa: BLE001 - raised again where somebody waits for it
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise InputError(f"can not be fetched within {seconds:g} seconds")
    result = found[0]
    if isinstance(result, InputError):
        raise result
    if isinstance(result, Exception):
        raise InputError(f"can not be fetched: {result}")
    return result


def _fetch(url: str, seconds: float) -> bytes:
    import ssl
    import urllib.error
    import urllib.request

    class OnlyHttps(urllib.request.HTTPRedirectHandler):
        max_redirections = 3

        def redirect_request(
            self,
            req: urllib.request.Request,
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: http.client.HTTPMessage,
            newurl: str,
        ) -> urllib.request.Request | None:
            if not newurl.startswith("https://"):
                fp.close()
                raise InputError("the server redirects to an address that is not https")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    # Without the handlers for http, ftp, file and data that `build_opener` would add.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        OnlyHttps(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(url, timeout=seconds) as response:
            data = bytes(response.read(ENVELOPE_LIMITS.size_bytes + 1))
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(f"the server answers {error.code}") from None
    if len(data) > ENVELOPE_LIMITS.size_bytes:
        raise InputError(f"has more than {ENVELOPE_LIMITS.size_bytes:,} bytes")
    return data
