"""``"module:function"`` -> the function, and a `Predictor` that calls it with a frame."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from pytest_prodml.adapters.callable import CallablePredictor
from pytest_prodml.adapters.model_files import first_line
from pytest_prodml.adapters.predictor import LoadedPredictor
from pytest_prodml.errors import InputError

_NAMED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_entry(text: str) -> bool:
    """Say whether a text has the form ``package.module:function``."""
    return _NAMED.fullmatch(text) is not None


def load_entry(text: str) -> LoadedPredictor:
    """Adapt a function from a frame to scores that is given by its name.

    It has no subject: which bytes it reads is its own affair. `bind` declares them.

    Raises
    ------
    InputError
        If there is no such function, or it is a class.
    """
    function = named(text)
    if isinstance(function, type):
        raise InputError(
            "is a class, and a function from a frame to scores is expected",
            where=text,
            hint="name a function",
        )
    return LoadedPredictor(
        inner=CallablePredictor(function=function),
        description=text,
        facts={"adapter": "entry", "entry": text},
    )


def named(text: str) -> Callable[..., Any]:
    """Import what ``"module:function"`` names.

    Raises
    ------
    InputError
        If the text is none of that kind, the module can not be imported, or holds no such function.
    """
    if not is_entry(text):
        raise InputError(f"{text!r} names no function", where="entry", hint='write "package.module:function"')
    module, _, path = text.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - a module runs code of its own when it is imported
        raise InputError(
            f"can not be imported: {type(error).__name__}: {first_line(error)}", where=module
        ) from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise InputError(f"holds no {name!r}", where=module)
        found = getattr(found, name)
    if not callable(found):
        raise InputError(f"is {type(found).__name__} and can not be called", where=text)
    function: Callable[..., Any] = found
    return function
