"""`View` -> one HTML file: no script, nothing to load, the same bytes for the same certificate."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from typing import TYPE_CHECKING

from pytest_prodml.render.model import View

if TYPE_CHECKING:
    from jinja2 import Environment

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def render_html(view: View, *, envelope: str = "") -> str:
    """Lay out a certificate as a page that needs nothing but itself.

    Parameters
    ----------
    view : View
        What to show.
    envelope : str
        The signed envelope in standard base64, put into the page's one data slot, so that the page carries
        its proof; empty leaves the slot empty.

    Returns
    -------
    str
        HTML with line feeds as line ends. A content security policy inside forbids scripts and loading of
        any kind; the style sheet is allowed by its hash.

    Raises
    ------
    ValueError
        If `envelope` is not base64: it stands in the page as it is.
    """
    if not _BASE64.fullmatch(envelope):
        raise ValueError("the envelope for the page's slot must be standard base64")
    environment = _environment()
    style = environment.get_template("page.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return environment.get_template("page.html").render(view=view, envelope=envelope, style_hash=digest)


@functools.cache
def _environment() -> Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_prodml.render"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
