"""A file or a table's directory -> the runs that it describes, whatever wrote it."""

from __future__ import annotations

from pathlib import Path

from pytest_prodml.checks.data.lineage.dvc import read_dvc
from pytest_prodml.checks.data.lineage.jobs import read_dbt, read_openlineage
from pytest_prodml.checks.data.lineage.manifest import read_manifest, read_sums
from pytest_prodml.checks.data.lineage.records import LIMITS, Run, json_object, read_bytes
from pytest_prodml.checks.data.lineage.tables import is_delta, is_iceberg, read_delta, read_iceberg
from pytest_prodml.errors import InputError


def read_runs(path: Path) -> tuple[Run, ...]:
    """Read a manifest of any known format.

    The format follows from the name (``dvc.lock``, ``*.dvc``, ``*.metadata.json``, directories of Delta and
    Iceberg tables) and else from the content: our own manifest, dbt's, OpenLineage events, or a list of
    ``sha256sum``.

    Raises
    ------
    InputError
        If it is of none of these formats, or not to the letter of its own.
    """
    if path.is_dir():
        if is_delta(path):
            return (read_delta(path),)
        if is_iceberg(path):
            return (read_iceberg(path),)
        raise InputError("the directory is neither a Delta nor an Iceberg table", where=str(path))
    if path.suffix in {".lock", ".dvc"}:
        return read_dvc(path)
    if path.name.endswith(".metadata.json"):
        return (read_iceberg(path),)
    data = read_bytes(path, LIMITS)
    if not data.lstrip().startswith(b"{"):
        return (read_sums(path),)
    if b'"eventType"' in data:
        return read_openlineage(path)
    document = json_object(data, str(path))
    if isinstance(document.get("metadata"), dict) and "dbt_schema_version" in document["metadata"]:
        return read_dbt(path)
    if "format" not in document:
        raise InputError(
            "is of no format that lineage is read from",
            where=str(path),
            hint="prodml-lineage/v1, dvc.lock, sha256sum, Delta, Iceberg, OpenLineage or dbt",
        )
    return (read_manifest(path, data),)
