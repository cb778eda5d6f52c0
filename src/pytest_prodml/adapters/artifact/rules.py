"""The allow-list: exact names that a pickle may import, and what it may do with each.

Nothing is allowed by prefix. A name says only what loading needs: a class may be instantiated without its
constructor (`new`) and get a state (`build`), a function or constructor may be called if its arguments pass
the check named in `call` (see `calls`); a name with neither can be stored and no more. Names of functions
that import, look up, open or run something by an argument (`getattr`, `functools.partial`, `operator.*`,
`numpy.load`, `pathlib.Path`, `codecs.encode` with any codec) are left out on purpose, and so is what can make
a loader compute for ever from a few bytes (`range` given to `set`).

What scikit-learn and its dependencies pickle themselves stands in `names_sklearn`, written by
``benchmarks/artifact_allow_list.py`` from fitted estimators.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_prodml.adapters.artifact.names_pandas import (
    ARROW,
    PANDAS_CALLED,
    PANDAS_INSTANCES,
    PANDAS_MAKERS,
    PANDAS_STORED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be done with a name.

    Parameters
    ----------
    new : bool
        Instances may be made without the constructor.
    build : bool
        Instances may get their state (this calls ``__setstate__`` of the class).
    items : bool
        Instances may be filled like a list, a set or a dict.
    call : str, optional
        The check of the arguments with which it may be called.
    makes : str
        ``"itself"``: a call makes an instance of this name; ``"first"``: of its first argument.
    parser : str, optional
        Whose own parser reads raw bytes while loading: told, because that parser is not judged here.
    """

    new: bool = False
    build: bool = False
    items: bool = False
    call: str | None = None
    makes: str = "itself"
    parser: str | None = None


#: The caller answers for it.
TRUSTED = Rule(new=True, build=True, items=True, call="any")
STORED = Rule()
INSTANCE = Rule(new=True, build=True)
PLAIN = Rule(call="any")

_BUILT_IN = {
    "object": Rule(new=True),
    "set": Rule(new=True, items=True, call="container"),
    "frozenset": Rule(new=True, call="container"),
    "list": Rule(new=True, items=True, call="container"),
    "dict": Rule(new=True, items=True, call="container"),
    "tuple": Rule(call="container"),
    "bytearray": Rule(call="bytes"),
    "bytes": Rule(call="bytes"),
    "complex": Rule(call="constants"),
    "slice": Rule(call="constants"),
    "int": Rule(call="constants"),
    "float": Rule(call="constants"),
    "bool": Rule(call="constants"),
    "str": STORED,
    "type": STORED,
    "Ellipsis": STORED,
    "NotImplemented": STORED,
}
_STANDARD: Mapping[tuple[str, str], Rule] = {
    ("collections", "OrderedDict"): Rule(new=True, build=True, items=True, call="container"),
    ("collections", "Counter"): Rule(new=True, items=True, call="container"),
    ("collections", "deque"): Rule(new=True, items=True, call="container"),
    ("collections", "defaultdict"): Rule(items=True, call="defaultdict"),
    ("copyreg", "_reconstructor"): Rule(call="reconstructor", build=True, items=True, makes="first"),
    ("copyreg", "__newobj__"): Rule(call="newobj", makes="first"),
    ("_codecs", "encode"): Rule(call="encode"),
    ("datetime", "date"): PLAIN,
    ("datetime", "datetime"): PLAIN,
    ("datetime", "time"): PLAIN,
    ("datetime", "timedelta"): PLAIN,
    ("datetime", "timezone"): PLAIN,
    ("decimal", "Decimal"): Rule(call="constants"),
    ("fractions", "Fraction"): Rule(call="constants"),
    ("uuid", "UUID"): INSTANCE,
    ("uuid", "SafeUUID"): Rule(call="constants"),
}

