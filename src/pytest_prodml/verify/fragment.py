"""The bytes of a run log -> `LoggedRun`: every line read strictly, the seal and its signature checked.

A log that ends in a seal is what its run wrote, whole and in order. One without is of a run that was
interrupted, or whose end was cut off: the two look the same, so both count as interrupted, and never lead to
a certificate that says ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_prodml.certificate.document import read_record
from pytest_prodml.certificate.dsse import parse_envelope, valid_signers
from pytest_prodml.certificate.runlog import (
    LOG_VERSION,
    SEAL_TYPE,
    LogEnd,
    LogEnvironment,
    LogGateRun,
    LogHead,
    LogInventory,
    LogSeal,
    SealedLog,
)
from pytest_prodml.certificate.signers.local import PublicKey
from pytest_prodml.codec import ENVELOPE_LIMITS, decode, digest_of, parse_json, sha256_hex
from pytest_prodml.errors import MalformedError, ProdmlError
from pytest_prodml.records import Environment, Gate, GateRun, RunState, RunSummary
from pytest_prodml.verify.report import ExitCode

#: Every reason for which `prodml merge` refuses, with its exit code and what it stands for.
MERGE_REASONS = {
    "fragment-malformed": (ExitCode.MALFORMED, "a file is no run log, or breaks a rule of its format"),
    "fragment-unsigned": (ExitCode.NO_SIGNATURE, "a run log carries no signature, or its run never ended"),
    "fragment-untrusted": (ExitCode.UNTRUSTED, "a run log was signed with a key that was not given"),
    "fragment-altered": (ExitCode.UNTRUSTED, "lines of a run log were changed after it was sealed"),
    "fragment-subject": (ExitCode.SUBJECT, "a run was about another model than the one given"),
    "fragment-time": (ExitCode.TIME, "a run began in the future, or longer ago than a certificate is valid"),
    "fragment-policy": (ExitCode.POLICY, "a run was made under another policy"),
    "fragment-version": (ExitCode.EVIDENCE, "a run was made by another version of this package"),
    "fragment-revision": (ExitCode.EVIDENCE, "two runs were made of different code"),
    "fragment-configuration": (ExitCode.EVIDENCE, "two runs were configured differently"),
    "fragment-look": (ExitCode.EVIDENCE, "two runs count as different looks at the test set"),
    "fragment-gate": (ExitCode.EVIDENCE, "two runs define a gate differently"),
    "fragment-data": (ExitCode.EVIDENCE, "two runs measured on different data of one name"),
    "fragment-twice": (ExitCode.EVIDENCE, "one run is given twice"),
    "fragment-missing": (ExitCode.EVIDENCE, "a shard that is expected was not given"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReason:
    """Why runs were not merged; `path` names the file, or the gate."""

    code: str
    message: str
    path: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of `prodml merge`."""
        return MERGE_REASONS[self.code][0]


