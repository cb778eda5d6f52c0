"""What a pickle does -> findings: every import, call, instance and state is held against the allow-list."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_prodml.adapters.artifact.calls import objection
from pytest_prodml.adapters.artifact.result import Report
from pytest_prodml.adapters.artifact.rules import TRUSTED, rules
from pytest_prodml.adapters.artifact.values import OPAQUE, REFUSED, Global, Group, Made, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A buffer that a pickle of torch refers to: its element type, key, and number of elements."""

    kind: str
    key: str
    count: int


@dataclass(slots=True, kw_only=True)
class Actions:
    """The judge of one stream.

    Parameters
    ----------
    report : Report
        Where findings go.
    where : str
        The inner path.
    torch : bool
        Persistent ids name storages, as torch writes them; elsewhere the loader decides what they are.
    strictly : bool
        False for bytes that no one says are a pickle (text files, byte strings): a name that is no
        identifier is then no import.
    crossed : bool
        The stream was written for a loader that takes arrays out of it, and is read without doing so. Memo
        entries then stand for other values, so a name put together from them mostly does not exist.
    """

    report: Report
    where: str
    torch: bool = False
    strictly: bool = True
    crossed: bool = False
    imported_any: bool = False
    storages: list[Storage] = field(default_factory=list)

    def imported(self, module: str, name: str, offset: int) -> Value:
        """Judge an import, and return the name."""
        rule = TRUSTED if (module, name) in self.report.trusted else rules().get((module, name))
        if rule is None and not self.strictly and not _is_path(module, name):
            return OPAQUE
        if rule is None and self.crossed and not _may_exist(module, name):
            return None
        self.imported_any = True
        self.report.imports(module, name)
        found = Global(module, name, rule, offset)
        if rule is None:
            dotted = " (a walk along attributes)" if "." in name else ""
            self._unsafe(
                "import",
                f"byte {offset} imports {found.path}{dotted}, which is not on the list of allowed names",
            )
        elif rule.parser is not None:
            self.report.note(
                f"{self.where}: {found.path} hands its raw buffer to the parser of {rule.parser}"
            )
        return found

    def computed_name(self, module: Value, name: Value, offset: int) -> Value:
        """Judge an import whose name is no constant; None where the loader stops, because it is no text."""
        if not any(_may_be_text(part) for part in (module, name) if type(part) is not str):
            return None
        self.imported_any = True
        told = ", ".join(part if isinstance(part, str) else "?" for part in (module, name))
        self._unsafe("computed-name", f"byte {offset} imports a name that the file computes ({told})")
        return REFUSED

    def call(self, function: Value, arguments: Value, offset: int) -> Value:
        """Judge a call."""
        plain = isinstance(arguments, Group) and arguments.kind in {"tuple", "list"}
        return self._called(function, arguments.items if plain else None, offset)

    def instance(self, cls: Value, arguments: list[Value], offset: int) -> Value:
        """Judge what INST and OBJ do: an instance without its constructor if there are no arguments."""
        if not arguments and isinstance(cls, Global) and cls.rule is not None and cls.rule.new:
            return Made(cls, arguments)
        return self._called(cls, arguments, offset)

    def _called(self, function: Value, arguments: list[Value] | None, offset: int) -> Value:
        if not isinstance(function, Global):
            if self.imported_any and function is not REFUSED:
                self._unsafe("call", f"byte {offset} calls an object that the file made")
            return REFUSED
        if function.rule is TRUSTED:
            return Made(function, arguments or [])
        problem = objection(function, arguments)
        if problem is not None or arguments is None:
            self._unsafe("call", f"byte {offset}: {function.path}{_told(arguments)} {problem}")
            return REFUSED
        return Made(_owner(function, arguments), arguments)

    def new(self, cls: Value, arguments: Value, keywords: Value, offset: int) -> Value:
        """Judge an instance made without its constructor."""
        if not isinstance(cls, Global):
            if self.imported_any and cls is not REFUSED:
                self._unsafe("instance", f"byte {offset} makes an instance of a class that the file computes")
            return REFUSED
        if cls.rule is None:
            return REFUSED
        if not cls.rule.new:
            self._unsafe(
                "instance", f"byte {offset} makes an instance of {cls.path}, which is listed for other uses"
            )
            return REFUSED
        if not isinstance(arguments, Group) or not (keywords is None or isinstance(keywords, Group)):
            self._unsafe("instance", f"byte {offset} makes an instance of {cls.path} with computed arguments")
            return REFUSED
        return Made(cls, [*arguments.items])

    def build(self, target: Value, state: Value, offset: int) -> None:
        """Judge a state that an object gets: this runs ``__setstate__`` of its class."""
        if isinstance(target, Global):
            self._unsafe("patch", f"byte {offset} changes {target.path} itself, not an instance of it")
        elif isinstance(target, Made):
            self._build_made(target, state, offset)
        elif target is OPAQUE and self.imported_any:
            # (Containers and constants have no state: the loader stops with an error.)
            self._unsafe("state", f"byte {offset} sets the state of an object of an unknown class")

    def _build_made(self, target: Made, state: Value, offset: int) -> None:
        owner = target.owner
        name = owner.path if owner is not None else "an unknown class"
        if owner is None or owner.rule is None or not owner.rule.build:
            self._unsafe(
                "state",
                f"byte {offset} sets the state of an instance of {name}, which the list does not allow",
            )
        elif target.built and owner.rule is not TRUSTED:
            # The first state may have put a method of its own into the instance.
            self._unsafe("state", f"byte {offset} sets the state of an instance of {name} a second time")
        elif owner.rule is not TRUSTED and (problem := _state_problem(state)):
            self._unsafe("state", f"byte {offset}: the state of an instance of {name} {problem}")
        target.state, target.built = state, True

    def fill(self, target: Value, items: Sequence[Value], offset: int) -> None:
        """Judge items that are put into a container or an object like one."""
        if isinstance(target, Group):
            if target.kind in {"list", "dict", "set"}:
                target.items.extend(items)
            return
        if isinstance(target, Made):
            rule = target.owner.rule if target.owner is not None else None
            if rule is None or not rule.items:
                name = target.owner.path if target.owner is not None else "an unknown class"
                self._unsafe(
                    "items",
                    f"byte {offset} puts items into an instance of {name}, which the list does not allow",
                )
            elif target.built and rule is not TRUSTED:
                self._unsafe(
                    "items",
                    f"byte {offset} puts items into an object after its state, which may hold a method",
                )
        elif isinstance(target, Global):
            self._unsafe("patch", f"byte {offset} changes {target.path} itself, not an instance of it")
        elif target is OPAQUE and self.imported_any:
            self._unsafe("items", f"byte {offset} puts items into an object of an unknown class")

    def extension(self, code: int, offset: int) -> Value:
        """Tell a code of the extension registry: which name it stands for is known to the loader only."""
        self._unread(f"byte {offset} imports number {code} of the loader's extension registry")
        return OPAQUE

    def persistent(self, value: Value, offset: int) -> Value:
        """Judge an object that the loader has to know by an id."""
        if self.torch and (storage := _storage(value)):
            self.storages.append(storage)
            return Made(None, [])
        self._unread(f"byte {offset} refers to an object outside of the file, by an id")
        return OPAQUE

    def outside_buffer(self, offset: int) -> Value:
        """Tell a buffer that is not in the file."""
        self._unread(f"byte {offset} refers to a buffer outside of the file")
        return OPAQUE

    def _unread(self, why: str) -> None:
        # Where nobody says that it is a pickle, the loader that takes it for one stops here.
        if self.strictly:
            self.report.unread(self.where, why)

    def _unsafe(self, what: str, detail: str) -> None:
        self.report.unsafe(self.where, what, detail)


