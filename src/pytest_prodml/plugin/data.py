"""What the `ml_data` fixture returns: the project's tables, bound to the checks of the data dimension."""

from __future__ import annotations

from typing import Literal

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.dimensions import Bound
from pytest_prodml.records import Evidence


class DataGate(Bound):
    """What the `ml_data` fixture returns."""

    def conforms_to(
        self,
        schema: object = None,
        *,
        data: Literal["test", "reference", "current"] = "test",
        at_most: float = 0.0,
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
        redact : bool
            Leave the values of violating rows out of the evidence.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import conforms_to

        if data not in {"test", "reference", "current"}:
            raise InputError(
                f"there is no table {data!r}", where="ml_data", hint="test, reference or current"
            )
        rules = self._request.getfixturevalue("prodml_schema") if schema is None else schema
        table = self._context.dataset(self._request.getfixturevalue(f"prodml_{data}"), data)
        return self._session.settle(
            lambda: conforms_to(rules, table, at_most=at_most, redact=redact, **self._session.tail),
            materials=[table.material],
        )