class MergeRefusedError(ProdmlError):
    """Run logs that can not become one certificate, with every reason."""

    def __init__(self, reasons: Sequence[MergeReason]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(f"{reason.code}: {reason.message}" for reason in self.reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """What one run log says. `summary` is None for a run that was interrupted.

    `runs` holds what stands in the log, and for an interrupted run also the gates that it had left to do.
    """

    where: str
    digest: str
    head: LogHead
    inventory: LogInventory | None
    gates: tuple[Gate, ...]
    runs: tuple[GateRun, ...]
    environments: Mapping[str, Environment]
    summary: RunSummary | None
    signed_by: tuple[str, ...]


@dataclass(slots=True)
class _Lines:
    """The content of a log while its lines are read."""

    head: LogHead
    inventory: LogInventory | None = None
    gates: dict[Gate, None] = field(default_factory=dict)
    runs: list[GateRun] = field(default_factory=list)
    environments: dict[str, Environment] = field(default_factory=dict)
    end: LogEnd | None = None


def read_run_log(
    data: bytes, *, where: str, keys: Sequence[PublicKey] = (), allow_unsigned: bool = False
) -> LoggedRun:
    """Read a run log.

    Parameters
    ----------
    data : bytes
        The file.
    where : str
        What the reader knows it as.
    keys : sequence of PublicKey
        Whose signature on a log counts. One by one of them is enough.
    allow_unsigned : bool
        Take a log that carries no signature, which is that of every interrupted run too. One that carries a
        signature of an unknown key is refused all the same.

    Raises
    ------
    MergeRefusedError
        If it is no run log, was altered, or nobody who is known here signed it.
    """
    try:
        return _read(data, where, keys, allow_unsigned=allow_unsigned)
    except MalformedError as error:
        raise _refusal("fragment-malformed", str(error), where) from None


def _read(data: bytes, where: str, keys: Sequence[PublicKey], *, allow_unsigned: bool) -> LoggedRun:
    if len(data) > ENVELOPE_LIMITS.size_bytes:
        raise MalformedError(
            f"has more than {ENVELOPE_LIMITS.size_bytes:,} bytes, which no certificate could hold",
            where=where,
        )
    # A process that dies while it writes leaves a last line without its end; nothing vouches for that.
    *whole, torn = data.split(b"\n")
    if not whole:
        raise MalformedError("holds no complete line, so it is no run log", where=where)
    seal = None if torn else _seal_in(whole[-1], where)
    sealed_run: str | None = None
    signed_by: tuple[str, ...] = ()
    if seal is not None:
        content = data[: len(data) - len(whole.pop()) - 1]
        sealed_run, signed_by = _check_seal(seal, content, keys, where)
    if not signed_by and not allow_unsigned:
        _read_head(whole[0] if whole else b"", where)
        told = (
            "is not signed"
            if seal is not None
            else "has no seal (its run was interrupted, or its end cut off)"
        )
        raise _refusal("fragment-unsigned", f"{told}, so nobody vouches for it", where)
    lines = _read_lines(whole, where)
    summary = lines.end.run if lines.end is not None and seal is not None else None
    _check_content(lines, summary, sealed_run, where)
    return LoggedRun(
        where=where,
        digest=sha256_hex(data),
        head=lines.head,
        inventory=lines.inventory,
        gates=tuple(lines.gates),
        runs=(*lines.runs, *_left_undone(lines, interrupted=summary is None)),
        environments=lines.environments,
        summary=summary,
        signed_by=signed_by,
    )


def _seal_in(line: bytes, where: str) -> LogSeal | None:
    """Return the seal if the last line is one."""
    try:
        value = _parse(line, where)
    except MalformedError:
        return None
    return decode(LogSeal, value, where=where) if value.get("kind") == "seal" else None


def _read_lines(whole: Sequence[bytes], where: str) -> _Lines:
    lines = _Lines(head=_read_head(whole[0] if whole else b"", where))
    seen = {whole[0]: 1}
    for number, line in enumerate(whole[1:], start=2):
        here = f"{where}:{number}"
        first = seen.setdefault(line, number)
        if first != number:
            raise MalformedError(f"repeats line {first}", where=here)
        value = _parse(line, here)
        if lines.end is not None:
            raise MalformedError("stands after the end of the run", where=here)
        match value.get("kind"):
            case "inventory" if lines.inventory is None:
                lines.inventory = decode(LogInventory, value, where=here)
                lines.gates.update(dict.fromkeys(lines.inventory.gates))
            case "environment":
                _add_environment(lines, decode(LogEnvironment, value, where=here), here)
            case "gate-run":
                _add_run(lines, decode(LogGateRun, value, where=here), here)
            case "end":
                lines.end = decode(LogEnd, value, where=here)
            case kind:
                raise MalformedError(f"a line {str(kind)[:40]!a} has no place here", where=here)
    return lines


def _read_head(line: bytes, where: str) -> LogHead:
    value = _parse(line, f"{where}:1")
    if "payloadType" in value:
        raise MalformedError("is a signed document such as a certificate, and no run log", where=where)
    if value.get("kind") != "run":
        raise MalformedError("does not begin with the head of a run, so it is no run log", where=where)
    version = value.get("version")
    if version != LOG_VERSION:
        raise MalformedError(
            f"is a run log of version {str(version)[:20]}; this package merges version {LOG_VERSION}",
            where=where,
        )
    head = decode(LogHead, value, where=f"{where}:1")
    if len(head.subjects) != 1 or not head.subjects[0].digest.get("sha256"):
        raise MalformedError("must name one model by its sha256", where=f"{where}:1")
    return head


def _parse(line: bytes, where: str) -> dict[str, Any]:
    value = parse_json(line, where=where)
    if not isinstance(value, dict):
        raise MalformedError("is not a JSON object", where=where)
    return value


def _add_environment(lines: _Lines, line: LogEnvironment, where: str) -> None:
    if digest_of(line.environment) != line.digest:
        raise MalformedError("states a digest that is not the environment's", where=where)
    lines.environments[line.digest] = line.environment


def _add_run(lines: _Lines, line: LogGateRun, where: str) -> None:
    if (line.run.gate_id, line.run.location) != (line.gate.id, line.gate.location):
        raise MalformedError("is a run of another gate than it names", where=where)
    digest = line.run.evidence.environment_digest if line.run.evidence is not None else None
    if digest is not None and digest not in lines.environments:
        raise MalformedError("names an environment that does not stand before it", where=where)
    lines.gates.setdefault(line.gate)
    lines.runs.append(line.run)


def _check_seal(
    seal: LogSeal, content: bytes, keys: Sequence[PublicKey], where: str
) -> tuple[str, tuple[str, ...]]:
    """Return which run was sealed, and the key ids of those who signed and are known.

    There are none if it carries no signature at all.
    """
    envelope = parse_envelope(seal.envelope.encode(), where=f"{where}: seal")
    signers = valid_signers(envelope, keys)
    if envelope.signatures and not signers:
        message = "was signed with a key that was not given, or its seal was changed"
        raise _refusal("fragment-untrusted", message, where)
    sealed = read_record(envelope, SealedLog, SEAL_TYPE, where=f"{where}: seal")
    if sealed.digest != {"sha256": sha256_hex(content)}:
        message = "lines were changed, removed, moved or added after the run sealed them"
        raise _refusal("fragment-altered", message, where)
    return sealed.run_id, tuple(sorted(key.keyid for key in signers))


def _check_content(lines: _Lines, summary: RunSummary | None, sealed_run: str | None, where: str) -> None:
    head = lines.head
    if sealed_run is not None and (sealed_run != head.run_id or summary is None):
        raise MalformedError("is sealed as another run, or before its end", where=where)
    if summary is None:
        return
    if (summary.id, summary.target, summary.look) != (head.run_id, head.target, head.look):
        raise MalformedError("says at its end another run, target or look than at its beginning", where=where)
    if summary.fragments is not None:
        raise MalformedError("is merged already; merge the runs themselves", where=where)
    if lines.inventory is None:
        raise MalformedError("has an end and no inventory", where=where)
    if any(count < 0 for count in summary.ordinary_tests.values()) or summary.workers < 0:
        raise MalformedError("counts fewer than no tests", where=where)


def _left_undone(lines: _Lines, *, interrupted: bool) -> list[GateRun]:
    """Return a run for every gate of which the log tells none."""
    ran = {run.gate_id for run in lines.runs}
    unselected = frozenset(lines.inventory.unselected) if lines.inventory is not None else frozenset[str]()
    reason = "the run was interrupted before this gate was done" if interrupted else ""
    return [
        GateRun(gate_id=gate.id, location=gate.location, state=RunState.DESELECTED)
        if gate.id in unselected
        else GateRun(gate_id=gate.id, location=gate.location, state=RunState.NOT_RUN, reason=reason)
        for gate in lines.gates
        if gate.id not in ran
    ]


def _refusal(code: str, message: str, where: str) -> MergeRefusedError:
    return MergeRefusedError([MergeReason(code=code, message=message, path=where)])