_DICTS = frozenset(
    {"builtins.dict", "collections.OrderedDict", "collections.Counter", "collections.defaultdict"}
)


@functools.cache
def _known() -> tuple[frozenset[str], frozenset[str]]:
    """Return the packages of which something is allowed, with Python's own; and the names allowed in any."""
    packages = {module.partition(".")[0] for module, _ in rules()}
    return frozenset(packages | sys.stdlib_module_names), frozenset(name for _, name in rules())


def _may_exist(module: str, name: str) -> bool:
    packages, names = _known()
    return module.partition(".")[0] in packages and name not in names


def _may_be_text(value: Value) -> bool:
    """Say whether a value could be exactly a `str`: no allowed call returns one."""
    if isinstance(value, Made):
        return value.owner is None or value.owner.rule is TRUSTED
    return value is OPAQUE or value is REFUSED


def _is_path(module: str, name: str) -> bool:
    return all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def _told(arguments: Sequence[Value] | None) -> str:
    """Return the constants of a call, shortened."""
    if arguments is None:
        return "(...)"
    shown = [
        repr(item)[:60] if isinstance(item, (str, int, float, type(None))) else "..."
        for item in arguments[:4]
    ]
    return f"({', '.join(shown)}{', ...' if len(arguments) > 4 else ''})"


def _owner(function: Global, arguments: Sequence[Value]) -> Global | None:
    if function.rule is not None and function.rule.makes == "first":
        first = arguments[0] if arguments else None
        return first if isinstance(first, Global) else None
    return function


def _state_problem(state: Value) -> str | None:
    """Say what is wrong with a state: special names replace methods, and names that are computed could be."""
    parts = [state]
    if isinstance(state, Group) and state.kind == "tuple" and len(state.items) == 2:
        parts = list(state.items)
    for part in parts:
        if isinstance(part, Made) and part.owner is not None and part.owner.path in _DICTS:
            return "is a dict that a call makes, so its names are not known"
        if not isinstance(part, Group) or part.kind != "dict":
            continue
        for key in part.items[::2]:
            if isinstance(key, str) and key.startswith("__") and key.endswith("__"):
                return f"sets {key}, a special name"
            if not isinstance(key, (str, int, float, type(None))):
                return "sets an attribute under a name that the file computes"
    return None


def _storage(value: Value) -> Storage | None:
    if not isinstance(value, Group) or value.kind != "tuple" or len(value.items) not in {5, 6}:
        return None
    tag, kind, key, location, count = value.items[:5]
    if tag != "storage" or not isinstance(kind, Global) or kind.rule is None or type(count) is not int:
        return None
    if type(key) is not str or type(location) is not str or count < 0:
        return None
    return Storage(kind=kind.name, key=key, count=count)
