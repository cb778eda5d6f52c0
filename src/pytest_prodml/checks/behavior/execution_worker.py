"""The program of the fresh process: a batch and where the model comes from in, answers out.

Started by `execution_process` in a directory that only this user can read, with ``-P``: this file's own
directory must not hide modules of the standard library.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any


def main(directory: Path) -> int:
    """Load the model, ask it, and write its answers; what goes wrong in between is written in their place."""
    spec = json.loads((directory / "spec.json").read_text(encoding="utf-8"))
    sys.path[:] = spec["paths"]
    import numpy as np

    from pytest_prodml.checks.behavior.execution_answers import Refusal, answer_of

    warnings.simplefilter("ignore")
    try:
        predictor = _load(spec, directory)
    except Exception as error:  # noqa: BLE001 - whatever the project's function does
        told = " ".join(str(error).split())[:300]
        return _tell(directory, {"stage": "load", "told": f"{type(error).__name__}: {told}"})
    with (directory / "batch.pickle").open("rb") as file:
        batch = pickle.load(file)  # noqa: S301 - written by the process that started this one
    answer = answer_of(predictor, batch)
    if isinstance(answer, Refusal):
        return _tell(directory, {"stage": "ask", "told": str(answer)})
    np.save(directory / "scores.npy", answer.scores, allow_pickle=False)
    labels = answer.labels
    np.save(directory / "labels.npy", labels.astype(str) if labels.dtype.hasobject else labels)
    digest = None if predictor.subject is None else dict(predictor.subject.digest)
    return _tell(directory, {"stage": "done", "told": "", "digest": digest})


def _load(spec: dict[str, Any], directory: Path) -> Any:  # noqa: ANN401 - a Predictor
    from pytest_prodml.adapters import as_predictor, load_model

    if spec["factory"] is not None:
        import importlib

        module, _, name = spec["factory"].partition(":")
        made: Any = importlib.import_module(module)
        for part in name.split("."):
            made = getattr(made, part)
        return as_predictor(made(), positive_label=spec["positive_label"])
    if spec["path"] is not None:
        return load_model(Path(spec["path"]), **spec["options"])
    with (directory / "model.pickle").open("rb") as file:
        return pickle.load(file)  # noqa: S301 - asked for with process="pickle", written by the same user


def _tell(directory: Path, found: dict[str, Any]) -> int:
    (directory / "answer.json").write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
