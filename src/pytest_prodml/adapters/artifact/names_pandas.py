"""Names that tables, columns and indexes of pandas pickle (2.2 to 3.1), by what a pickle does with them."""

from __future__ import annotations

from collections.abc import Iterator

_CLASSES = {
    "core.frame": ("DataFrame",),
    "core.series": ("Series",),
    "core.indexes.base": ("Index",),
    "core.indexes.range": ("RangeIndex",),
    "core.indexes.multi": ("MultiIndex",),
    "core.indexes.datetimes": ("DatetimeIndex",),
    "core.indexes.timedeltas": ("TimedeltaIndex",),
    "core.indexes.period": ("PeriodIndex",),
    "core.indexes.category": ("CategoricalIndex",),
    "core.indexes.interval": ("IntervalIndex",),
    "core.indexes.frozen": ("FrozenList",),
    "core.arrays.categorical": ("Categorical",),
    "core.arrays.datetimes": ("DatetimeArray",),
    "core.arrays.timedeltas": ("TimedeltaArray",),
    "core.arrays.period": ("PeriodArray",),
    "core.arrays.interval": ("IntervalArray",),
    "core.arrays.string_": ("StringArray",),
    "core.arrays.string_arrow": ("ArrowStringArray", "ArrowStringArrayNumpySemantics"),
    "core.arrays.integer": ("IntegerArray",),
    "core.arrays.floating": ("FloatingArray",),
    "core.arrays.boolean": ("BooleanArray",),
    "core.arrays.numpy_": ("NumpyExtensionArray",),
    "core.flags": ("Flags",),
}
#: Constructors that a pickle calls with plain values: types of elements.
_TYPES = {
    "core.dtypes.dtypes": ("CategoricalDtype", "DatetimeTZDtype", "PeriodDtype", "IntervalDtype"),
    "core.arrays.string_": ("StringDtype",),
    "core.arrays.integer": (
        "Int8Dtype",
        "Int16Dtype",
        "Int32Dtype",
        "Int64Dtype",
        "UInt8Dtype",
        "UInt16Dtype",
        "UInt32Dtype",
        "UInt64Dtype",
    ),
    "core.arrays.floating": ("Float32Dtype", "Float64Dtype"),
    "core.arrays.boolean": ("BooleanDtype",),
    "core.internals.managers": ("BlockManager", "SingleBlockManager"),
}


def _paths(table: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for module, names in table.items():
        for name in names:
            yield f"pandas.{module}.{name}"
            # From pandas 3 on a class calls itself by the place from which it is meant to be imported.
            yield f"pandas.{name}"
            yield f"pandas.arrays.{name}"


PANDAS_INSTANCES = tuple(_paths(_CLASSES))
PANDAS_CALLED = (
    *_paths(_TYPES),
    "pandas._libs.internals._unpickle_block",
    "pandas.core.internals.blocks.new_block",
    "pandas._libs.tslibs.nattype._nat_unpickle",
    "pandas._libs.tslibs.timestamps._unpickle_timestamp",
    "pandas._libs.tslibs.timedeltas._timedelta_unpickle",
    "pandas._libs.tslibs.offsets.Day",
    "pandas._libs.missing.NAType",
)
#: Functions that make an instance of the class they are given.
PANDAS_MAKERS = (
    "pandas.core.indexes.base._new_Index",
    "pandas.core.indexes.datetimes._new_DatetimeIndex",
    "pandas.core.indexes.period._new_PeriodIndex",
    "pandas.core.indexes.interval._new_IntervalIndex",
    "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
)
PANDAS_STORED = ("pandas.NA", "pandas._libs.missing.NA")
#: Columns of text in pandas 3: buffers that pyarrow checks.
ARROW = (
    "pyarrow.lib._restore_array",
    "pyarrow.lib.type_for_alias",
    "pyarrow.lib.py_buffer",
)
