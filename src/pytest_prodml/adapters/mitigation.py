"""An estimator, training rows and the groups of people -> a fitted model that treats the groups more alike.

A thin way to fairlearn's reductions and its threshold optimizer, for a training script. What comes back is a
model like any other: it is measured by gates, bound to its file and certified, and has no credit for the
method that made it.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.draws import draws
from pytest_prodml.adapters.memberships import memberships
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd

    #: Names of columns of X, or the groups themselves: one value a row, or a table with one row a row.
    Sensitive: TypeAlias = str | Sequence[str] | npt.ArrayLike | pd.DataFrame

__all__ = ["CONSTRAINTS", "METHODS", "MitigatedModel", "mitigated"]

_EXTRA = "fairness"
_REDUCTIONS: Mapping[str, str] = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "error_rate_parity": "ErrorRateParity",
    "false_positive_rate_parity": "FalsePositiveRateParity",
    "true_positive_rate_parity": "TruePositiveRateParity",
}
_THRESHOLDS = (
    "demographic_parity",
    "equalized_odds",
    "false_negative_rate_parity",
    "false_positive_rate_parity",
    "true_negative_rate_parity",
    "true_positive_rate_parity",
)
#: The constraints of each method, by fairlearn's names.
CONSTRAINTS: Mapping[str, tuple[str, ...]] = {
    "exponentiated_gradient": tuple(_REDUCTIONS),
    "grid_search": tuple(_REDUCTIONS),
    "threshold_optimizer": _THRESHOLDS,
}
METHODS = tuple(CONSTRAINTS)
#: Constraints of the reductions that need, in every group, rows with the favorable label; or without it.
_NEEDS: Mapping[str, tuple[int, ...]] = {
    "equalized_odds": (0, 1),
    "true_positive_rate_parity": (1,),
    "false_positive_rate_parity": (0,),
}
#: The constraint on the second label that says the same of the first one.
_TURNED: Mapping[str, str] = {
    "false_negative_rate_parity": "false_positive_rate_parity",
    "false_positive_rate_parity": "false_negative_rate_parity",
    "true_negative_rate_parity": "true_positive_rate_parity",
    "true_positive_rate_parity": "true_negative_rate_parity",
}
#: Of those, what a reduction calls it: equal true negative rates are equal false positive rates.
_AS_REDUCTION: Mapping[str, str] = {
    "false_negative_rate_parity": "true_positive_rate_parity",
    "true_negative_rate_parity": "false_positive_rate_parity",
}
_OF_CONSTRAINT = ("difference_bound", "ratio_bound", "ratio_bound_slack")
_RANDOMIZED = frozenset({"exponentiated_gradient", "threshold_optimizer"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MitigatedModel:
    """A fitted model with scikit-learn's methods, and what was done to make it.

    Attributes
    ----------
    fitted : object
        fairlearn's fitted object. `grid_search` leaves an ordinary estimator in ``fitted.best_estimator``.
    mitigation : mapping
        Method, constraint, options, seed, versions and groups, as plain JSON.
    classes_ : array, shape (2,)
        The labels, in the order of the columns of `predict_proba`.
    feature_names_in_ : array of str or None
        The columns that it needs of a table.

    Notes
    -----
    `exponentiated_gradient` and `threshold_optimizer` answer at random: they give a probability to each
    decision. `predict_proba` returns that probability, which is the chance of the decision and no calibrated
    risk. `predict` draws by it, with a number made of the row's own values and the seed: the same row gets
    the same decision, alone or in a batch, today and tomorrow, and rows that are equal are treated alike.
    """

    fitted: Any
    mitigation: Mapping[str, JsonValue]
    classes_: npt.NDArray[Any]
    feature_names_in_: npt.NDArray[Any] | None
    features: tuple[str, ...] | None
    sensitive: tuple[str, ...] | None
    method: str
    seed: int

    def predict(self, rows: Any, sensitive: Any = None) -> npt.NDArray[Any]:  # noqa: ANN401 - any table
        """Return the label that is decided for each row.

        Parameters
        ----------
        rows : DataFrame or array, shape (n, features)
        sensitive : optional
            The groups, where the method needs them and they are no columns of `rows`.
        """
        if self.method == "grid_search":
            second = np.asarray(self.fitted.predict(self._features(rows))).ravel() > 0.5
        else:
            second = draws(self._features(rows), self.seed) < self._chance(rows, sensitive)
        return self.classes_[second.astype(np.intp)]

    def predict_proba(self, rows: Any, sensitive: Any = None) -> npt.NDArray[np.float64]:  # noqa: ANN401
        """Return the probability of each label, shape (n, 2); of a randomized method that of the decision."""
        chance = self._chance(rows, sensitive)
        return np.column_stack([1 - chance, chance])

    def _chance(self, rows: Any, sensitive: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
        """Return the probability of the second label."""
        table = self._features(rows)
        if self.method == "grid_search":
            if not hasattr(self.fitted.predictors_[self.fitted.best_idx_], "predict_proba"):
                raise InputError("the estimator has no predict_proba", hint="its decisions come from predict")
            found = np.asarray(self.fitted.predict_proba(table))
            return np.asarray(found[:, 1], dtype=np.float64)
        if self.method == "exponentiated_gradient":
            chance = np.zeros(len(table))
            for weight, predictor in zip(self.fitted.weights_, self.fitted.predictors_, strict=True):
                if weight > 0:
                    chance += weight * np.asarray(predictor.predict(table), dtype=np.float64).ravel()
            return np.clip(chance, 0.0, 1.0)
        groups = self._groups(rows, sensitive)
        found = self.fitted._pmf_predict(table, sensitive_features=groups)  # noqa: SLF001 - there is no other
        return np.clip(np.asarray(found, dtype=np.float64)[:, 1], 0.0, 1.0)

    def _features(self, rows: Any) -> Any:  # noqa: ANN401
        return _selected(rows, self.features)

    def _groups(self, rows: Any, sensitive: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        if sensitive is None and self.sensitive is None:
            raise InputError(
                "this model needs the group of each person to decide",
                where="threshold_optimizer",
                hint="give sensitive=..., or train it with the names of columns, so that a row is enough",
            )
        groups, _ = memberships(rows, self.sensitive if sensitive is None else sensitive)
        known = self.mitigation["groups"]
        unknown = sorted({*groups.tolist()} - set(known if isinstance(known, dict) else ()))
        if unknown:
            # fairlearn would decline everybody of a group that it has not seen.
            raise InputError(
                f"the model was not trained on the group {unknown[0]!r}",
                where="threshold_optimizer",
                hint="such a row has no threshold: refuse it, or train with rows of that group",
            )
        return groups


def mitigated(
    estimator: Any,  # noqa: ANN401 - any estimator
    X: Any,  # noqa: ANN401, N803 - scikit-learn's name
    y: npt.ArrayLike,
    *,
    sensitive: Sensitive,
    constraint: str = "demographic_parity",
    method: str = "exponentiated_gradient",
    features: Sequence[str] | None = None,
    favorable_label: object = None,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - fairlearn's own
) -> MitigatedModel:
    """Fit a classifier of two classes under a fairness constraint.

    Parameters
    ----------
    estimator : object
        With scikit-learn's interface; it is cloned, and every unset `random_state` in it is set to `seed`.
    X : DataFrame or array, shape (n, columns)
    y : array-like, shape (n,)
        Two labels.
    sensitive : str, sequence of str, or the groups
        Columns of `X`, so that the model serves from `X` alone; or the groups of the rows apart. Several
        columns make intersections. A missing value is the group "(missing)".
    constraint : str
        One of ``CONSTRAINTS[method]``.
    method : str
        ``exponentiated_gradient`` and ``grid_search`` (Agarwal et al. 2018) train with weights and need no
        group to predict; ``threshold_optimizer`` (Hardt et al. 2016) gives each group thresholds of its own
        and needs it.
    features : sequence of str, optional
        The columns that the estimator sees; default all of them, the sensitive ones included.
    favorable_label : label, optional
        The label that counts as positive in the constraint; default the second one. The estimator is
        trained on the labels in their own order whatever it is.
    seed : int
        Of the estimator, and of the decisions of the methods that answer at random.
    **options
        fairlearn's: ``eps``, ``max_iter``, ``grid_size``, ``difference_bound``, ``objective``, ...

    Returns
    -------
    MitigatedModel
        With `predict`, `predict_proba` and `mitigation`, the description of what was done.

    Raises
    ------
    MissingDependencyError
        Without fairlearn, scikit-learn or pandas.
    InputError
        For an unknown method or constraint, labels that are not two, fewer than two groups, a group without
        rows of a label that the constraint speaks about, and whatever fairlearn or the estimator refuse.
    """
    _check_names(method, constraint)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 32:
        raise InputError(f"seed must be a whole number from 0 on, got {seed!r}")
    groups, names = memberships(X, sensitive)
    classes, target = _labels(y, favorable_label)
    favorable = 1 if favorable_label is None else classes.index(favorable_label)
    table = _selected(X, None if features is None else tuple(features))
    if not len(table) == groups.size == target.size:
        raise InputError(f"X has {len(table):,} rows, y {target.size:,} and sensitive {groups.size:,}")
    counts = _counts(groups, target == favorable, constraint, method)
    turned, given = _turned(constraint, method, dict(options), favorable)
    try:
        fitted = _fitted(estimator, table, target, groups, turned, method, seed, given)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"can not be fitted under {constraint}: {error}", where=f"fairlearn {method}"
        ) from error
    chosen = None if not hasattr(table, "columns") else tuple(str(name) for name in table.columns)
    needed = chosen
    if chosen is not None and method == "threshold_optimizer" and names is not None:
        needed = (*chosen, *(name for name in names if name not in chosen))
    told: dict[str, JsonValue] = {
        "method": method,
        "constraint": constraint,
        "options": {name: _plain(value) for name, value in sorted(options.items())},
        "estimator": type(estimator).__name__,
        "seed": seed,
        "randomized": method in _RANDOMIZED,
        "needs_group_to_predict": method == "threshold_optimizer",
        "sensitive": None if names is None else list(names),
        "favorable_label": _plain(classes[favorable]),
        "groups": counts,
        "fairlearn": importlib.metadata.version("fairlearn"),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }
    return MitigatedModel(
        fitted=fitted,
        mitigation=told,
        classes_=np.array(classes),
        feature_names_in_=None if needed is None else np.array(needed, dtype=object),
        features=chosen,
        sensitive=names,
        method=method,
        seed=seed,
    )


def _check_names(method: str, constraint: str) -> None:
    if method not in CONSTRAINTS:
        raise InputError(f"there is no method {method!r}", hint=f"known: {', '.join(METHODS)}")
    if constraint not in CONSTRAINTS[method]:
        raise InputError(
            f"{method} has no constraint {constraint!r}", hint=f"known: {', '.join(CONSTRAINTS[method])}"
        )


def _turned(
    constraint: str, method: str, options: dict[str, Any], favorable: int
) -> tuple[str, dict[str, Any]]:
    """Say it about the second label: the estimator is trained on the labels as they are.

    It may know which is which, by monotone constraints or class weights.
    """
    if favorable == 1:
        return constraint, options
    for name in ("ratio_bound", "ratio_bound_slack"):
        if options.get(name):
            raise InputError(
                f"{name} is about the second label, and favorable_label is the first one",
                where=method,
                hint="give difference_bound, or code the labels so that the favorable one is 1",
            )
    if options.get("objective") == "selection_rate":
        raise InputError("the objective selection_rate is about the second label", where=method)
    swap = {"true_positive_rate": "true_negative_rate", "true_negative_rate": "true_positive_rate"}
    if options.get("objective") in swap:
        options["objective"] = swap[options["objective"]]
    turned = _TURNED.get(constraint, constraint)
    return (turned if method == "threshold_optimizer" else _AS_REDUCTION.get(turned, turned)), options


def _fitted(
    estimator: Any,  # noqa: ANN401
    table: Any,  # noqa: ANN401
    target: npt.NDArray[np.int64],
    groups: npt.NDArray[Any],
    constraint: str,
    method: str,
    seed: int,
    options: dict[str, Any],
) -> Any:  # noqa: ANN401
    prefit = bool(options.get("prefit", False))
    seeded = estimator if prefit else _seeded(estimator, seed)
    if method == "threshold_optimizer":
        post = require("fairlearn.postprocessing", extra=_EXTRA)
        options.setdefault("predict_method", "auto")
        model = post.ThresholdOptimizer(estimator=seeded, constraints=constraint, **options)
    else:
        reductions = require("fairlearn.reductions", extra=_EXTRA)
        of_constraint = {name: options.pop(name) for name in _OF_CONSTRAINT if name in options}
        moment = getattr(reductions, _REDUCTIONS[constraint])(**of_constraint)
        if isinstance(getattr(estimator, "steps", None), list):  # a pipeline takes weights by step
            options.setdefault("sample_weight_name", f"{estimator.steps[-1][0]}__sample_weight")
        kind = (
            reductions.ExponentiatedGradient if method == "exponentiated_gradient" else reductions.GridSearch
        )
        model = kind(seeded, moment, **options)
    # The solvers draw from numpy's global generator where an estimator does.
    state = np.random.get_state()  # noqa: NPY002 - the legacy generator is the one that libraries use
    np.random.seed(seed)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            # What a newer pandas asks of fairlearn's authors is nothing that a caller could change.
            for kind in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
                warnings.filterwarnings("ignore", category=kind, module="fairlearn")
            return model.fit(table, target, sensitive_features=groups)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _seeded(estimator: Any, seed: int) -> Any:  # noqa: ANN401
    cloned = require("sklearn.base", extra=_EXTRA).clone(estimator)
    unset = {
        name: seed
        for name, value in cloned.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return cloned.set_params(**unset)


def _labels(y: npt.ArrayLike, favorable: object) -> tuple[list[Any], npt.NDArray[np.int64]]:
    pandas = require("pandas", extra=_EXTRA)
    column = np.asarray(y)
    if column.ndim != 1:
        raise InputError(f"y must be one label for each row, got an array of shape {column.shape}")
    missing = int(np.asarray(pandas.isna(column)).sum())
    if missing:
        raise InputError(f"y is missing in {missing:,} of {column.size:,} rows")
    classes = np.unique(column).tolist()
    if len(classes) != 2:
        raise InputError(f"two labels are needed, y holds {len(classes)}: {classes[:6]!r}")
    if favorable is not None and favorable not in classes:
        raise InputError(f"favorable_label {favorable!r} is not among the labels {classes!r}")
    return classes, (column == classes[1]).astype(np.int64)


def _counts(
    groups: npt.NDArray[Any], is_favorable: npt.NDArray[np.bool_], constraint: str, method: str
) -> dict[str, JsonValue]:
    """Count the rows of each group; refuse those about which a constraint can say nothing."""
    every = sorted(set(groups.tolist()))
    if len(every) < 2:
        raise InputError(f"there is only the group {every[0]!r}" if every else "there are no rows")
    needed = (0, 1) if method == "threshold_optimizer" else _NEEDS.get(constraint, ())
    for group in every:
        held = np.bincount(is_favorable[groups == group], minlength=2)
        for label in needed:
            if not held[label]:
                kind = "with" if label else "without"
                raise InputError(
                    f"the group {group!r} has {int(held.sum()):,} rows and none {kind} the favorable label",
                    where=f"{method}, {constraint}",
                    hint="its rate is undefined; join it with another group, or collect rows",
                )
    return {group: int((groups == group).sum()) for group in every}


def _selected(rows: Any, names: tuple[str, ...] | None) -> Any:  # noqa: ANN401
    if names is None:
        return rows.reset_index(drop=True) if hasattr(rows, "reset_index") else np.asarray(rows)
    columns = getattr(rows, "columns", None)
    if columns is None:
        raise InputError("columns are named, so a table with names is needed", where="X")
    for name in names:
        if name not in columns:
            raise InputError(f"the table has no column {name!r}", where="X")
    return rows[list(names)].reset_index(drop=True)


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 - any option
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
