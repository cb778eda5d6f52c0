"""`[tool.prodml]` of pyproject.toml, or prodml.toml, with what the command line says -> `Settings`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import decode, digest_of, parse_toml, snake_case
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.plugin.looks import LookSettings, look_problems
from pytest_prodml.plugin.options import DEFAULT_OUT
from pytest_prodml.policy.targets import target_problems
from pytest_prodml.records import HardwareTarget, JsonValue

_LARGEST_INTEGER = 2**53 - 1
_PROTOCOLS = ("json", "open_inference", "mlflow")
#: What an answer of a served model can be traced to.
_TRACED = ("model", "code", "data")
#: Beside the tests that use them, for version control.
DEFAULT_COUNTEREXAMPLES = ".prodml/counterexamples"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """`[tool.prodml.model]`: the artefact, and how its scores become decisions.

    `positive_label` is the class that the score is about; None means 1 in the labels, and of a classifier's
    classes the second. A row counts as positive when its score reaches `threshold`; None leaves the decision
    to the model. `favorable_label` is the decision that a person hopes for; None means the positive one.
    A pickle is opened only with `allow_pickle`, and only if its instructions name nothing but what the
    built-in list and `allow` (``"package.module.Class"``) allow. `options` go to the adapter: ``providers``
    and ``columns`` of ONNX, ``activation`` of torch.
    """

    path: str | None = None
    name: str | None = None
    version: str = "unspecified"
    adapter: str | None = None
    allow_pickle: bool = False
    allow: tuple[str, ...] = ()
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    positive_label: int | str | bool | None = None
    favorable_label: int | str | bool | None = None
    threshold: float | None = None

    @property
    def positive(self) -> int | str | bool:
        """The positive class among the labels."""
        return 1 if self.positive_label is None else self.positive_label

    @property
    def favorable(self) -> int | str | bool:
        """The decision that a person hopes for."""
        return self.positive if self.favorable_label is None else self.favorable_label


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """`[tool.prodml.data]`: the tables behind the data fixtures, and their columns.

    Rows with the same `entity` (a client, a document) are not independent: bounds count entities. A row
    stands for `sample_weight` rows of the population. `query` names the rows that are ranked against each
    other, `timestamp` the time of a row. `schema` is the file that says what every row must be.
    """

    reference: str | None = None
    test: str | None = None
    current: str | None = None
    schema: str | None = None
    target: str | None = None
    sensitive: tuple[str, ...] = ()
    entity: str | None = None
    timestamp: str | None = None
    sample_weight: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepchecksSettings:
    """`[tool.prodml.deepchecks]`: the interpreter that deepchecks runs in, and what it may take there.

    `python` None means the environment that `prodml deepchecks install` builds. `suites` names modules that
    make suites of one's own. `any_versions` accepts other packages than the locked ones.
    """

    python: str | None = None
    timeout_seconds: float | None = None
    memory_bytes: int | None = None
    any_versions: bool = False
    suites: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviorSettings:
    """`[tool.prodml.behavior]`: the directory of counterexamples that were found before.

    It holds a file for each gate, is made to be committed, and is asked first the next time.
    """

    counterexamples: str = DEFAULT_COUNTEREXAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySettings:
    """`[tool.prodml.latency]`: the settings in which a test that takes `prodml_cell` is run, each by each.

    An empty list leaves a setting to the model.
    """

    batch_sizes: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    providers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[tool.prodml.server]`: how the model is served, and how it is asked.

    One of `app` (``"module:app"``, served by uvicorn), `command` (with ``{port}``) and `url`. `ready` is the
    path that answers 200 when it is. `protocol` is ``json``, ``open_inference`` or ``mlflow``; of ``json``
    `path` is where requests go, and `encode` and `decode` (``"module:function"``) lead from a frame to JSON
    and from JSON to scores. `model`, `version`, `inputs` and `output` name what the protocol asks for.
    `trace` says in which header of an answer the digest of the model, the revision of the code and that of
    the data stand.
    """

    app: str | None = None
    command: tuple[str, ...] = ()
    url: str | None = None
    ready: str | None = None
    protocol: str = "json"
    path: str | None = None
    model: str | None = None
    version: str | None = None
    inputs: str = "columns"
    output: str | None = None
    encode: str | None = None
    decode: str | None = None
    rows_per_request: int = 1
    trace: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    uvicorn: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    startup_seconds: float = 30.0
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The keys of the configuration file."""

    policy: str | None = None
    out: str = DEFAULT_OUT
    key: str | None = None
    target: str | None = None
    baseline: str | None = None
    baseline_keys: tuple[str, ...] = ()
    pipeline: str | None = None
    seed: int = 0
    confidence_level: float | None = None
    waivers: tuple[str, ...] = ()
    waiver_keys: tuple[str, ...] = ()
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    looks: LookSettings | None = None
    deepchecks: DeepchecksSettings = field(default_factory=DeepchecksSettings)
    behavior: BehaviorSettings = field(default_factory=BehaviorSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    targets: Mapping[str, HardwareTarget] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the project says about itself; `source` is the file it came from.

    Paths are kept as they were written; `at` resolves one. `configuration_digest` is of what the file says
    about the measurements, and the same on every machine.
    """

    root: Path
    source: str
    policy: str | None
    out: str
    key: str | None
    target: str | None
    baseline: str | None
    baseline_keys: tuple[str, ...] = ()
    pipeline: str | None
    sign: bool
    seed: int
    confidence_level: float | None
    waivers: tuple[str, ...]
    waiver_keys: tuple[str, ...]
    model: ModelSettings
    data: DataSettings
    looks: LookSettings | None
    deepchecks: DeepchecksSettings = field(default_factory=DeepchecksSettings)
    behavior: BehaviorSettings = field(default_factory=BehaviorSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    targets: Mapping[str, HardwareTarget] = field(default_factory=dict)
    shard: str | None = None
    serial: int | None = None
    configuration_digest: str = ""

    def at(self, path: str) -> Path:
        """Return `path` as seen from the rootdir."""
        return self.root / path


def load_settings(root: Path, given: Mapping[str, str | bool]) -> Settings:
    """Read the project's configuration and lay the command line over it.

    Parameters
    ----------
    root : Path
        pytest's rootdir, where pyproject.toml or prodml.toml is looked for.
    given : mapping
        What `options.given` found: paths by their setting's name, ``model_version``, ``target``, ``shard``,
        ``serial`` and ``sign``.

    Raises
    ------
    ConfigurationError
        With every problem at once: unknown keys (with the nearest known one), wrong types, values outside
        their range, both files at once.
    """
    source, table = _read(root)
    try:
        file = decode(_File, table, naming=snake_case)
    except MalformedError as error:
        raise ConfigurationError(
            "\n  ".join(["is not a valid configuration", *error.problems]), where=source
        ) from None
    problems = _problems(file)
    shard = _text(given.get("shard"))
    if shard is not None and (problem := label_problem(shard)):
        problems.append(f"the name of the shard {shard!a} {problem} @ --prodml-shard")
    serial = _serial(_text(given.get("serial")), problems)
    if problems:
        raise ConfigurationError("\n  ".join(["is not a valid configuration", *problems]), where=source)
    model = {item.name: getattr(file.model, item.name) for item in fields(ModelSettings)}
    model["path"] = given.get("model") or file.model.path
    model["version"] = given.get("model_version") or file.model.version
    return Settings(
        root=root,
        source=source,
        policy=_text(given.get("policy")) or file.policy,
        out=_text(given.get("out")) or file.out,
        key=_text(given.get("key")) or file.key,
        target=_text(given.get("target")) or file.target,
        baseline=_text(given.get("baseline")) or file.baseline,
        baseline_keys=file.baseline_keys,
        pipeline=file.pipeline,
        sign=bool(given.get("sign", True)),
        seed=file.seed,
        confidence_level=file.confidence_level,
        waivers=file.waivers,
        waiver_keys=file.waiver_keys,
        model=ModelSettings(**model),
        data=file.data,
        looks=file.looks,
        deepchecks=file.deepchecks,
        behavior=file.behavior,
        latency=file.latency,
        server=file.server,
        targets=file.targets,
        shard=shard,
        serial=serial,
        configuration_digest=_digest(file),
    )


def _digest(file: _File) -> str:
    """Digest what the file says, without what differs between machines or is named by a digest of its own."""
    return digest_of(
        replace(
            file,
            policy=None,
            out=DEFAULT_OUT,
            key=None,
            target=None,
            waivers=(),
            waiver_keys=(),
            model=replace(file.model, path=None, version=""),
            deepchecks=replace(file.deepchecks, python=None),
        )
    )


def peek_out(root: Path) -> str:
    """Return the configured output directory without judging the rest of the file."""
    try:
        out = _read(root)[1].get("out")
    except ConfigurationError:
        return DEFAULT_OUT
    return out if isinstance(out, str) and out else DEFAULT_OUT


def _serial(text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 16 and 0 < int(text) <= _LARGEST_INTEGER:
        return int(text)
    problems.append(f"expected a whole number from 1 on, below 2^53, got {text[:40]!a} @ --prodml-serial")
    return None


def _text(value: str | bool | None) -> str | None:
    return value if isinstance(value, str) else None


def _read(root: Path) -> tuple[str, dict[str, Any]]:
    own, shared = root / "prodml.toml", root / "pyproject.toml"
    table: Any = None
    if shared.is_file():
        tool = parse_toml(shared.read_bytes(), where=shared.name).get("tool", {})
        table = tool.get("prodml") if isinstance(tool, dict) else None
    if own.is_file():
        if table is not None:
            raise ConfigurationError(
                "[tool.prodml] and prodml.toml both configure this project",
                where=shared.name,
                hint="keep one of them",
            )
        return own.name, parse_toml(own.read_bytes(), where=own.name)
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError("[tool.prodml] must be a table", where=shared.name)
    if table is None:
        return f"{root} (no prodml.toml, no [tool.prodml] in pyproject.toml)", {}
    return f"{shared.name} [tool.prodml]", table


def _problems(file: _File) -> list[str]:
    problems = []
    level, threshold = file.confidence_level, file.model.threshold
    if level is not None and not 0.5 < level < 1:
        problems.append(f"expected 0.5 < level < 1, got {level} @ $.confidence_level")
    if not 0 <= file.seed <= _LARGEST_INTEGER:
        problems.append(f"expected 0 <= seed < 2^53, got {file.seed} @ $.seed")
    if threshold is not None and not math.isfinite(threshold):
        problems.append(f"expected a finite number, got {threshold} @ $.model.threshold")
    if not file.out.strip():
        problems.append("expected a directory, got an empty text @ $.out")
    if not file.behavior.counterexamples.strip():
        problems.append("expected a directory, got an empty text @ $.behavior.counterexamples")
    problems += _latency_problems(file.latency)
    problems += _server_problems(file.server)
    problems += target_problems(file.targets, "$.targets")
    return problems + look_problems(file.looks) + _deepchecks_problems(file.deepchecks)


def _latency_problems(settings: LatencySettings) -> list[str]:
    problems = []
    for name in ("batch_sizes", "threads"):
        values = getattr(settings, name)
        if any(value < 1 for value in values) or len(set(values)) < len(values):
            problems.append(f"expected different numbers from 1 on, got {list(values)} @ $.latency.{name}")
    if not all(settings.providers) or len(set(settings.providers)) < len(settings.providers):
        found = list(settings.providers)
        problems.append(f"expected different execution providers, got {found} @ $.latency.providers")
    return problems


def _server_problems(settings: ServerSettings) -> list[str]:
    problems = []
    given = [name for name in ("app", "command", "url") if getattr(settings, name)]
    if len(given) > 1:
        problems.append(f"a server is one of app, command and url, got {' and '.join(given)} @ $.server")
    if settings.protocol not in _PROTOCOLS:
        near = difflib.get_close_matches(settings.protocol, _PROTOCOLS, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_PROTOCOLS)}"
        problems.append(f"there is no protocol {settings.protocol!r}; {known} @ $.server.protocol")
    if settings.rows_per_request < 1 or settings.workers < 1 or not settings.startup_seconds > 0:
        problems.append("expected rows_per_request, workers and startup_seconds above 0 @ $.server")
    unknown = [name for name in settings.trace if name not in _TRACED]
    if unknown:
        problems.append(f"expected {', '.join(_TRACED)}, got {unknown[0]!r} @ $.server.trace")
    return problems


def _deepchecks_problems(settings: DeepchecksSettings) -> list[str]:
    problems = []
    seconds, memory = settings.timeout_seconds, settings.memory_bytes
    if seconds is not None and seconds <= 0:
        problems.append(f"expected more than 0 seconds, got {seconds} @ $.deepchecks.timeout_seconds")
    if memory is not None and memory <= 0:
        problems.append(f"expected more than 0 bytes, got {memory} @ $.deepchecks.memory_bytes")
    problems += [
        f"the suite {name!r} is one of deepchecks itself; give yours another name @ $.deepchecks.suites"
        for name in ("data_integrity", "train_test_validation", "model_evaluation")
        if name in settings.suites
    ]
    return problems
