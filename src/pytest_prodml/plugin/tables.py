"""The project's tables, opened where they lie, and the check of two of them that data and pipeline share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.dimensions import Bound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.adapters.engines.engine import Table
    from pytest_prodml.adapters.tables import Dataset

Role: TypeAlias = Literal["test", "reference", "current"]
ROLES = ("test", "reference", "current")


class Tables(Bound):
    """The project's tables."""

    def _any_table(self, source: object, name: str) -> Table:
        """Open the table of a fixture by its name, or any other."""
        __tracebackhide__ = True
        named = isinstance(source, str) and source in ROLES
        return self._table(str(source)) if named else self._open(source, name)

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

    def _open(self, source: object, name: str) -> Table:
        from pytest_prodml.adapters.engines.engine import Table
        from pytest_prodml.adapters.engines.opening import open_table
        from pytest_prodml.adapters.tables import Dataset

        settings = self._context.settings
        if isinstance(source, Table):
            return source
        if isinstance(source, (tuple, list)):
            source = self._context.dataset(source, name)
        if isinstance(source, Dataset) and source.path is not None:
            source = source.path
        table = open_table(source, name=name, base=settings.root)
        target = settings.data.target
        return replace(table, target_name=target) if target in table.engine.columns() else table

    def _given(self, role: str) -> object:
        __tracebackhide__ = True
        if role not in ROLES:
            raise InputError(
                f"there is no table {role!r}", where=self._session.gate_id, hint="test, reference or current"
            )
        return self._request.getfixturevalue(f"prodml_{role}")


class SkewOfTables(Tables):
    """What `ml_data` and `ml_pipeline` have in common."""

    def no_training_serving_skew(
        self,
        offline: object = "reference",
        online: object = "current",
        *,
        key: str | Sequence[str] | None = None,
        time: str | None = None,
        rules: Mapping[str, Any] | None = None,
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        rtol: float = 1e-9,
        widening: bool = False,
        at_most: float | Mapping[str, float] = 0.01,
        missing_keys_at_most: float | Mapping[str, float] = 0.01,
        score: str | None = None,
        threshold: float | None = None,
        flips_at_most: float = 0.01,
        redact: bool = False,
    ) -> Evidence:
        """Show that features are the same offline and online; see `checks.skew.no_training_serving_skew`.

        `offline` and `online` are tables of any kind, or the names of fixtures. Default of `key` is the
        configured entity.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.skew import no_training_serving_skew

        named = self._context.settings.data.entity if key is None else key
        if named is None:
            raise InputError(
                "rows are compared by a key, and none is given",
                where=self._session.gate_id,
                hint="give key=..., or set entity under [tool.prodml.data]",
            )
        first, second = self._any_table(offline, "offline"), self._any_table(online, "online")
        return self._session.settle(
            lambda: no_training_serving_skew(
                first,
                second,
                key=named,
                time=time,
                rules=rules,
                columns=columns,
                ignore=ignore,
                rtol=rtol,
                widening=widening,
                at_most=at_most,
                missing_keys_at_most=missing_keys_at_most,
                score=score,
                threshold=threshold,
                flips_at_most=flips_at_most,
                redact=redact,
                **self._session.tail,
            )
        )
