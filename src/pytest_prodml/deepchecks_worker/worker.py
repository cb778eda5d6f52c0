"""Runs deepchecks in an interpreter of its own: a directory with a request and tables in, `answer.json` out.

This file is never imported. The host starts it as ``python -P -s worker.py DIRECTORY`` with an environment
that holds the packages of ``requirements.txt`` beside it, so it knows nothing of the package that ships it.

`DIRECTORY` holds ``request.json``, Parquet tables and, for a suite of one's own, its module. The answer says
of each check whether it ran, what its conditions found, and on how many rows. What a check can not do is an
``error``; that it does not apply to these tables is ``refused``: two states, and neither is a pass. Exit
status 0 stands for a whole answer, 3 for an answer that says in one sentence why there is none.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
#: Packages whose version can change what a check says.
STACK = ("deepchecks", "numpy", "pandas", "plotly", "pyarrow", "scikit-learn", "scipy", "statsmodels")
#: They ask the model for new answers, and only answers that were given before can cross.
NEEDS_MODEL = ("BoostingOverfit", "ModelInferenceTime", "UnusedFeatures")
#: How deepchecks 0.19.1 says that a check does not apply to what it was given. Anything else is an error.
REFUSALS = (
    "Check is irrelevant for",
    "Check is relevant for models of type",
    "Dataset does not contain a datetime",
    "Dataset does not contain a label column",
    "Dataset does not contain an index",
    "Predicted probabilities not supplied",
)
LARGEST_FILE_BYTES = 64 * 2**20
_LARGEST_VALUE_BYTES = 8 * 2**10
_LARGEST_INTEGER = 2**53 - 1
_MOST_ITEMS = 50


class RefusalError(Exception):
    """The request can not be worked on; the message is for the reader."""


def main(arguments: list[str]) -> int:
    """Answer the request in a directory, or with ``--versions`` tell what is installed."""
    if arguments == ["--versions"]:
        silence_telemetry()
        import deepchecks.tabular.suites  # noqa: F401 - that it can be imported is the question

        sys.stdout.write(json.dumps(versions()))
        return 0
    directory = Path(arguments[0])
    request = json.loads((directory / "request.json").read_bytes())
    limit_resources(request["memory_bytes"])
    silence_telemetry()
    sys.addaudithook(refuse_network)
    try:
        answer = {**work(request, directory), "complete": True}
    except RefusalError as refusal:
        answer = {"failure": str(refusal)}
    except Exception as error:  # noqa: BLE001 - the host is told, and nothing passes by it
        answer = {"failure": in_words(error)}
    answer |= {"format": FORMAT, "id": request["id"], **versions()}
    partial = directory / "answer.partial"
    partial.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
    partial.replace(directory / "answer.json")
    return 3 if "failure" in answer else 0


def limit_resources(memory_bytes: int | None) -> None:
    """Bound the address space and the size of any file, where the system knows such limits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def silence_telemetry() -> None:
    """Set the variables by which deepchecks is told not to ask its makers for a newer version."""
    os.environ["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] = "true"
    os.environ["DISABLE_LATEST_VERSION_CHECK"] = "true"


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every way out of this machine; sockets that are files stay."""
    if event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        raise PermissionError("the deepchecks worker has no network")
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"} and isinstance(arguments[1], tuple):
        raise PermissionError("the deepchecks worker has no network")


def versions() -> dict[str, Any]:
    """Return the interpreter and the packages that can change an answer."""
    found = {}
    for name in STACK:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "versions": found}


def other_versions(wanted: Mapping[str, str]) -> list[str]:
    """Return in words which packages have another version than the wanted one."""
    found = versions()["versions"]
    return [
        f"{name} {found.get(name, 'is missing')} (locked: {version})"
        for name, version in wanted.items()
        if found.get(name) != version
    ]


def work(request: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Run the checks that were asked for, one after the other."""
    others = other_versions(request["versions"] or {})
    if others:
        raise RefusalError(f"it holds other versions than the locked ones: {', '.join(others)}")
    import numpy as np

    random.seed(request["seed"])
    np.random.seed(request["seed"])  # noqa: NPY002 - deepchecks draws from the global generator
    from deepchecks.tabular import Context

    tables = request["tables"]
    train = dataset(request, tables["train"], directory, categorical=request["categorical"])
    test = None
    if tables["test"] is not None:
        # Guessed once: a column that looks categorical in one table only would end the whole suite.
        test = dataset(request, tables["test"], directory, categorical=train.cat_features)
    answers: dict[str, Any] = {}
    for side, table in (("train", tables["train"]), ("test", tables["test"])):
        if table is not None and table["predictions"] is not None:
            answers |= predictions(directory / table["predictions"], side, classes=request["classes"])
    context = Context(
        train,
        test,
        None,
        with_display=False,
        model_classes=request["classes"] if answers else None,
        **answers,
    )
    checks, left_out = chosen(load_suite(request["suite"], directory), request["checks"])
    plan = planned(checks, {"train": tables["train"], "test": tables["test"]})
    results: list[dict[str, Any]] = []
    for entry in plan:
        (directory / "progress").write_text(f"{len(results)} of {len(plan)}: {entry['name']}", "utf-8")
        results.append(run_check(entry, context))
    missing = sorted(set(request["checks"] or ()) - {entry["check"] for entry in plan} - set(NEEDS_MODEL))
    return {
        "suite": request["suite"]["name"],
        "rows": {"train": len(train.data), "test": 0 if test is None else len(test.data)},
        "planned": [*(entry["name"] for entry in plan), *missing],
        "checks": [*results, *map(absent, missing)],
        "left_out": left_out,
    }


def dataset(
    request: Mapping[str, Any], table: Mapping[str, Any], directory: Path, *, categorical: list[str] | None
) -> Any:  # noqa: ANN401 - deepchecks has no types
    """Read a table and say what its columns are."""
    import pandas as pd
    from deepchecks.tabular import Dataset

    frame = read(directory / table["path"])
    for name in table["mixed"]:
        frame[name] = pd.Series([json.loads(cell) for cell in frame[name]], dtype=object, index=frame.index)

    def present(name: str | None) -> str | None:
        return name if name in frame.columns else None

    return Dataset(
        frame,
        label=present(request["label"]),
        features=request["features"],
        cat_features=categorical,
        index_name=present(request["index"]),
        datetime_name=present(request["datetime"]),
        label_type=request["task"] if present(request["label"]) else None,
    )


def read(path: Path) -> Any:  # noqa: ANN401 - pandas comes from the worker's own environment
    """Read Parquet by its Arrow types alone: notes of another pandas in it would choose other ones."""
    from pyarrow import parquet

    try:
        return parquet.read_table(path).replace_schema_metadata(None).to_pandas()
    except (OSError, ValueError) as error:
        raise RefusalError(f"the table {path.name} can not be read: {cut(error)}") from None


def predictions(path: Path, side: str, *, classes: list[Any] | None) -> dict[str, Any]:
    """Return what the model said of one table, as keywords of deepchecks' `Context`."""
    frame = read(path)
    found = {f"y_pred_{side}": frame["prediction"].to_numpy()}
    columns = [name for name in frame.columns if name.startswith("probability_")]
    if columns:
        if classes is None or len(columns) != len(classes):
            raise RefusalError(
                f"there are {len(columns)} columns of probabilities for the classes {classes!r}"
            )
        found[f"y_proba_{side}"] = frame[columns].to_numpy()
    return found


def load_suite(wanted: Mapping[str, Any], directory: Path) -> Any:  # noqa: ANN401
    """Return a suite of deepchecks by its name, or the one that a module makes."""
    from deepchecks.tabular import Suite, suites

    if wanted["module"] is None:
        return getattr(suites, wanted["name"])()
    spec = importlib.util.spec_from_file_location("prodml_deepchecks_suite", directory / wanted["module"])
    if spec is None or spec.loader is None:
        raise RefusalError("the module of the suite can not be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite = getattr(module, "suite", None)
    suite = suite() if callable(suite) else suite
    if not isinstance(suite, Suite):
        raise RefusalError(
            "the module of the suite must define `suite`: a deepchecks.tabular.Suite, or a function of one"
        )
    return suite


def chosen(suite: Any, wanted: list[str] | None) -> tuple[list[Any], list[dict[str, str]]]:  # noqa: ANN401
    """Return the checks of a suite that are to run, and those that can not."""
    checks, left_out = [], []
    for check in suite.checks.values():
        name = type(check).__name__
        if wanted is not None and name not in wanted:
            continue
        if name in NEEDS_MODEL:
            left_out.append({"check": name, "reason": "has to call the model, which never crosses"})
        else:
            checks.append(check)
    return checks, left_out


def planned(checks: Iterable[Any], tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry for each check and table it looks at, every name once."""
    from deepchecks.tabular import SingleDatasetCheck

    entries = []
    for check in checks:
        if isinstance(check, SingleDatasetCheck):
            sides = [side for side in ("train", "test") if tables[side] is not None]
        else:
            sides = [""]
        for side in sides:
            name = type(check).__name__ if not side else f"{type(check).__name__} ({tables[side]['name']})"
            entries.append({"name": name, "check": type(check).__name__, "instance": check, "side": side})
    seen: Counter[str] = Counter()
    for entry in entries:
        seen[entry["name"]] += 1
        if seen[entry["name"]] > 1:
            entry["name"] += f" #{seen[entry['name']]}"
    return entries


def run_check(entry: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
    """Run one check on its tables and tell how it went."""
    from deepchecks.core import DatasetKind
    from deepchecks.tabular import SingleDatasetCheck, TrainTestCheck

    check, side = entry["instance"], entry["side"]
    told: dict[str, Any] = {
        "name": entry["name"], "check": entry["check"], "state": "ran", "reason": "", "conditions": [],
        "value": None, "n_samples": {}, "seconds": 0.0,
    }  # fmt: skip
    start = time.perf_counter()
    try:
        if isinstance(check, SingleDatasetCheck):
            kind = DatasetKind.TRAIN if side == "train" else DatasetKind.TEST
            result = check.run_logic(context, dataset_kind=kind)
            context.finalize_check_result(result, check, kind)
        elif isinstance(check, TrainTestCheck) and context.have_test():
            result = check.run_logic(context)
            context.finalize_check_result(result, check)
        elif isinstance(check, TrainTestCheck):
            return told | {"state": "refused", "reason": "compares two tables, and only one was given"}
        else:
            return told | {"state": "not_run", "reason": "is no check of one table or of two"}
        told["conditions"] = [
            {
                "text": cut(found.name),
                "category": found.category.value.lower(),
                "details": cut(found.details, 1000),
            }
            for found in result.conditions_results
        ]
        told["value"] = small(result.value)
        told["n_samples"] = rows_of(check, side, context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a check raises, it did not judge
        refused = str(error).startswith(REFUSALS)
        told["state"] = "refused" if refused else "error"
        told["reason"] = cut(error, 1000) if refused else in_words(error)
        told["conditions"] = []
    told["seconds"] = round(time.perf_counter() - start, 3)
    return told


def absent(name: str) -> dict[str, Any]:
    """Tell of a check that was asked for and that the suite does not hold."""
    return {
        "name": name, "check": name, "state": "not_run", "reason": "the suite holds no such check",
        "conditions": [], "value": None, "n_samples": {}, "seconds": 0.0,
    }  # fmt: skip


def rows_of(check: Any, side: str, context: Any) -> dict[str, int]:  # noqa: ANN401
    """Return how many rows of each table a check looks at: deepchecks draws `n_samples` of a larger one."""
    datasets = {"train": context.train, "test": context.test if context.have_test() else None}
    sizes = {
        name: len(table.data) for name, table in datasets.items() if table is not None and side in {"", name}
    }
    most = getattr(check, "n_samples", None)
    if type(check).__name__ == "MultivariateDrift":
        most = min(sizes.values()) if most is None else min(most, *sizes.values())
    return sizes if most is None else {name: min(most, size) for name, size in sizes.items()}


def small(value: Any) -> Any:  # noqa: ANN401 - whatever a check computes
    """Return a value as bounded JSON."""
    found = plain(value, depth=5)
    return found if len(json.dumps(found)) <= _LARGEST_VALUE_BYTES else {"too_large": type(value).__name__}


def plain(value: Any, *, depth: int) -> Any:  # noqa: ANN401
    """Return a value as JSON, long parts cut and unknown ones named by their type."""
    import numpy as np
    import pandas as pd

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)[:40]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_dict()
    if depth == 0:
        return {"too_deep": type(value).__name__}
    if isinstance(value, Mapping):
        items = list(value.items())[:_MOST_ITEMS]
        return {cut(str(key), 100): plain(item, depth=depth - 1) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray, pd.Index)):
        return [plain(item, depth=depth - 1) for item in list(value)[:_MOST_ITEMS]]
    return cut(f"{type(value).__name__}: {value}")


def in_words(error: BaseException) -> str:
    """Return what went wrong on one line."""
    if isinstance(error, MemoryError):
        return "MemoryError: the tables need more than memory_bytes allows"
    text = cut(error, 1000)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def cut(text: object, most: int = 200) -> str:
    """Return a text on one line, without what can not be seen, at most so long."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return shown if len(shown) <= most else shown[: most - 3] + "..."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
