"""Heavy libraries, imported when a check needs them and not before."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from pytest_prodml.errors import MissingDependencyError


def require(module: str, *, extra: str) -> Any:  # noqa: ANN401 - the module's own attributes are its type
    """Import `module`, or say which extra installs it.

    Parameters
    ----------
    module : str
        Dotted name, for example ``"pandera.pandas"``.
    extra : str
        The extra of this distribution that installs it.

    Raises
    ------
    MissingDependencyError
        If the top-level package of `module` is not installed. An import that fails *inside* an installed
        package is that package's own error and is passed on as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise MissingDependencyError(
            f"this check needs the package {top!r}, which is not installed",
            hint=f'pip install "pytest-prodml[{extra}]"',
        ) from None


def loaded(module: str) -> ModuleType | None:
    """Return `module` if some other code imported it already.

    An object can only be an instance of a library's class when that library is loaded, so type questions
    are asked through this and never import anything.
    """
    return sys.modules.get(module)
