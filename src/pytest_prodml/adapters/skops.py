"""A file of skops -> `Predictor`: only types that skops trusts by itself, and those that the user names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_prodml._lazy import require
from pytest_prodml.adapters.model_files import loaded_by, read_model_file, require_safe
from pytest_prodml.adapters.predictor import LoadedPredictor, Predictor
from pytest_prodml.errors import InputError


def load_skops(
    path: Path,
    *,
    adapt: Callable[..., Predictor],
    allow: Iterable[str] = (),
    positive_label: object = None,
) -> Predictor:
    """Load a model that skops wrote.

    Parameters
    ----------
    path : Path
        The model file.
    adapt : callable
        `pytest_prodml.adapters.as_predictor`.
    allow : iterable of str
        Types beyond those that skops trusts, for example ``"sklearn.tree._tree.Tree"``.
    positive_label : object, optional
        Which of two classes the score is about; default the second.

    Raises
    ------
    InputError
        If its scan is not safe, it names other types, skops can not load it, or it holds no model.
    MissingDependencyError
        If skops is not installed.
    """
    allow = tuple(allow)
    file = read_model_file(path, allow=allow)
    if file.scan.format != "skops":
        raise InputError("is no file of skops", where=file.where, hint="write it with skops.io.dump")
    require_safe(file, hint='allow single names that you answer for: allow = ["module.name"]')
    skops = require("skops.io", extra="skops")
    others = loaded_by("skops", file, lambda: skops.get_untrusted_types(data=file.data))
    missing = [name for name in others if name not in allow]
    if missing:
        raise InputError(
            f"is not loaded, because skops does not trust {', '.join(missing[:5])}",
            where=file.where,
            hint=f"if you answer for it: allow = [{', '.join(map(repr, missing[:5]))}]",
        )
    model = loaded_by("skops", file, lambda: skops.loads(file.data, trusted=list(others)))
    if isinstance(model, (str, Path, type)):
        raise InputError(f"holds {type(model).__name__}, no model", where=file.where)
    inner = adapt(model, positive_label=positive_label)
    return LoadedPredictor(
        inner=inner,
        description=inner.description,
        subject=file.subject,
        facts={
            "loaded_by": "skops",
            "skops": str(require("skops", extra="skops").__version__),
            "allowed": list(allow),
        },
    )
