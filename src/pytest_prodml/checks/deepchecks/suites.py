"""What the suites of deepchecks 0.19.1 hold, so that an answer that leaves a check out is noticed."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_prodml.checks.deepchecks.exchange import Request
from pytest_prodml.errors import InputError

#: They ask the model for new answers: models never cross.
NEEDS_MODEL = frozenset({"BoostingOverfit", "ModelInferenceTime", "UnusedFeatures"})

_ONE_TABLE = (
    "IsSingleValue", "SpecialCharacters", "MixedNulls", "MixedDataTypes", "StringMismatch", "DataDuplicates",
    "StringLengthOutOfBounds", "ConflictingLabels", "OutlierSampleDetection", "FeatureLabelCorrelation",
    "FeatureFeatureCorrelation", "IdentifierLabelCorrelation",
)  # fmt: skip
_TWO_TABLES = (
    "DatasetsSizeComparison", "NewLabelTrainTest", "NewCategoryTrainTest", "StringMismatchComparison",
    "DateTrainTestLeakageDuplicates", "DateTrainTestLeakageOverlap", "IndexTrainTestLeakage",
    "TrainTestSamplesMix", "FeatureLabelCorrelationChange", "FeatureDrift", "LabelDrift", "MultivariateDrift",
)  # fmt: skip

#: The checks of each suite, and whether one looks at every table alone.
SUITES: Mapping[str, Mapping[str, bool]] = {
    "data_integrity": dict.fromkeys(_ONE_TABLE, True),
    "train_test_validation": dict.fromkeys(_TWO_TABLES, False),
    "model_evaluation": {
        "TrainTestPerformance": False,
        "RocReport": True,
        "ConfusionMatrixReport": True,
        "PredictionDrift": False,
        "SimpleModelComparison": False,
        "WeakSegmentsPerformance": True,
        "CalibrationScore": True,
        "RegressionErrorDistribution": True,
    },
}


def check_names(suite: str, checks: tuple[str, ...] | None) -> None:
    """Refuse checks that a suite of deepchecks does not hold, or that can not run here.

    Raises
    ------
    InputError
        With the checks that there are.
    """
    for name in checks or ():
        if name in NEEDS_MODEL:
            raise InputError(
                f"{name} has to call the model, and models never cross to the worker",
                where=suite,
                hint="ml_latency and the behavior gates ask the model itself",
            )
        if suite in SUITES and name not in SUITES[suite]:
            raise InputError(
                f"holds no check {name!r}", where=suite, hint=f"checks: {', '.join(sorted(SUITES[suite]))}"
            )
    if checks is not None and (not checks or len(set(checks)) != len(checks)):
        raise InputError("checks must name at least one check, each once", where=suite)


def expected_names(request: Request) -> list[str] | None:
    """Return what an answer has to tell of; None for a suite of one's own, which only the worker knows."""
    if request.suite.source is not None:
        return None
    held = SUITES[request.suite.name]
    names = []
    for check, alone in held.items():
        if request.checks is not None and check not in request.checks:
            continue
        names += [f"{check} ({side})" for side in expected_side_names(request)] if alone else [check]
    return names


def expected_side_names(request: Request) -> list[str]:
    """Return what the tables are called."""
    return [table.name for table in (request.train, request.test) if table is not None]
