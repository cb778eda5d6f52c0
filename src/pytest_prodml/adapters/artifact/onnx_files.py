"""An ONNX file -> findings: operators whose code is elsewhere, weights in other files, paths that lead out.

Read field by field from the protocol buffer, subgraphs and functions included; no operator is created. A
field that is not in the schema known here (ONNX 1.19 and before) is unread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pytest_prodml.adapters.artifact.paths import path_problem
from pytest_prodml.adapters.artifact.protobuf import Field, WireError, fields
from pytest_prodml.adapters.artifact.result import Beside, Report

#: Domains whose operators onnxruntime itself brings.
_DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.training",
        "ai.onnx.preview",
        "ai.onnx.preview.training",
        "com.microsoft",
        "com.microsoft.experimental",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
    }
)
#: Operators of these domains that run code, or load a compiled binary, named by the model.
_OPERATORS = {
    "PythonOp": "runs a function of Python by its name",
    "PythonOpGrad": "runs a function of Python by its name",
    "ATen": "runs any function of torch by its name",
    "EPContext": "loads a binary that an execution provider compiled",
    "Snpe": "loads a binary that an execution provider compiled",
    "YieldOp": "hands control back to the program that trains",
}
_MOST_NESTED = 24

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = (
    {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26},
    {1, 2, 5, 10, 11, 12, 13, 14, 15, 16},
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 20, 21, 22, 23},
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16},
    {1, 2, 3},
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
    {1, 2, 3, 4},
)


def looks_like_onnx(data: memoryview) -> bool:
    """Say whether bytes are a protocol buffer with a model's version, graph and operator sets."""
    if len(data) < 8:
        return False
    seen: set[int] = set()
    try:
        for found in fields(data):
            expected = 0 if found.number in {1, 5} else 2
            if found.number not in _MODEL or found.wire != expected:
                return False
            seen.add(found.number)
    except WireError:
        return False
    return {1, 7} <= seen