#: Where numpy 1 and numpy 2 keep the same things.
_NUMPY_CORES = ("numpy.core", "numpy._core")
_NUMPY_FUNCTIONS = {
    ("multiarray", "_reconstruct"): Rule(call="array", makes="first"),
    ("multiarray", "scalar"): Rule(call="scalar"),
    ("numeric", "_frombuffer"): Rule(call="frombuffer"),
    ("internal", "_convert_to_stringdtype_kwargs"): Rule(call="constants"),
}
_NUMPY_SCALARS = [
    "bool_",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "intc",
    "uintc",
    "longlong",
    "ulonglong",
    "float16",
    "float32",
    "float64",
    "longdouble",
    "complex64",
    "complex128",
    "clongdouble",
    "str_",
    "bytes_",
    "void",
    "object_",
    "datetime64",
    "timedelta64",
    "generic",
    "number",
    "integer",
    "signedinteger",
    "unsignedinteger",
    "floating",
    "inexact",
]
#: Functions of numbers: FunctionTransformer and callables as parameters. Stored, never called while loading.
_NUMPY_FUNCTIONS_STORED = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "hypot",
    "log",
    "log10",
    "log1p",
    "log2",
    "maximum",
    "mean",
    "median",
    "minimum",
    "multiply",
    "negative",
    "nanmean",
    "nanmedian",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "rint",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "std",
    "subtract",
    "sum",
    "tan",
    "tanh",
    "trunc",
    "var",
    "identity",
]
_NUMPY: Mapping[tuple[str, str], Rule] = {
    ("numpy", "ndarray"): Rule(new=False, build=True),
    ("numpy", "matrix"): Rule(build=True),
    ("numpy", "recarray"): Rule(build=True),
    ("numpy", "memmap"): STORED,
    ("numpy", "dtype"): Rule(call="dtype", build=True),
    ("numpy.matrixlib.defmatrix", "matrix"): Rule(build=True),
    ("numpy.ma.core", "MaskedArray"): Rule(build=True),
    ("numpy.ma", "MaskedArray"): Rule(build=True),
    ("numpy.ma.core", "_mareconstruct"): Rule(call="masked", makes="first"),
    ("numpy.random._generator", "Generator"): STORED,
    ("numpy.random.mtrand", "RandomState"): STORED,
    ("numpy.random._pickle", "__bit_generator_ctor"): Rule(call="generator", build=True),
    ("numpy.random._pickle", "__generator_ctor"): Rule(call="generator", build=True),
    ("numpy.random._pickle", "__randomstate_ctor"): Rule(call="generator", build=True),
    ("numpy.random.bit_generator", "SeedSequence"): INSTANCE,
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): Rule(
        call="cython", makes="first", build=True
    ),
    **{
        (f"numpy.random._{module}", name): INSTANCE
        for module, name in (
            ("mt19937", "MT19937"),
            ("pcg64", "PCG64"),
            ("pcg64", "PCG64DXSM"),
            ("philox", "Philox"),
            ("sfc64", "SFC64"),
        )
    },
}

_SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
_SCIPY: Mapping[tuple[str, str], Rule] = {
    **{
        (f"scipy.sparse._{kind}", f"{kind}_{shape}"): INSTANCE
        for kind in _SPARSE
        for shape in ("matrix", "array")
    },
    **{(f"scipy.sparse.{kind}", f"{kind}_matrix"): INSTANCE for kind in _SPARSE},
    ("scipy.interpolate._bsplines", "BSpline"): INSTANCE,
    ("scipy.interpolate._bsplines", "_BSpline"): INSTANCE,
    # Splines of some versions keep the function with which they were made.
    ("scipy._lib.array_api_compat.numpy._aliases", "asarray"): STORED,
    ("scipy._lib.array_api_compat.numpy", "asarray"): STORED,
    ("scipy.interpolate._interpolate", "interp1d"): INSTANCE,
}

_TORCH_TYPES = [
    "Double",
    "Float",
    "Half",
    "Long",
    "Int",
    "Short",
    "Char",
    "Byte",
    "Bool",
    "BFloat16",
    "ComplexDouble",
    "ComplexFloat",
]
_TORCH_DTYPES = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
    "double",
    "float",
    "half",
    "long",
    "int",
    "short",
    "float8_e4m3fn",
    "float8_e5m2",
    "qint8",
    "quint8",
    "strided",
    "sparse_coo",
    "contiguous_format",
    "channels_last",
]
_TORCH_REBUILD = [
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_rebuild_sparse_tensor",
    "_rebuild_parameter",
    "_rebuild_qtensor",
    "_rebuild_meta_tensor_no_storage",
]
_TORCH: Mapping[tuple[str, str], Rule] = {
    **{("torch", f"{name}Storage"): STORED for name in _TORCH_TYPES},
    **{("torch", name): STORED for name in _TORCH_DTYPES},
    **{("torch._utils", name): PLAIN for name in _TORCH_REBUILD},
    ("torch.storage", "UntypedStorage"): STORED,
    ("torch", "Size"): Rule(call="container"),
    ("torch", "device"): Rule(call="constants"),
    ("torch", "Tensor"): STORED,
    ("torch.serialization", "_get_layout"): Rule(call="constants"),
    ("torch.nn.parameter", "Parameter"): STORED,
}

