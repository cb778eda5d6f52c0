"""Any model -> `Predictor`: a file by its ending, an object by what it can do.

Nothing here unpickles: a pickle runs code of its own choosing when it is loaded.
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_prodml._lazy import loaded
from pytest_prodml.adapters.predictor import BoundPredictor, Predictor
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.records import Subject

__all__ = ["ADAPTERS", "Predictor", "as_predictor", "bind", "load_model"]

_PICKLES = frozenset({".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"})


def _load_onnx(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.onnx import load_onnx

    return load_onnx(path, **options)


def _refuse_pickle(path: Path, options: Mapping[str, Any]) -> Predictor:
    del options
    raise InputError(
        "a pickled model is not loaded: unpickling runs whatever code the file holds, so its digest would "
        "certify nothing",
        where=str(path),
        hint="export it (for example to ONNX with skl2onnx), or load it yourself in the fixture prodml_model "
        "and return pytest_prodml.adapters.bind(model, path)",
    )


#: Adapters for files: name -> (endings, loader). To add one: a module beside this one and a row here.
ADAPTERS: Mapping[str, tuple[frozenset[str], Callable[[Path, Mapping[str, Any]], Predictor]]] = {
    "onnx": (frozenset({".onnx"}), _load_onnx),
    "sklearn": (_PICKLES, _refuse_pickle),
}


def load_model(path: Path, *, adapter: str | None = None, **options: Any) -> Predictor:  # noqa: ANN401
    """Load a model from a file.

    Parameters
    ----------
    path : Path
        The model file.
    adapter : str, optional
        Name of the adapter (see `ADAPTERS`); default by the file's ending.
    **options
        Passed to the adapter, for example ``columns=[...]`` or ``providers=[...]`` of `onnx.load_onnx`.

    Raises
    ------
    InputError
        If the file is missing, of an unknown kind, broken, or a pickle.
    ConfigurationError
        If there is no such adapter.
    """
    path = Path(path)
    if adapter is not None and adapter not in ADAPTERS:
        near = difflib.get_close_matches(adapter, ADAPTERS, n=1)
        raise ConfigurationError(
            f"there is no model adapter {adapter!r}",
            where="adapter",
            hint=f"did you mean {near[0]!r}?" if near else f"known adapters: {', '.join(ADAPTERS)}",
        )
    if not path.exists():
        raise InputError(
            "the model file does not exist", where=str(path), hint="build the model, or correct its path"
        )
    if not path.is_file():
        raise InputError("is not a regular file", where=str(path))
    if adapter is not None:
        return ADAPTERS[adapter][1](path, options)
    for endings, load in ADAPTERS.values():
        if path.suffix.lower() in endings:
            return load(path, options)
    known = sorted(ending for endings, load in ADAPTERS.values() for ending in endings if load is _load_onnx)
    raise InputError(
        f"no adapter loads files that end in {path.suffix or '(nothing)'}",
        where=str(path),
        hint=f"known: {', '.join(known)}; or load it yourself in the fixture prodml_model and return "
        "pytest_prodml.adapters.bind(model, path)",
    )


def as_predictor(model: Any, *, positive_label: object = None) -> Predictor:  # noqa: ANN401 - any model
    """Adapt an object in memory.

    Parameters
    ----------
    model : object
        A `Predictor` (returned as it is), an onnxruntime session, anything with scikit-learn's methods, a
        function from rows to scores, or a path.
    positive_label : object, optional
        Which of a binary classifier's classes its score is about; default the second.

    Raises
    ------
    InputError
        If no adapter knows the object.
    """
    if isinstance(model, type):
        raise InputError(
            f"expected a model, got the class {model.__name__}", where="model", hint="give a fitted instance"
        )
    if isinstance(model, Predictor):
        return model
    if isinstance(model, (str, Path)):
        return load_model(Path(model))
    runtime, torch = loaded("onnxruntime"), loaded("torch")
    if runtime is not None and isinstance(model, runtime.InferenceSession):
        from pytest_prodml.adapters.onnx import from_session

        return from_session(model)
    if any(hasattr(model, method) for method in ("predict_proba", "decision_function", "predict")):
        from pytest_prodml.adapters.sklearn import SklearnPredictor

        return SklearnPredictor(model=model, positive_label=positive_label)
    # The module `callable` beside this one hides the built-in of that name as soon as it is imported.
    if builtins.callable(model) and not (torch is not None and isinstance(model, torch.nn.Module)):
        from pytest_prodml.adapters.callable import CallablePredictor

        return CallablePredictor(function=model)
    raise InputError(
        f"no adapter knows a model of type {type(model).__module__}.{type(model).__qualname__}",
        where="model",
        hint="return a function from a frame to scores, or an object with predict_proba",
    )


def bind(model: Any, path: Path) -> Predictor:  # noqa: ANN401 - any model
    """Declare that an object in memory is the content of a file.

    Evidence then counts for that file. That the object was made from it is the caller's word; the runtime
    facts of the evidence say ``binding: declared``.

    Raises
    ------
    InputError
        If the file can not be read, or the model was loaded from a file with another digest.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("is not a regular file that a model could be bound to", where=str(path))
    try:
        subject = Subject(name=path.name, digest={"sha256": sha256_hex(path.read_bytes())})
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    inner = as_predictor(model)
    if inner.subject is not None and inner.subject.digest != subject.digest:
        raise InputError(
            f"the model was loaded from {inner.subject.name}, whose bytes differ from this file's",
            where=str(path),
        )
    if isinstance(inner, BoundPredictor):
        return replace(inner, subject=subject)
    return BoundPredictor(inner=inner, subject=subject)
