"""What fitted scikit-learn estimators pickle -> `adapters/artifact/names_sklearn.py`.

Every estimator of the installed scikit-learn is fitted with several settings, pickled and followed with the
scanner's own machine. A name of scikit-learn that a pickle instantiates, calls or stores is listed for that
use and no other; names of other packages are printed if the hand-written list lacks them. What the file lists
already stays, so that several versions can be run one after the other.

Run: python benchmarks/artifact_allow_list.py (add --dry to print only)
"""

# ruff: noqa: ANN401, D102 - estimators are of any class

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.base import clone

from pytest_prodml.adapters.artifact import names_sklearn
from pytest_prodml.adapters.artifact.actions import Actions
from pytest_prodml.adapters.artifact.machine import Machine
from pytest_prodml.adapters.artifact.result import Limits, Report
from pytest_prodml.adapters.artifact.rules import rules
from pytest_prodml.adapters.artifact.values import Global, Group, Made, Value

TARGET = Path("src/pytest_prodml/adapters/artifact/names_sklearn.py")
#: Settings that bring other classes into the pickle: losses, criteria, metrics, kernels.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "HistGradientBoostingRegressor": [
        {"loss": "poisson"}, {"loss": "gamma"}, {"loss": "absolute_error"},
        {"loss": "quantile", "quantile": 0.5},
    ],
    "GradientBoostingRegressor": [{"loss": "huber"}, {"loss": "absolute_error"}, {"loss": "quantile"}],
    "GradientBoostingClassifier": [{"loss": "exponential"}],
    "SGDClassifier": [{"loss": loss} for loss in ("log_loss", "modified_huber", "squared_hinge", "perceptron",
                                                  "huber", "epsilon_insensitive", "squared_error")],
    "SGDRegressor": [{"loss": "huber"}, {"loss": "epsilon_insensitive"}],
    "DecisionTreeClassifier": [{"criterion": "entropy"}, {"splitter": "random"}],
    "KNeighborsClassifier": [{"algorithm": algorithm, "metric": metric}
                             for algorithm in ("kd_tree", "ball_tree")
                             for metric in ("euclidean", "manhattan", "chebyshev", "minkowski")]
    + [{"algorithm": "ball_tree", "metric": metric}
       for metric in ("hamming", "canberra", "braycurtis", "jaccard", "haversine")],
    "KernelDensity": [{"metric": "manhattan"}],
    "GammaRegressor": [{}], "TweedieRegressor": [{"power": 1.5}, {"power": 0}, {"power": 3}],
}  # fmt: skip


class Recorder(Actions):
    """Records how each name is used, and refuses nothing."""

    def imported(self, module: str, name: str, offset: int) -> Value:
        uses.setdefault((module, name), set())
        return Global(module, name, rules().get((module, name)), offset)

    def call(self, function: Value, arguments: Value, offset: int) -> Value:
        del offset
        items = arguments.items if isinstance(arguments, Group) else []
        if isinstance(function, Global):
            first = items[0] if items else None
            given = isinstance(first, Global) and (
                function.name.startswith("__pyx_unpickle") or function.name == "newObj"
            )
            uses[function.module, function.name].add("cython" if given else "call")
            for item in items:
                if isinstance(item, Global):
                    uses[item.module, item.name].add(
                        "new" if given or function.name == "_reconstructor" else "stored"
                    )
        return Made(function if isinstance(function, Global) else None, items)

    def new(self, cls: Value, arguments: Value, keywords: Value, offset: int) -> Value:
        del arguments, keywords, offset
        if isinstance(cls, Global):
            uses[cls.module, cls.name].add("new")
        return Made(cls if isinstance(cls, Global) else None, [])

    def build(self, target: Value, state: Value, offset: int) -> None:
        del target, state, offset

    def fill(self, target: Value, items: Any, offset: int) -> None:
        del target, items, offset


uses: dict[tuple[str, str], set[str]] = {}


def instances() -> Iterator[Any]:
    from sklearn.utils import all_estimators

    try:
        from sklearn.utils._test_common.instance_generator import _construct_instances
    except ImportError:
        from sklearn.utils.estimator_checks import _construct_instance

        def _construct_instances(cls: Any) -> list[Any]:
            return [_construct_instance(cls)]

    for name, cls in all_estimators():
        uses.setdefault((cls.__module__, cls.__qualname__), set()).add("new")
        try:
            made = list(_construct_instances(cls))
        except Exception:  # noqa: BLE001 - some need arguments of their own
            made = []
        yield from made
        for settings in SETTINGS.get(name, []):
            yield cls(**settings)


