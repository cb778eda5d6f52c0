"""What was written down when a model was made -> Evidence of the data, code and parents behind it."""

from pytest_prodml.checks.data.lineage.check import lineage
from pytest_prodml.checks.data.lineage.manifest import FORMAT, Manifest, write_lineage
from pytest_prodml.checks.data.lineage.reading import read_runs
from pytest_prodml.checks.data.lineage.records import Artifact, Run
from pytest_prodml.checks.data.lineage.tables import read_delta, read_iceberg

__all__ = [
    "FORMAT",
    "Artifact",
    "Manifest",
    "Run",
    "lineage",
    "read_delta",
    "read_iceberg",
    "read_runs",
    "write_lineage",
]
