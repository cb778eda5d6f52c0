"""What a fresh process runs: a model file in onnxruntime, or a function of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pytest_prodml.adapters.arrays import Array
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue


class Program(Protocol):
    """What a fresh process runs."""

    @property
    def name(self) -> str:
        """What is started, for messages."""
        ...

    def request(self, directory: Path) -> dict[str, Any]:
        """Write what the process reads into its directory, and return where it is."""
        ...

    def working_directory(self, directory: Path) -> Path:
        """Return where the process runs."""
        ...

    def check(self, told: Mapping[str, JsonValue]) -> None:
        """Refuse a process that ran something else."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxProgram:
    """An ONNX file in a session of its own.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str
        Its digest: what a process has loaded is compared with it.
    outputs : sequence of str
        What a prediction asks for.
    batches : sequence
        Predictions, taken in turn. Each is a sequence of feeds (several, where the graph has a fixed batch
        size that is smaller), and a feed an array for each input.
    providers : sequence of str
        Those of the session under test.
    intra_op_threads, inter_op_threads : int
        Likewise.
    onnxruntime : str
        The version that the process has to find.
    """

    path: Path
    sha256: str
    outputs: Sequence[str]
    batches: Sequence[Sequence[Mapping[str, Array]]]
    providers: Sequence[str]
    intra_op_threads: int
    inter_op_threads: int
    onnxruntime: str

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    def request(self, directory: Path) -> dict[str, Any]:
        """Write the inputs, without pickle."""
        batches = []
        for number, batch in enumerate(self.batches):
            parts = []
            for part, feed in enumerate(batch):
                files = {}
                for place, (name, array) in enumerate(feed.items()):
                    file = directory / f"{number}-{part}-{place}.npy"
                    np.save(file, _without_objects(array, name), allow_pickle=False)
                    files[name] = str(file)
                parts.append(files)
            batches.append(parts)
        return {
            "entry": None,
            "path": str(self.path.resolve()),
            "outputs": list(self.outputs),
            "batches": batches,
            "providers": list(self.providers),
            "intra_op_threads": self.intra_op_threads,
            "inter_op_threads": self.inter_op_threads,
        }

    def working_directory(self, directory: Path) -> Path:
        """Return the process's own directory: there is nothing else to read."""
        return directory

    def check(self, told: Mapping[str, JsonValue]) -> None:
        """Refuse another file, another onnxruntime, and a session with other providers."""
        if told.get("sha256") != self.sha256:
            raise InputError(
                "a fresh process loaded another file than the model that is measured",
                where=self.name,
                hint="the file has changed since it was loaded here: run the gates again",
            )
        if told.get("onnxruntime") != self.onnxruntime:
            raise InputError(
                f"a fresh process finds onnxruntime {told.get('onnxruntime')!r}, not {self.onnxruntime}",
                where=self.name,
                hint="packages that only this process's sys.path has are not there; install them",
            )
        if told.get("providers") != list(self.providers):
            raise InputError(
                f"a fresh process runs on {told.get('providers')}, not on {list(self.providers)}",
                where=self.name,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProgram:
    """A function of the project that loads a model, and returns a callable that makes one prediction.

    Parameters
    ----------
    entry : str
        ``"module:function"``.
    root : Path
        Where the process runs.
    paths : sequence of Path
        Where its modules are, beside what is installed.

    Raises
    ------
    InputError
        If `entry` is not of that form.
    """

    entry: str
    root: Path
    paths: Sequence[Path]

    def __post_init__(self) -> None:
        module, colon, function = self.entry.partition(":")
        names = [*module.split("."), *function.split(".")]
        if not colon or not all(name.isidentifier() for name in names):
            raise InputError(
                f"the entry {self.entry!r} names no function",
                hint='write "module:function": a function that loads the model, and returns a callable '
                "without arguments that makes one prediction",
            )

    @property
    def name(self) -> str:
        """The entry."""
        return self.entry

    def request(self, directory: Path) -> dict[str, Any]:
        """Return where the modules are."""
        del directory
        return {"entry": self.entry, "paths": [str(path.resolve()) for path in self.paths]}

    def working_directory(self, directory: Path) -> Path:
        """Return the root of the project, which a service may read files of."""
        del directory
        return self.root

    def check(self, told: Mapping[str, JsonValue]) -> None:
        """Take what the project says for its own model."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a model file as it is now.

    Raises
    ------
    InputError
        If it can not be read.
    """
    try:
        return sha256_hex(path.read_bytes())
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=path.name) from None


def _without_objects(array: Array, name: str) -> Array:
    """Return texts as an array of fixed width, which needs no pickle."""
    if array.dtype != object:
        return array
    texts = array.astype(str)
    if (texts.astype(object) != array).any():
        raise InputError(
            "holds what can not be handed to another process: texts only, and none that ends with NUL",
            where=f"input {name}",
        )
    return texts
