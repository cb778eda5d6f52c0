"""A certificate -> its page and summary, bound to it; signed and written so that all are there or none."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.certificate.build import issue, write_atomically
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.forms import fill_page, rendering_of
from pytest_prodml.certificate.signers import Signer
from pytest_prodml.codec import sha256_hex
from pytest_prodml.records import Certificate

if TYPE_CHECKING:
    from pytest_prodml.render.model import View

#: The views first: whoever sees a certificate.json can rely on the others being there.
CERTIFICATE = "certificate.json"
VIEWS = ("certificate.html", "summary.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A certificate as it was signed, and what the views show of it."""

    certificate: Certificate
    view: View


def publish(certificate: Certificate, signers: Sequence[Signer], directory: Path) -> Published:
    """Make the views, sign, and write ``certificate.json``, ``certificate.html`` and ``summary.md``.

    Parameters
    ----------
    certificate : Certificate
        The decision with its evidence; the page is added to its `renderings`.
    signers : sequence of Signer
        Without one the certificate is an unsigned record.
    directory : Path
        An existing directory. ``certificate.json`` appears last: where it is, all are.

    Raises
    ------
    ProdmlError
        If the records can not become a document, or a key can not sign.
    OSError
        If a file can not be written. Then none is left.
    """
    from pytest_prodml.render.html import render_html
    from pytest_prodml.render.markdown import render_markdown
    from pytest_prodml.render.view import view

    keyids = [signer.keyid for signer in signers]
    # The digest of the payload covers the digest of the page, so the page can not show it.
    blank = view(certificate, keyids=keyids, payload_digest="", signed=bool(signers))
    empty = render_html(blank).encode("utf-8")
    certificate = replace(certificate, renderings=(rendering_of(empty),))
    envelope = issue(certificate, signers)
    page = view(
        certificate,
        keyids=keyids,
        payload_digest=sha256_hex(parse_envelope(envelope).payload),
        signed=bool(signers),
    )
    documents = (fill_page(empty, envelope), render_markdown(page).encode("utf-8"))
    try:
        for name, document in zip(VIEWS, documents, strict=True):
            write_atomically(directory / name, document)
        write_atomically(directory / CERTIFICATE, envelope)
    except BaseException:
        remove_certificate(directory)
        raise
    return Published(certificate=certificate, view=page)


def remove_certificate(directory: Path) -> bool:
    """Remove an earlier certificate and its views; tell whether there was one.

    Raises
    ------
    OSError
        If one is there and can not be removed.
    """
    found = False
    for name in (CERTIFICATE, *VIEWS):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (directory / name).unlink()
            found = True
    return found