#: State of these is a raw buffer that the library's own parser reads.
_BOOSTERS: Mapping[tuple[str, str], Rule] = {
    **{
        (module, name): Rule(new=True, build=True, parser=parser)
        for parser, module, names in (
            ("xgboost", "xgboost.core", ("Booster",)),
            ("lightgbm", "lightgbm.basic", ("Booster",)),
            (
                "catboost",
                "catboost.core",
                ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"),
            ),
        )
        for name in names
    },
    **{
        ("xgboost.sklearn", name): INSTANCE
        for name in (
            "XGBModel",
            "XGBClassifier",
            "XGBRegressor",
            "XGBRanker",
            "XGBRFClassifier",
            "XGBRFRegressor",
        )
    },
    **{
        ("lightgbm.sklearn", name): INSTANCE
        for name in ("LGBMModel", "LGBMClassifier", "LGBMRegressor", "LGBMRanker", "_EvalFunctionWrapper")
        if not name.startswith("_")
    },
}

_JOBLIB: Mapping[tuple[str, str], Rule] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): Rule(new=True, build=True),
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"): Rule(new=True, build=True),
}


def _pandas_rule(path: str) -> Rule:
    if path in ARROW:
        return Rule(call="any", parser="pyarrow")
    if path in PANDAS_MAKERS:
        return Rule(call="cython" if "__pyx" in path else "first_class", makes="first", build=True)
    if path in PANDAS_STORED:
        return STORED
    return Rule(new=True, build=True, call="any" if path in PANDAS_CALLED else None)


def _hand_written() -> Iterator[tuple[tuple[str, str], Rule]]:
    for name, rule in _BUILT_IN.items():
        yield ("builtins", name), rule
    for core in _NUMPY_CORES:
        for (module, name), rule in _NUMPY_FUNCTIONS.items():
            yield (f"{core}.{module}", name), rule
    for name in (*_NUMPY_SCALARS, *_NUMPY_FUNCTIONS_STORED):
        yield ("numpy", name), STORED
    for path in (*PANDAS_INSTANCES, *PANDAS_CALLED, *PANDAS_MAKERS, *PANDAS_STORED, *ARROW):
        module, _, name = path.rpartition(".")
        yield (module, name), _pandas_rule(path)
    for table in (_STANDARD, _NUMPY, _SCIPY, _TORCH, _BOOSTERS, _JOBLIB):
        yield from table.items()


@functools.cache
def rules() -> Mapping[tuple[str, str], Rule]:
    """Return the whole allow-list: (module, name) -> what may be done with it."""
    from pytest_prodml.adapters.artifact.names_sklearn import CALLED, CYTHON, INSTANCES, STORED_ONLY

    found = dict(_hand_written())
    for path in INSTANCES:
        module, _, name = path.rpartition(".")
        found[module, name] = INSTANCE
    # The one class of scikit-learn that is a dict.
    found["sklearn.utils._bunch", "Bunch"] = Rule(new=True, build=True, items=True)
    for path in CALLED:
        module, _, name = path.rpartition(".")
        found[module, name] = Rule(new=True, build=True, call="any")
        if module == "sklearn._loss._loss":
            # What scikit-learn up to 1.7 calls that compiled module, once it is loaded.
            found["_loss", name] = found[module, name]
            found["_loss", f"__pyx_unpickle_{name}"] = Rule(call="cython", makes="first", build=True)
    for path in CYTHON:
        module, _, name = path.rpartition(".")
        found[module, name] = Rule(call="first_class", makes="first", build=True)
    for path in STORED_ONLY:
        module, _, name = path.rpartition(".")
        found[module, name] = STORED
    return found
