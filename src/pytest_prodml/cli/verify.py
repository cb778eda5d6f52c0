"""`prodml verify`: whether this model may be used, under this policy, now."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import (
    add_passphrase,
    add_roots,
    add_state,
    moment,
    named_path,
    read_document,
)
from pytest_prodml.codec import format_time
from pytest_prodml.errors import ProdmlError
from pytest_prodml.render.inert import inert
from pytest_prodml.verify.report import Reason, VerificationReport, report_json

if TYPE_CHECKING:
    from pytest_prodml.verify.subjects import Artifact

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "verify",
        help="decide whether a certificate allows a model to be used",
        usage="prodml verify [-h] (--key PUB | --trust FILE) --model [NAME=]FILE --policy FILE\n"
        "                     [--waiver-key PUB] [--root PUB] [--root-threshold N]\n"
        "                     [--revocations FILE_OR_URL] [--state FILE] [--at RFC3339]\n"
        "                     [--json | --explain] [--summary-out FILE --summary-key KEY]\n"
        "                     [--passphrase-fd N]\n"
        "                     CERT",
        description="Check the signatures, re-hash the model, repeat the decision from the evidence and "
        "judge it under the given policy. Exit codes: 0 accepted, 1 not ready, 2 usage, 10 no signature, "
        "11 malformed, 12 untrusted, 13 subject differs, 14 expired, not yet valid or superseded, 15 policy "
        "not met, 16 revoked, or waiver expired or untrusted, 17 evidence does not support the decision, "
        "70 internal error.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "certificate",
        type=Path,
        metavar="CERT",
        help="certificate.json, its page, or a Sigstore bundle of it",
    )
    believed = parser.add_mutually_exclusive_group(required=True)
    believed.add_argument(
        "--key", action="append", default=[], type=Path, metavar="PUB", dest="keys",
        help="public key whose signature counts (repeat for several)",
    )  # fmt: skip
    believed.add_argument(
        "--trust", type=Path, metavar="FILE",
        help="trust root in place of keys: who signs in which role, who approves, who revokes",
    )  # fmt: skip
    parser.add_argument(
        "--model", action="append", required=True, type=named_path, metavar="[NAME=]FILE", dest="models",
        help="the file or directory about to be used; with NAME= it must be certified under that name "
        "(repeat: every certified artefact must be given)",
    )  # fmt: skip
    parser.add_argument(
        "--policy", required=True, type=Path, metavar="FILE", help="policy.toml of where the model will run"
    )
    parser.add_argument(
        "--waiver-key", action="append", default=[], type=Path, metavar="PUB", dest="waiver_keys",
        help="public key of someone who may approve waivers (repeat for several)",
    )  # fmt: skip
    add_roots(parser)
    parser.add_argument(
        "--revocations", metavar="FILE_OR_URL",
        help="signed revocation list; of addresses only https, and nothing is fetched without this option",
    )  # fmt: skip
    add_state(parser)
    parser.add_argument(
        "--at", type=moment, metavar="RFC3339", help="judge as of this time instead of now (audits)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON on standard output")
    form.add_argument(
        "--explain", action="store_true", help="print every step, what was looked at and what it found"
    )
    parser.add_argument(
        "--summary-out", type=Path, metavar="FILE",
        help="if accepted, write an in-toto Simple Verification Result, signed with --summary-key",
    )  # fmt: skip
    parser.add_argument(
        "--summary-key", metavar="KEY", help="the gate's own private key, or signer URI, for --summary-out"
    )
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Verify and report. Nothing but a report without reasons gives 0."""
    from pytest_prodml.cli.summary import open_summary_signer, write_summary

    data: bytes | None = None
    models: list[Artifact] = []
    try:
        # Before the certificate is read: a key that can not sign is told even where it is refused.
        signer = open_summary_signer(parsed)
        report, data, models = _verify(parsed)
        if signer is not None and report.accepted and data is not None:
            write_summary(parsed.summary_out, data, report, signer, parsed.policy)
    except ProdmlError as error:
        report = _failed("usage", str(error))
    except Exception as error:  # noqa: BLE001 - a broken verifier refuses, in the form that was asked for
        report = _failed("internal", f"{type(error).__name__}: {error}")
    if parsed.json:
        print(json.dumps(report_json(report), indent=2))
    elif parsed.explain:
        from pytest_prodml.cli.explain import explain

        print("\n".join(explain(report, data, models)))
    elif report.accepted:
        print("\n".join(_accepted(report)))
    else:
        print("\n".join(refused(report, "must not be used")), file=sys.stderr)
    return int(report.exit_code)


def _verify(parsed: argparse.Namespace) -> tuple[VerificationReport, bytes, list[Artifact]]:
    from pytest_prodml.policy.load import load_policy
    from pytest_prodml.verify.gate import Believed, verify_files
    from pytest_prodml.verify.subjects import present

    # What the operator gave is checked first: a wrong option is told even where the certificate is bad too.
    policy = load_policy(parsed.policy)
    data = read_document(parsed.certificate)
    models = [present(path, name) for name, path in parsed.models]
    report = verify_files(
        data,
        Believed(
            keys=parsed.keys,
            waiver_keys=parsed.waiver_keys,
            trust=parsed.trust,
            roots=parsed.roots,
            root_threshold=parsed.root_threshold,
            revocations=parsed.revocations,
            state=parsed.state,
        ),
        models=models,
        policy=policy,
        now=parsed.at or datetime.now(UTC),
    )
    return report, data, models


def _failed(code: str, message: str) -> VerificationReport:
    return VerificationReport(checked_at=datetime.now(UTC), reasons=(Reason(code=code, message=message),))


def _accepted(report: VerificationReport) -> Iterator[str]:
    decision = report.decision.value if report.decision else ""
    yield f"ACCEPTED: {_model(report)} is {decision} under the policy {inert(report.policy or '')}"
    yield f"  certificate {report.certificate_id}, valid until {_time(report.expires_at)}"
    for role, names in report.roles.items():
        yield inert(f"  signed as {role} by {', '.join(names)}")
    if not report.roles:
        yield f"  signed by {', '.join(report.signers)}"
    yield f"  judged at {_time(report.checked_at)}"
    for waiver in report.waivers:
        reference = f" ({waiver.reference})" if waiver.reference else ""
        until = _time(waiver.expires_at)
        every = f" for every {waiver.subject_name}" if waiver.subject_name else ""
        yield inert(
            f"  waived: {waiver.gate_id}{every} until {until}, approved by {waiver.approver}: "
            f"{waiver.reason}{reference}"
        )
    for note in report.notes:
        yield inert(f"  note: {note.message}")


def refused(report: VerificationReport, consequence: str) -> Iterator[str]:
    """Yield the lines that say why a certificate was refused, and what follows for the model."""
    yield f"REFUSED (exit code {int(report.exit_code)}): {_model(report)} {consequence}"
    for reason in report.reasons:
        where = f" [{inert(reason.path)}]" if reason.path else ""
        yield f"  {reason.code}{where}: {inert(reason.message, lines=True)}"


def _model(report: VerificationReport) -> str:
    if report.model_name is None:
        return "the model"
    return inert(f"{report.model_name} {report.model_version or ''}".rstrip())


def _time(value: datetime | None) -> str:
    return format_time(value) if value is not None else "unknown"
