"""A pickle or a file of joblib -> `Predictor`, where somebody allows it and a scan calls it safe."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.model_files import ModelFile, loaded_by, read_model_file, require_safe
from pytest_prodml.adapters.predictor import LoadedPredictor, Predictor
from pytest_prodml.errors import InputError

_RECOMMENDED = "save it with skops.io.dump as .skops or export it to ONNX"
_ADAPT = Callable[..., Predictor]


def load_pickled(
    path: Path,
    *,
    adapt: _ADAPT,
    allow_pickle: bool = False,
    allow: Iterable[str] = (),
    positive_label: object = None,
) -> Predictor:
    """Load a pickle that imports and calls only what the lists allow.

    Parameters
    ----------
    path : Path
        The model file, compressed or not.
    adapt : callable
        `pytest_prodml.adapters.as_predictor`.
    allow_pickle : bool
        Whether a pickle may be opened at all.
    allow : iterable of str
        Names on top of the scan's own list, for example ``"my_package.steps.Clip"``.
    positive_label : object, optional
        Which of two classes the score is about; default the second.

    Raises
    ------
    InputError
        If it is not allowed, its scan is not safe, it can not be unpickled, or it holds no model.
    """
    if not allow_pickle:
        raise InputError(
            "a pickled model is not loaded: unpickling runs whatever code the file holds, so its digest "
            "would certify nothing",
            where=str(path),
            hint=f"{_RECOMMENDED}; or allow it with allow_pickle = true, after which a scan judges it; or "
            "load it yourself in the fixture prodml_model and return "
            "pytest_prodml.adapters.bind(model, path)",
        )
    file = read_model_file(path, allow=allow)
    if file.scan.format.rpartition(" ")[2] != "pickle":
        raise InputError(f"is no pickle ({file.scan.format})", where=file.where, hint=_RECOMMENDED)
    require_safe(
        file, hint=f'allow single names that you answer for (allow = ["module.name"]), or {_RECOMMENDED}'
    )
    model = loaded_by("pickle", file, lambda: _unpickled(file))
    if isinstance(model, (str, Path, type)):
        raise InputError(f"holds {type(model).__name__}, no model", where=file.where)
    inner = adapt(model, positive_label=positive_label)
    return LoadedPredictor(
        inner=inner,
        description=inner.description,
        # In the subject too: every gate of this model then says how it was loaded.
        subject=replace(
            file.subject,
            annotations={
                **file.subject.annotations,
                "loaded_by": "pickle",
                "allowed": list(file.scan.allowed),
            },
        ),
        facts={"loaded_by": "pickle", "allowed": list(file.scan.allowed)},
    )


def _unpickled(file: ModelFile) -> Any:  # noqa: ANN401 - any model
    needs_joblib = file.scan.format != "pickle" or any(
        name.startswith("joblib.numpy_pickle") for name in file.scan.globals
    )
    if needs_joblib:
        return require("joblib", extra="pipeline").load(io.BytesIO(file.data))
    return pickle.loads(file.data)  # noqa: S301 - allowed by the caller, and judged by the scan
