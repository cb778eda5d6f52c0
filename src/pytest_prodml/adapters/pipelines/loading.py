"""Load a saved model in a fresh process and ask it. Runs as a program of its own.

Standard input holds the request (JSON): where the rows are, what loads the model, where the scores go.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.adapters.pipelines.sources import imported
from pytest_prodml.adapters.predictor import Scores
from pytest_prodml.adapters.processes import end_of, end_with_group, inherited_variables
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def answers_of_a_fresh_process(
    path: Path,
    rows: pd.DataFrame,
    *,
    load: str | None,
    root: Path,
    paths: Sequence[Path],
    seconds: float,
    positive_label: object = None,
) -> Scores:
    """Return what a model says that another process has loaded.

    Parameters
    ----------
    path : Path
        What was saved.
    rows : DataFrame
        What it is asked for.
    load : str, optional
        ``"module:function"``: takes the path, returns the model; default the adapter for the file's ending.
    root, paths : Path, sequence of Path
        Where the process runs, and where modules are.
    seconds : float
        How long it may take.
    positive_label : object, optional
        Of a classifier, as for `as_predictor`.

    Raises
    ------
    InputError
        If the process can not load the model, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="prodml-load-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        (directory / "rows").write_bytes(pickle.dumps((rows, positive_label)))
        request = {
            "path": str(path.resolve()),
            "load": load,
            "paths": [str(each.resolve()) for each in paths],
            "directory": name,
        }
        with (directory / "stderr").open("wb") as told:
            process = subprocess.Popen(  # noqa: S603 - this interpreter and our own program
                [sys.executable, "-P", "-m", "pytest_prodml.adapters.pipelines.loading", json.dumps(request)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                cwd=root,
                env=inherited_variables(),
                start_new_session=True,
            )
        has_ended = end_with_group(process, may_end_by_itself=True, seconds=seconds)
        if not has_ended:
            raise InputError(f"a fresh process took more than {seconds:g} s to load it", where=path.name)
        if process.returncode != 0 or not (directory / "scores.npy").is_file():
            told_end = end_of(process.returncode, directory / "stderr")
            raise InputError(f"a fresh process that loads it {told_end}", where=path.name)
        scores: Scores = np.load(directory / "scores.npy", allow_pickle=False)
        return scores


def main() -> int:
    """Load, ask, and leave the scores."""
    request = json.loads(sys.argv[1])
    sys.path[:0] = request["paths"]
    directory, path = Path(request["directory"]), Path(request["path"])
    rows, positive_label = pickle.loads((directory / "rows").read_bytes())  # noqa: S301 - from our own process
    if request["load"] is None:
        model = load_model(path)
    else:
        model = as_predictor(imported(request["load"])(path), positive_label=positive_label)
    np.save(directory / "scores.npy", model.predict_score(rows), allow_pickle=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
