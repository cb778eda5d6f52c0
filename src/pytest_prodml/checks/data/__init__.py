"""A table -> evidence about the data behind a model: what they are, if they moved, where they came from."""

from pytest_prodml.checks.data.answers import no_prediction_drift
from pytest_prodml.checks.data.conforms import conforms_to
from pytest_prodml.checks.data.draft import draft_schema
from pytest_prodml.checks.data.drift import no_drift
from pytest_prodml.checks.data.duplicates import no_duplicates
from pytest_prodml.checks.data.fresh import fresh
from pytest_prodml.checks.data.imports import dbt_test_results, great_expectations_results
from pytest_prodml.checks.data.joint import no_joint_drift
from pytest_prodml.checks.data.lineage import lineage, write_lineage
from pytest_prodml.checks.data.predictions import predictions_conform
from pytest_prodml.checks.data.quality import quality
from pytest_prodml.checks.data.splitting import splits
from pytest_prodml.checks.skew import no_training_serving_skew

__all__ = [
    "conforms_to",
    "dbt_test_results",
    "draft_schema",
    "fresh",
    "great_expectations_results",
    "lineage",
    "no_drift",
    "no_duplicates",
    "no_joint_drift",
    "no_prediction_drift",
    "no_training_serving_skew",
    "predictions_conform",
    "quality",
    "splits",
    "write_lineage",
]