def kernels() -> Iterator[Any]:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process import kernels as made

    for kernel in (
        made.RBF() + made.WhiteKernel(), made.ConstantKernel() * made.Matern(), made.RationalQuadratic(),
        made.ExpSineSquared(), made.DotProduct() ** 2, made.PairwiseKernel(),
        made.CompoundKernel([made.RBF()]),
    ):  # fmt: skip
        yield GaussianProcessRegressor(kernel, optimizer=None)


def with_functions() -> Iterator[Any]:
    """Functions that are parameters: scores of features, and the scorers of a search."""
    from sklearn import feature_selection
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import get_scorer, get_scorer_names
    from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, TimeSeriesSplit

    for name in ("chi2", "f_classif", "f_regression", "mutual_info_classif", "mutual_info_regression"):
        yield feature_selection.SelectKBest(getattr(feature_selection, name), k=1)
    for splitter in (KFold(2), StratifiedKFold(2), TimeSeriesSplit(2)):
        yield GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=splitter, scoring="roc_auc")
    for name in get_scorer_names():
        yield get_scorer(name)


def fitted(estimator: Any) -> Any:
    """Fit with whatever kind of data an estimator takes, or return it as it is."""
    rng = np.random.default_rng(0)
    numbers = np.abs(rng.normal(size=(40, 3))) + 0.1
    classes, amounts = rng.integers(0, 2, 40), np.abs(rng.normal(size=40)) + 0.1
    several = rng.integers(0, 2, (40, 2))
    texts = ["aa bb cc", "bb cc dd", "cc dd ee"] * 14
    if not hasattr(estimator, "fit"):
        return estimator
    for arguments in (
        (numbers, classes), (numbers, amounts), (numbers, several), (numbers,), (texts[:40],), (classes,),
        (numbers @ numbers.T, classes),
        ([{"a": 1, "b": 2}] * 5,), ([["a", "b"], ["c"]],),
        (amounts, amounts), (numbers, np.c_[amounts, amounts]),
    ):  # fmt: skip
        try:
            return clone(estimator).fit(*arguments)
        except Exception:  # noqa: BLE001, S112 - the next kind of data
            continue
    print(f"not fitted: {estimator!r:.80}")
    return estimator


def record(model: Any) -> None:
    for protocol in (2, 5):
        try:
            raw = pickle.dumps(model, protocol)
        except Exception as error:  # noqa: BLE001
            print(f"not pickled: {model!r:.60}: {error}")
            return
        report = Report(limits=Limits())
        Machine(memoryview(raw), Recorder(report=report, where=""), report).run()


def main() -> None:
    warnings.simplefilter("ignore")
    for estimator in [*instances(), *kernels(), *with_functions()]:
        record(fitted(estimator))
    lists: dict[str, set[str]] = {
        name: set(getattr(names_sklearn, name)) for name in ("INSTANCES", "CALLED", "CYTHON", "STORED_ONLY")
    }
    for (module, name), used in sorted(uses.items()):
        path = f"{module}.{name}"
        if module.partition(".")[0] != "sklearn":
            if (module, name) not in rules():
                print(f"not on the hand-written list: {path} {sorted(used)}")
            continue
        # From the most to the least that is needed.
        for use, target in (("cython", "CYTHON"), ("call", "CALLED"), ("new", "INSTANCES")):
            if use in used:
                lists[target].add(path)
                break
        else:
            lists["STORED_ONLY"].add(path)
    lists["INSTANCES"] -= lists["CALLED"]
    lists["STORED_ONLY"] -= lists["CALLED"] | lists["INSTANCES"] | lists["CYTHON"]
    text = [
        '"""Names that fitted scikit-learn estimators pickle, by ``benchmarks/artifact_allow_list.py``."""',
        "",
        "from __future__ import annotations",
    ]
    for name, told in (
        ("INSTANCES", "Classes that get an instance without their constructor, and a state."),
        ("CALLED", "Classes of compiled modules that are called with numbers, and get a state."),
        ("CYTHON", "Functions that make an instance of the class they are given."),
        ("STORED_ONLY", "Functions that are stored as a parameter, and neither called nor built."),
    ):
        items = "".join(f'    "{path}",\n' for path in sorted(lists[name]))
        text += [
            "",
            f"#: {told}",
            f"{name}: tuple[str, ...] = (\n{items})" if items else f"{name}: tuple[str, ...] = ()",
        ]
        print(f"{name}: {len(lists[name])}")
    for path in sorted(lists["CALLED"] | lists["CYTHON"] | lists["STORED_ONLY"]):
        print(f"  {path}")
    print(f"scikit-learn {sklearn.__version__}")
    if "--dry" not in sys.argv:
        TARGET.write_text("\n".join(text) + "\n", "utf-8")


if __name__ == "__main__":
    main()
