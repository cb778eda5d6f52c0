"""A module of torch, in memory or from its files -> `Predictor`: one matrix of numbers in, scores out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.entry import named
from pytest_prodml.adapters.exported_programs import judge_exported
from pytest_prodml.adapters.model_columns import as_matrix, select
from pytest_prodml.adapters.model_files import (
    ModelFile,
    first_line,
    loaded_by,
    read_model_file,
    require_safe,
)
from pytest_prodml.adapters.predictor import Scores, as_labels, as_scores
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

#: Nobody said what the module returns.
UNSAID = "unsaid"
_ACTIVATIONS = ("sigmoid", "softmax", "none", None)
_DTYPES: Mapping[str, type[np.floating[Any]]] = {"float32": np.float32, "float64": np.float64}
_SCRIPT = "format:torchscript"
_EXPORT = "save it with torch.export.save as .pt2, or its state dict, or as ONNX"


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchPredictor:
    """A module that takes (n, d) numbers and returns (n,), (n, 1) or (n, k).

    `activation` makes probabilities of what it returns; None (or "none") says that it returns them already.
    `batch` is the number of rows that an exported program was fixed to.
    """

    module: Any
    columns: tuple[str, ...]
    activation: str | None
    dtype: str = "float32"
    device: str = "cpu"
    kind: str = "module"
    batch: int | None = None
    name: str = "in memory"
    subject: Subject | None = field(default=None)

    @property
    def description(self) -> str:
        """The kind of model, and its file."""
        return f"torch {self.kind} {self.name}"

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the score of the positive class, or of each class if there are more than two."""
        return self._scores(self._input(rows))

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
        """Return 1 from a score of 0.5 on, or the class with the largest score."""
        return as_labels(self.predict_score(rows))

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Convert the columns and move them to the device now; the answer is waited for and comes back."""
        given = self._input(rows)
        return lambda: self._scores(given)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return version, device, threads, type of the input and activation."""
        torch = require("torch", extra="torch")
        return {
            "adapter": "torch",
            "torch": str(torch.__version__),
            "device": self.device,
            "threads": int(torch.get_num_threads()),
            "kind": self.kind,
            "dtype": self.dtype,
            "activation": self.activation or "none",
        }

    def close(self) -> None:
        """Nothing is held open."""

    def _input(self, rows: pd.DataFrame) -> Any:  # noqa: ANN401 - torch has types of its own
        torch = require("torch", extra="torch")
        frame = select(rows, self.columns, n_columns=len(self.columns), where=self.description)
        if self.batch is not None and len(rows) % self.batch:
            raise InputError(
                f"was exported for exactly {self.batch} rows a call, and {len(rows)} is no multiple of that",
                where=self.description,
                hint="export it with an open batch dimension",
            )
        return torch.from_numpy(as_matrix(frame, _DTYPES[self.dtype], where=self.description)).to(self.device)

    def _scores(self, given: Any) -> Scores:  # noqa: ANN401
        torch = require("torch", extra="torch")
        parts = [given] if self.batch in {None, len(given)} or not len(given) else given.split(self.batch)
        try:
            with torch.inference_mode():
                raw = [self._activated(self.module(part)) for part in parts]
        except (RuntimeError, AssertionError, TypeError, ValueError) as error:
            raise InputError(f"refused the rows: {first_line(error)}", where=self.description) from None
        return as_scores(np.concatenate(raw), len(given), where=self.description)

    def _activated(self, raw: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
        torch = require("torch", extra="torch")
        if not isinstance(raw, torch.Tensor):
            raise InputError(
                f"returned {type(raw).__name__} where one tensor is expected",
                where=self.description,
                hint="wrap it in a module that returns the scores alone",
            )
        width = raw.shape[1] if raw.ndim == 2 else 1
        if raw.ndim > 2 or (self.activation == "sigmoid" and width != 1):
            raise InputError(
                f"returned the shape {tuple(raw.shape)}, which {self.activation or 'no activation'} makes no "
                "scores of",
                where=self.description,
            )
        if self.activation == "softmax" and width < 2:
            raise InputError("has one output, and softmax of one is 1", where=self.description)
        # In double precision: an activation in half precision would make ties.
        wide = raw.detach().to("cpu", torch.float64)
        if self.activation == "sigmoid":
            wide = torch.sigmoid(wide)
        elif self.activation == "softmax":
            wide = torch.softmax(wide, dim=1)
        found: npt.NDArray[np.float64] = wide.numpy()
        return found


def from_module(
    module: Any,  # noqa: ANN401
    *,
    columns: Sequence[str] | None,
    activation: str | None = UNSAID,
    dtype: str = "float32",
    device: str | None = None,
    name: str = "in memory",
    subject: Subject | None = None,
) -> TorchPredictor:
    """Adapt a module, a scripted module or an exported program; a module is put into eval mode.

    Parameters
    ----------
    module : torch.nn.Module, ScriptModule or ExportedProgram
        Takes one matrix.
    columns : sequence of str
        The columns of the matrix, in the order of training.
    activation : "sigmoid", "softmax", "none" or None
        What makes probabilities of its output; None and "none" where it returns scores.
    dtype : "float32" or "float64"
        What it takes.
    device : str, optional
        Where it is to run; default where it is.
    name, subject : str, Subject
        Of the file that it came from.

    Raises
    ------
    InputError
        If columns or activation are not said, or the device is not there.
    """
    where = f"torch model {name}"
    if activation not in _ACTIVATIONS:
        raise InputError(
            "does not tell logits from probabilities"
            if activation == UNSAID
            else f"no activation {activation!r}",
            where=where,
            hint='say activation="sigmoid", "softmax", or "none" if it returns scores',
        )
    if not columns or isinstance(columns, str):
        raise InputError(
            "has no names of its own for its columns", where=where, hint="say columns=[...] in their order"
        )
    if dtype not in _DTYPES:
        raise InputError(f"no input is {dtype!r}", where=where, hint=f"known: {', '.join(_DTYPES)}")
    torch = require("torch", extra="torch")
    batch, kind = None, "module"
    if isinstance(module, torch.export.ExportedProgram):
        kind, batch = "exported program", _fixed_batch(module)
        weights = [*module.state_dict.values(), *module.constants.values()]
        module = module.module()
    else:
        kind = "TorchScript" if isinstance(module, torch.jit.ScriptModule) else "module"
        module.eval()
        weights = [*module.parameters(), *module.buffers()]
    devices = {str(each.device) for each in weights if isinstance(each, torch.Tensor)} or {device or "cpu"}
    if len(devices) > 1:
        raise InputError(f"is spread over {', '.join(sorted(devices))}", where=where)
    found = devices.pop()
    if device is not None and str(torch.device(device)) != found:
        if kind == "exported program":
            raise InputError(f"was exported for {found}, not for {device}", where=where)
        try:
            module = module.to(device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"can not run on {device}: {first_line(error)}", where=where) from None
        found = str(torch.device(device))
    return TorchPredictor(
        module=module,
        columns=tuple(columns),
        activation=None if activation == "none" else activation,
        dtype=dtype,
        device=found,
        kind=kind,
        batch=batch,
        name=name,
        subject=subject,
    )


def load_torch(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    activation: str | None = UNSAID,
    dtype: str = "float32",
    device: str | None = None,
    entry: str | None = None,
    allow: Iterable[str] = (),
) -> TorchPredictor:
    """Load an exported program, a state dict or, where it is allowed, TorchScript.

    Parameters
    ----------
    path : Path
        The model file; what it is, its content tells.
    columns, activation, dtype, device
        As of `from_module`.
    entry : str, optional
        ``"module:function"`` that makes the module which a state dict is for.
    allow : iterable of str
        What you answer for. TorchScript is a program: it needs ``"format:torchscript"``.

    Raises
    ------
    InputError
        If a scan does not call the file safe, it is of another kind, or torch can not load it.
    MissingDependencyError
        If torch is not installed.
    """
    allow = tuple(allow)
    file = read_model_file(path, allow=allow)
    torch = require("torch", extra="torch")
    where = torch.device("cpu") if device is None else device
    model: Any
    if path.suffix.lower() == ".pt2":
        judge_exported(file, allow=allow)
        model = loaded_by("torch", file, lambda: torch.export.load(io.BytesIO(file.data)))
    elif any(_SCRIPT in part.why for part in file.scan.parts_unread) or _is_script(file):
        # Its own types stand in it as globals of a package that is nowhere else.
        own = tuple(found for found in file.scan.globals if found.startswith("__torch__."))
        if _SCRIPT in allow:
            file = read_model_file(path, allow=(*allow, *own))
        require_safe(
            file,
            hint=f'TorchScript is a program, which can read and write files: {_EXPORT}, or allow "{_SCRIPT}"',
        )
        model = loaded_by("torch", file, lambda: torch.jit.load(io.BytesIO(file.data), map_location=where))
    else:
        require_safe(file, hint=_EXPORT)
        model = _with_state(file, entry, where, torch)
    return from_module(
        model,
        columns=columns,
        activation=activation,
        dtype=dtype,
        device=device,
        name=path.name,
        subject=file.subject,
    )


def _is_script(file: ModelFile) -> bool:
    return any(part.rpartition("/")[2] == "constants.pkl" for part in file.scan.parts_read)


def _with_state(file: ModelFile, entry: str | None, device: Any, torch: Any) -> Any:  # noqa: ANN401
    if entry is None:
        raise InputError(
            "is a state dict: weights without the module that they are for",
            where=file.where,
            hint='say entry="module:function", which makes the module',
        )
    state = loaded_by(
        "torch",
        file,
        lambda: torch.load(io.BytesIO(file.data), map_location=device, weights_only=True),
    )
    module = named(entry)()
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"returned {type(module).__name__}, no torch.nn.Module", where=entry)
    loaded_by("torch", file, lambda: module.load_state_dict(state, strict=True))
    return module.to(device)


def _fixed_batch(program: Any) -> int | None:  # noqa: ANN401
    """Return the number of rows that an exported program takes, or None where that is open."""
    wanted = program.graph_signature.user_inputs
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name == next(iter(wanted), None):
            shape = node.meta["val"].shape
            return int(shape[0]) if len(shape) and isinstance(shape[0], int) else None
    return None
