"""What the `ml_data` fixture returns: the project's tables, bound to the checks of the data dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.dimensions import Bound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.adapters.engines.engine import Table
    from pytest_prodml.adapters.tables import Dataset
    from pytest_prodml.checks.deepchecks import OnWarn, Task

Role: TypeAlias = Literal["test", "reference", "current"]
_ROLES = ("test", "reference", "current")


class DataGate(Bound):
    """What the `ml_data` fixture returns."""

    def conforms_to(
        self,
        schema: object = None,
        *,
        data: Role = "test",
        at_most: float = 0.0,
        sampled_at_most: float = 0.0,
        keys: Sequence[str] | None = None,
        redact: bool = False,
    ) -> Evidence:
        """Show that a table conforms to a pandera schema; see `checks.data.conforms_to`.

        Parameters
        ----------
        schema : pandera schema, optional
            Default: the fixture `prodml_schema`.
        data : {"test", "reference", "current"}
            Which table: that of the fixture ``prodml_<data>``.
        at_most : float
            How many violations are accepted.
        sampled_at_most : float
            The share of rows that may break a rule of your own that was evaluated on a sample.
        keys : sequence of str, optional
            Columns that name a failing row; default the configured entity.
        redact : bool
            Leave the values of violating rows out of the evidence.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import conforms_to

        rules = self._request.getfixturevalue("prodml_schema") if schema is None else schema
        table = self._source(data)
        entity = self._context.settings.data.entity
        return self._session.settle(
            lambda: conforms_to(
                rules,
                table,
                at_most=at_most,
                sampled_at_most=sampled_at_most,
                keys=([] if entity is None else [entity]) if keys is None else keys,
                redact=redact,
                **self._session.tail,
            )
        )

    def no_duplicates(
        self, *, data: Role = "test", ignore: Sequence[str] = (), at_most: float = 0.0
    ) -> Evidence:
        """Show that no row repeats another one; see `checks.data.no_duplicates`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.data import no_duplicates

        table = self._source(data)
        return self._session.settle(
            lambda: no_duplicates(table, ignore=ignore, at_most=at_most, **self._session.tail)
        )

    def no_drift(
        self,
        *,
        reference: Role = "reference",
        current: Role = "current",
        limits: float | Mapping[str, float] | None = None,
        measures: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        missing_at_most: float = 0.05,
        burden: str = "compliance",
    ) -> Evidence:
        """Show that no column moved further than its margin; see `checks.data.no_drift`.

        The configured entity says whose rows belong together.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import no_drift

        first, second = self._table(reference), self._table(current)
        return self._session.settle(
            lambda: no_drift(
                first,
                second,
                limits=limits,
                measures=measures,
                columns=columns,
                ignore=ignore,
                missing_at_most=missing_at_most,
                entity=self._context.settings.data.entity,
                burden=burden,
                **self._session.tail,
            )
        )

    def deepchecks(
        self,
        suite: str = "data_integrity",
        *,
        data: Role = "test",
        against: Role | None = "reference",
        checks: Sequence[str] | None = None,
        task: Task | None = None,
        categorical: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        on_warn: OnWarn = "fail",
        redact: bool = False,
    ) -> Evidence:
        """Show that the conditions of a suite of deepchecks hold; see `checks.deepchecks.deepchecks_suite`.

        Parameters
        ----------
        suite : str
            ``data_integrity`` looks at `data` alone, ``train_test_validation`` also at `against`; or the
            name of a module under ``[tool.prodml.deepchecks.suites]``.
        data, against : {"test", "reference", "current"}
            Which tables; a suite of your own looks at one only where `against` is None.
        checks : sequence of str, optional
            Run these checks of the suite and no other; each of them must then show something.
        task : {"binary", "multiclass", "regression"}, optional
            What the labels are; default what deepchecks takes them for.
        categorical : sequence of str, optional
            The categories among the inputs; default what deepchecks takes for such.
        timeout_seconds, memory_bytes : float, int, optional
            What the worker may take; default the configured limits.
        on_warn : {"fail", "pass"}
            What a condition means that only warns.
        redact : bool
            Leave out values and details: they quote cells of the tables.
        """
        __tracebackhide__ = True
        from pytest_prodml.plugin.deepchecks import DeepchecksOptions, suite_on_data

        options = DeepchecksOptions(
            checks=checks,
            task=task,
            categorical=categorical,
            timeout_seconds=timeout_seconds,
            memory_bytes=memory_bytes,
            on_warn=on_warn,
            redact=redact,
        )
        return suite_on_data(
            self._request, self._session, self._context, suite, data=data, against=against, options=options
        )

    def _source(self, role: str) -> Dataset | Table:
        """Return what the fixture of a table gives: a frame as the project has it, anything else opened."""
        __tracebackhide__ = True
        from pytest_prodml.adapters.tables import as_pandas

        source = self._given(role)
        if as_pandas(source) is not None or isinstance(source, (tuple, list)):
            return self._context.dataset(source, role)
        return self._table(role)

    def _table(self, role: str) -> Table:
        """Open a table; of a file nothing is loaded."""
        __tracebackhide__ = True
        return self._context.once(f"table {role}", lambda source: self._open(source, role), self._given(role))

    def _open(self, source: object, role: str) -> Table:
        from pytest_prodml.adapters.engines.opening import open_table
        from pytest_prodml.adapters.tables import Dataset

        settings = self._context.settings
        if isinstance(source, (tuple, list)):
            source = self._context.dataset(source, role)
        if isinstance(source, Dataset) and source.path is not None:
            source = source.path
        table = open_table(source, name=role, base=settings.root)
        target = settings.data.target
        return replace(table, target_name=target) if target in table.engine.columns() else table

    def _given(self, role: str) -> object:
        __tracebackhide__ = True
        if role not in _ROLES:
            raise InputError(
                f"there is no table {role!r}", where="ml_data", hint="test, reference or current"
            )
        return self._request.getfixturevalue(f"prodml_{role}")
