"""The checks of `ml_data` about one table's content and arrival, its lineage, and what other tools found."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.data_tables import TablesOfData
from pytest_prodml.plugin.tables import ROLES, Role
from pytest_prodml.records import Evidence, JsonValue, Subject

if TYPE_CHECKING:
    import numpy.typing as npt


class SourcesOfData(TablesOfData):
    """Quality, freshness, lineage and imported results."""

    def quality(
        self,
        *,
        data: Role = "test",
        reference: Role | None = "reference",
        limits: Mapping[str, float | None] | None = None,
        only: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        keys: Sequence[str] | None = None,
        now: datetime | None = None,
        probabilities: npt.ArrayLike | None = None,
        redact: bool = False,
        burden: str = "compliance",
    ) -> Evidence:
        """Show that a table holds none of the faults that corrupt a model; see `checks.data.quality`.

        Default of `keys` is the configured entity, of `now` the time of the call.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import quality

        settings = self._context.settings.data
        table = self._table(data)
        good = None if reference is None else self._table(reference)
        entity = () if settings.entity is None else (settings.entity,)
        return self._session.settle(
            lambda: quality(
                table,
                reference=good,
                limits=limits,
                only=only,
                columns=columns,
                ignore=ignore,
                target=table.target_name,
                keys=entity if keys is None else keys,
                now=datetime.now(UTC) if now is None else now,
                probabilities=probabilities,
                redact=redact,
                burden=burden,
                **self._session.tail,
            )
        )

    def fresh(
        self,
        column: str | None = None,
        *,
        at_most: timedelta | str,
        data: Role = "current",
        now: datetime | None = None,
        period: timedelta | str = "day",
        gaps_at_most: timedelta | str | None = None,
        volume: float | Mapping[str, float] | Role | None = None,
        volume_within: float = 0.5,
        volume_misses_at_most: int = 0,
        since: datetime | None = None,
        future_at_most: int = 0,
        clock_tolerance: timedelta | str = "0 s",
        missing_at_most: int = 0,
        time_zone: str | None = None,
    ) -> Evidence:
        """Show that rows arrive as they should; see `checks.data.fresh`.

        Default of `column` is the configured timestamp, of `now` the time of the call. `volume` may name the
        table whose weekdays say how many rows a period should have.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import fresh

        named = self._context.settings.data.timestamp if column is None else column
        if named is None:
            raise InputError(
                "no column of times is given",
                where="ml_data",
                hint="name it, or set timestamp under [tool.prodml.data]",
            )
        table = self._table(data)
        expected = self._table(volume) if isinstance(volume, str) else volume
        return self._session.settle(
            lambda: fresh(
                table,
                named,
                at_most=at_most,
                now=datetime.now(UTC) if now is None else now,
                period=period,
                gaps_at_most=gaps_at_most,
                volume=expected,
                volume_within=volume_within,
                volume_misses_at_most=volume_misses_at_most,
                since=since,
                future_at_most=future_at_most,
                clock_tolerance=clock_tolerance,
                missing_at_most=missing_at_most,
                time_zone=time_zone,
                **self._session.tail,
            )
        )

    def lineage(
        self,
        *manifests: str | Path,
        data: Mapping[str, Role | str | Path] | None = None,
        parents: Mapping[str, str | Path] | None = None,
        code_revision: str | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        on_trust: Collection[str] = (),
        allow_dirty: bool = False,
    ) -> Evidence:
        """Show which data, code and parents made the model; see `checks.data.lineage`.

        `data` says where the tables of a manifest are: the name of a fixture, or a path.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import lineage

        settings = self._context.settings
        here = {
            name: self._table(given) if isinstance(given, str) and given in ROLES else given
            for name, given in (data or {}).items()
        }
        model = self._model()
        return self._session.settle(
            lambda: lineage(
                manifests,
                model=model,
                data=here,
                parents=parents,
                code_revision=code_revision,
                parameters=parameters,
                on_trust=on_trust,
                allow_dirty=allow_dirty,
                base=settings.root,
                **self._session.tail,
            )
        )

    def great_expectations(
        self, path: str | Path, *, data: str, at_most_old: timedelta | str | None = None
    ) -> Evidence:
        """Accept what Great Expectations found; see `checks.data.great_expectations_results`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.data import great_expectations_results

        return self._session.settle(
            lambda: great_expectations_results(
                self._context.settings.at(str(path)),
                now=datetime.now(UTC),
                data=data,
                at_most_old=at_most_old,
                **self._session.tail,
            )
        )

    def dbt(
        self,
        path: str | Path,
        *,
        data: str,
        manifest: str | Path | None = None,
        at_most_old: timedelta | str | None = None,
        failing_rows_at_most: int = 0,
    ) -> Evidence:
        """Accept what dbt's tests found; see `checks.data.dbt_test_results`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.data import dbt_test_results

        at = self._context.settings.at
        return self._session.settle(
            lambda: dbt_test_results(
                at(str(path)),
                now=datetime.now(UTC),
                data=data,
                manifest=None if manifest is None else at(str(manifest)),
                at_most_old=at_most_old,
                failing_rows_at_most=failing_rows_at_most,
                **self._session.tail,
            )
        )

    def _model(self) -> Path | Subject | None:
        """Return where the model is, or what identifies it: other digests than SHA-256 need the file."""
        model = self._request.getfixturevalue("prodml_model")
        settings = self._context.settings
        if isinstance(model, (str, Path)):
            return settings.at(str(model))
        subject = self._context.predictor(model).subject
        if subject is None or settings.model.path is None:
            return subject
        path = settings.at(settings.model.path)
        return path if path.is_file() and _sha256(path) == subject.digest.get("sha256") else subject


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