@dataclass(slots=True)
class _Reader:
    report: Report
    where: str
    base: Path | None
    functions: set[tuple[str, str]] = field(default_factory=set)
    operators: dict[tuple[str, str], int] = field(default_factory=dict)
    intact: bool = True

    def unread(self, why: str) -> None:
        """Tell a part that was not read."""
        self.intact = False
        self.report.unread(self.where, why)

    def known(self, found: Field, numbers: set[int], message: str) -> bool:
        """Say whether a field is in the schema."""
        if found.number in numbers:
            return True
        self.unread(f"the field {found.number} of {message} is none that is known")
        return False

    def model(self, data: memoryview) -> None:
        """Read a ModelProto."""
        for found in fields(data):
            if found.number == 25:
                self.functions.add((_text_field(found.data, 10), _text_field(found.data, 1)))
        for found in fields(data):
            if not self.known(found, _MODEL, "the model"):
                continue
            if found.number == 7:
                self.graph(found.data, 0)
            elif found.number == 20:
                self.training(found.data)
            elif found.number == 25:
                self.function(found.data)

    def training(self, data: memoryview) -> None:
        """Read a TrainingInfoProto."""
        for found in fields(data):
            if self.known(found, _TRAINING, "the training") and found.number in {1, 2}:
                self.graph(found.data, 0)

    def function(self, data: memoryview) -> None:
        """Read a FunctionProto."""
        for found in fields(data):
            if not self.known(found, _FUNCTION, "a function"):
                continue
            if found.number == 7:
                self.node(found.data, 0)
            elif found.number == 11:
                self.attribute(found.data, 0)

    def graph(self, data: memoryview, depth: int) -> None:
        """Read a GraphProto."""
        if depth > _MOST_NESTED:
            self.unread(f"graphs nested more than {_MOST_NESTED} deep")
            return
        for found in fields(data):
            if not self.known(found, _GRAPH, "a graph"):
                continue
            if found.number == 1:
                self.node(found.data, depth)
            elif found.number == 5:
                self.tensor(found.data)
            elif found.number == 15:
                self.sparse(found.data)

    def node(self, data: memoryview, depth: int) -> None:
        """Read a NodeProto."""
        operator = domain = ""
        for found in fields(data):
            if not self.known(found, _NODE, "a node"):
                continue
            if found.number == 4:
                operator = _text(found.data)
            elif found.number == 7:
                domain = _text(found.data)
            elif found.number == 5:
                self.attribute(found.data, depth)
        self.operators[domain, operator] = self.operators.get((domain, operator), 0) + 1

    def attribute(self, data: memoryview, depth: int) -> None:
        """Read an AttributeProto."""
        for found in fields(data):
            if not self.known(found, _ATTRIBUTE, "an attribute"):
                continue
            if found.number in {5, 10}:
                self.tensor(found.data)
            elif found.number in {6, 11}:
                self.graph(found.data, depth + 1)
            elif found.number in {22, 23}:
                self.sparse(found.data)

    def sparse(self, data: memoryview) -> None:
        """Read a SparseTensorProto."""
        for found in fields(data):
            if self.known(found, _SPARSE, "a sparse tensor") and found.number in {1, 2}:
                self.tensor(found.data)

    def tensor(self, data: memoryview) -> None:
        """Read a TensorProto: only what says where its numbers are."""
        outside, entries, name = False, [], ""
        for found in fields(data):
            if not self.known(found, _TENSOR, "a tensor"):
                continue
            if found.number == 8:
                name = _text(found.data)
            elif found.number == 13:
                entries.append((_text_field(found.data, 1), _text_field(found.data, 2)))
            elif found.number == 14:
                outside = found.value == 1
        if outside or entries:
            self.external(name, entries)

    def external(self, name: str, entries: list[tuple[str, str]]) -> None:
        """Judge where a tensor's numbers are said to be."""
        locations = [value for key, value in entries if key == "location"]
        if len(locations) != 1:
            self.report.unsafe(
                self.where,
                "external-data",
                f"the tensor {name!a} names {len(locations)} files for its numbers",
            )
            return
        location = locations[0]
        if location.startswith("*/_ORT_MEM_ADDR_"):
            self.report.unsafe(
                self.where, "external-data", f"the tensor {name!a} lies at an address of the process's memory"
            )
            return
        if problem := path_problem(location):
            self.report.unsafe(
                self.where, "external-data", f"the tensor {name!a} is in {location!a}, a path that {problem}"
            )
            return
        if self.base is None:
            self.unread(f"the tensor {name!a} is in another file, {location!a}")
            return
        self._beside(self.base, location, dict(entries), name)

    def _beside(self, base: Path, location: str, entries: dict[str, str], name: str) -> None:
        file = base / location
        links = [
            part
            for part in (file, *file.parents)
            if part != base and base in part.parents and part.is_symlink()
        ]
        if links:
            self.report.unsafe(
                self.where, "external-data", f"the tensor {name!a} is behind the symbolic link {location!a}"
            )
            return
        try:
            size = file.stat().st_size
            reach = int(entries.get("offset") or 0) + int(entries.get("length") or 0)
            if not file.is_file() or reach > size:
                self.unread(f"the tensor {name!a} reaches beyond the end of {location!a}")
                return
            if not any(item.name == location for item in self.report.beside):
                with file.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                self.report.beside[Beside(name=location, sha256=digest, size=size)] = None
                self.report.note(
                    f"{self.where}: weights are in {location}, which the model's own digest does not cover"
                )
        except (OSError, ValueError):
            self.unread(f"the tensor {name!a} is in {location!a}, which can not be read")


def scan_onnx(report: Report, where: str, data: memoryview, base: Path | None) -> None:
    """Read a model.

    Parameters
    ----------
    report, where : Report, str
        Where findings go.
    data : memoryview
        The file.
    base : Path or None
        The directory in which the model lies, to look at the files that it names; None where it has none.
    """
    reader = _Reader(report, where, base)
    try:
        reader.model(data)
    except WireError as error:
        reader.unread(f"is no whole protocol buffer: {error}")
    for (domain, operator), count in sorted(reader.operators.items()):
        told = f"{domain or 'ai.onnx'}::{operator}"
        times = f" ({count} nodes)" if count > 1 else ""
        if domain in report.trusted_domains or told in report.trusted_domains:
            continue
        if operator in _OPERATORS and domain in _DOMAINS:
            report.unsafe(where, "operator", f"{told} {_OPERATORS[operator]}{times}")
        elif domain not in _DOMAINS and (domain, operator) not in reader.functions:
            report.unsafe(
                where, "custom-operator", f"{told} is an operator whose code is not in the file{times}"
            )
    if reader.intact:
        report.read(where)


def _text(data: memoryview) -> str:
    return str(data[:4_096], "utf-8", "replace")


def _text_field(data: memoryview, number: int) -> str:
    text = ""
    for found in fields(data):
        if found.number == number and found.wire == 2:
            text = _text(found.data)
    return text
