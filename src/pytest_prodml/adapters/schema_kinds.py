"""Any of pandera's schemas, whatever backend it is of."""

from __future__ import annotations

from typing import Any

from pytest_prodml._lazy import loaded
from pytest_prodml.errors import InputError

_BACKENDS = ("pandera.pandas", "pandera.polars", "pandera.ibis")


def backend_of(schema: Any) -> str:  # noqa: ANN401 - pandera has no types for us
    """Return ``"pandas"``, ``"polars"`` or ``"ibis"``: whose cells the schema's own checks expect.

    Raises
    ------
    InputError
        If it is no schema.
    """
    found = any_schema(schema)
    for name in _BACKENDS:
        backend = loaded(name)
        if backend is not None and isinstance(found, backend.DataFrameSchema):
            return name.removeprefix("pandera.")
    # any_schema returns nothing else.
    raise InputError("the schema is of no known backend", where="schema")


def any_schema(schema: Any) -> Any:  # noqa: ANN401 - pandera has no types for us
    """Return the `DataFrameSchema` behind a schema or a model class of pandera's pandas, polars or ibis side.

    Raises
    ------
    InputError
        If it is something else.
    """
    for name in _BACKENDS:
        # An object of a backend can exist only where that backend is loaded.
        backend = loaded(name)
        if backend is None:
            continue
        if isinstance(schema, type) and issubclass(schema, backend.DataFrameModel):
            return schema.to_schema()  # type: ignore[attr-defined]
        if isinstance(schema, backend.DataFrameSchema):
            return schema
    kind = schema if isinstance(schema, type) else type(schema)
    raise InputError(
        f"expected a pandera schema, got {kind.__module__}.{kind.__qualname__}",
        where="schema",
        hint="build pandera.pandas.DataFrameSchema({...}), or one of pandera.polars or pandera.ibis",
    )
