"""Any model -> `Predictor`: a file by its ending, an object by what it can do, a function by its name.

Nothing here unpickles unless somebody allows it: a pickle runs code of its own choosing when it is loaded.
"""

from __future__ import annotations

import builtins
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_prodml._lazy import loaded
from pytest_prodml.adapters.predictor import BoundPredictor, Predictor
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.records import Subject

__all__ = ["ADAPTERS", "Predictor", "as_predictor", "bind", "load_model", "model_options"]

_PICKLES = frozenset({".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"})
#: Parameters of loaders that are no choice of the user's.
_NO_OPTIONS = frozenset({"path", "adapt", "text", "model", "module", "booster", "name", "subject"})


def _load_onnx(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.onnx import load_onnx

    return load_onnx(path, **_checked(load_onnx, path, options))


def _load_xgboost(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.xgboost import load_xgboost

    return load_xgboost(path, **_checked(load_xgboost, path, options))


def _load_lightgbm(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.lightgbm import load_lightgbm

    return load_lightgbm(path, **_checked(load_lightgbm, path, options))


def _load_catboost(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.catboost import load_catboost

    return load_catboost(path, **_checked(load_catboost, path, options))


def _load_torch(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.torch import load_torch

    return load_torch(path, **_checked(load_torch, path, options))


def _load_skops(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.skops import load_skops

    return load_skops(path, adapt=as_predictor, **_checked(load_skops, path, options))


def _load_pickled(path: Path, options: Mapping[str, Any]) -> Predictor:
    from pytest_prodml.adapters.pickled import load_pickled

    return load_pickled(path, adapt=as_predictor, **_checked(load_pickled, path, options))


def _checked(load: Callable[..., Any], path: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, if the loader has them all; `path` is None for an object in memory."""
    known = [name for name in inspect.signature(load).parameters if name not in _NO_OPTIONS]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"this kind of model has no option {name!r}",
                where="model" if path is None else str(path),
                hint=f"did you mean {near[0]!r}?" if near else f"its options: {', '.join(known)}",
            )
    return dict(options)


#: Adapters for files: name -> (endings, loader). To add one: a module beside this one and a row here.
ADAPTERS: Mapping[str, tuple[frozenset[str], Callable[[Path, Mapping[str, Any]], Predictor]]] = {
    "onnx": (frozenset({".onnx"}), _load_onnx),
    "sklearn": (_PICKLES, _load_pickled),
    "skops": (frozenset({".skops"}), _load_skops),
    "xgboost": (frozenset({".json", ".ubj"}), _load_xgboost),
    "lightgbm": (frozenset({".txt", ".lgb"}), _load_lightgbm),
    "catboost": (frozenset({".cbm"}), _load_catboost),
    "torch": (frozenset({".pt2", ".pt", ".pth"}), _load_torch),
}


def model_options(
    path: Path,
    *,
    adapter: str | None,
    positive_label: object,
    allow_pickle: bool,
    allow: Iterable[str],
) -> dict[str, Any]:
    """Return those of a project's settings that the loader of a file takes."""
    suffix = path.suffix.lower()
    kind = adapter or next((name for name, (endings, _) in ADAPTERS.items() if suffix in endings), "")
    options: dict[str, Any] = {}
    if kind in {"sklearn", "skops", "xgboost", "lightgbm", "catboost"} and positive_label is not None:
        options["positive_label"] = positive_label
    if kind in {"sklearn", "skops", "torch"}:
        options["allow"] = tuple(allow)
    if kind == "sklearn":
        options["allow_pickle"] = allow_pickle
    return options


def load_model(path: Path | str, *, adapter: str | None = None, **options: Any) -> Predictor:  # noqa: ANN401
    """Load a model from a file, or a function by its name.

    Parameters
    ----------
    path : Path or str
        The model file, or ``"package.module:function"`` where no file has that name.
    adapter : str, optional
        Name of the adapter (see `ADAPTERS`); default by the file's ending.
    **options
        Passed to the adapter, for example ``columns=[...]`` or ``providers=[...]`` of `onnx.load_onnx`.

    Raises
    ------
    InputError
        If the file is missing, of an unknown kind, broken, not called safe by a scan, or a pickle that nobody
        allows.
    ConfigurationError
        If there is no such adapter, or it has no such option.
    """
    if adapter is not None and adapter not in ADAPTERS:
        near = difflib.get_close_matches(adapter, ADAPTERS, n=1)
        raise ConfigurationError(
            f"there is no model adapter {adapter!r}",
            where="adapter",
            hint=f"did you mean {near[0]!r}?" if near else f"known adapters: {', '.join(ADAPTERS)}",
        )
    if isinstance(path, str) and adapter is None and not Path(path).exists():
        from pytest_prodml.adapters.entry import is_entry, load_entry

        if is_entry(path):
            return load_entry(path, **_checked(load_entry, Path(path), options))
    path = Path(path)
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
    known = sorted(ending for endings, load in ADAPTERS.values() for ending in endings if endings != _PICKLES)
    meant = difflib.get_close_matches(path.suffix.lower(), known, n=1)
    raise InputError(
        f"no adapter loads files that end in {path.suffix or '(nothing)'}",
        where=str(path),
        hint=f"{f'did you mean {meant[0]}? ' if meant else ''}known: {', '.join(known)}; or load it yourself "
        "in the fixture prodml_model and return pytest_prodml.adapters.bind(model, path)",
    )


def as_predictor(
    model: Any,  # noqa: ANN401 - any model
    *,
    positive_label: object = None,
    **options: Any,  # noqa: ANN401
) -> Predictor:
    """Adapt an object in memory.

    Parameters
    ----------
    model : object
        A `Predictor` (returned as it is), an onnxruntime session, a Booster of XGBoost or LightGBM, a model
        of CatBoost, a module or program of torch, anything with scikit-learn's methods, a function from rows
        to scores, its name ``"package.module:function"``, or a path.
    positive_label : object, optional
        Which of a binary classifier's classes its score is about; default the second.
    **options
        Of the adapter for the object: a module of torch needs ``columns=[...]`` and ``activation=...``.

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
        _no_options(model, options)
        return model
    if isinstance(model, (str, Path)):
        if positive_label is not None:
            options["positive_label"] = positive_label
        return load_model(model, **options)
    native = _native(model, positive_label, options)
    if native is not None:
        return native
    _no_options(model, options)
    runtime = loaded("onnxruntime")
    if runtime is not None and isinstance(model, runtime.InferenceSession):
        from pytest_prodml.adapters.onnx import from_session

        return from_session(model)
    if any(hasattr(model, method) for method in ("predict_proba", "decision_function", "predict")):
        from pytest_prodml.adapters.sklearn import SklearnPredictor

        return SklearnPredictor(model=model, positive_label=positive_label)
    # The module `callable` beside this one hides the built-in of that name as soon as it is imported.
    if builtins.callable(model):
        from pytest_prodml.adapters.callable import CallablePredictor

        return CallablePredictor(function=model)
    raise InputError(
        f"no adapter knows a model of type {type(model).__module__}.{type(model).__qualname__}",
        where="model",
        hint="return a function from a frame to scores, or an object with predict_proba",
    )


def _native(
    model: Any,  # noqa: ANN401 - any model
    positive_label: object,
    options: Mapping[str, Any],
) -> Predictor | None:
    """Adapt an object of a library that has an adapter of its own, if its library is loaded."""
    xgboost, lightgbm = loaded("xgboost"), loaded("lightgbm")
    catboost, torch = loaded("catboost"), loaded("torch")
    if xgboost is not None and isinstance(model, xgboost.Booster):
        from pytest_prodml.adapters import xgboost as boosters

        given = _checked(boosters.from_booster, None, options)
        return boosters.from_booster(model, positive_label=positive_label, **given)
    if lightgbm is not None and isinstance(model, lightgbm.Booster):
        from pytest_prodml.adapters import lightgbm as light_boosters

        given = _checked(light_boosters.from_booster, None, options)
        return light_boosters.from_booster(model, positive_label=positive_label, **given)
    if catboost is not None and isinstance(model, catboost.CatBoost):
        from pytest_prodml.adapters import catboost as cat_models

        given = _checked(cat_models.from_model, None, options)
        return cat_models.from_model(model, positive_label=positive_label, **given)
    if torch is not None and isinstance(model, (torch.nn.Module, torch.export.ExportedProgram)):
        from pytest_prodml.adapters import torch as modules

        return modules.from_module(model, **{"columns": None, **_checked(modules.from_module, None, options)})
    return None


def _no_options(model: object, options: Mapping[str, Any]) -> None:
    for name in options:
        raise ConfigurationError(
            f"a model of type {type(model).__qualname__} has no option {name!r}", where="model"
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
