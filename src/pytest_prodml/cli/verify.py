"""`prodml verify`: whether this model may be used, under this policy, now."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import moment, named_path, read_document
from pytest_prodml.codec import format_time
from pytest_prodml.errors import ProdmlError
from pytest_prodml.render.inert import inert
from pytest_prodml.verify.report import Reason, VerificationReport, report_json

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "verify",
        help="decide whether a certificate allows a model to be used",
        description="Check the signatures, re-hash the model, repeat the decision from the evidence and "
        "judge it under the given policy. Exit codes: 0 accepted, 1 not ready, 2 usage, 10 no signature, "
        "11 malformed, 12 untrusted, 13 subject differs, 14 expired or not yet valid, 15 policy not met, "
        "16 waiver expired or untrusted, 17 evidence does not support the decision, 70 internal error.",
        allow_abbrev=False,
    )
    parser.add_argument("certificate", type=Path, metavar="CERT", help="the signed certificate.json")
    parser.add_argument(
        "--key", action="append", required=True, type=Path, metavar="PUB", dest="keys",
        help="public key whose signature counts (repeat for several)",
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
    parser.add_argument(
        "--at", type=moment, metavar="RFC3339", help="judge as of this time instead of now (audits)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON on standard output")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Verify and report. Nothing but a report without reasons gives 0."""
    try:
        report = _verify(parsed)
    except ProdmlError as error:
        report = _failed("usage", str(error))
    except Exception as error:  # noqa: BLE001 - a broken verifier refuses, in the form that was asked for
        report = _failed("internal", f"{type(error).__name__}: {error}")
    if parsed.json:
        print(json.dumps(report_json(report), indent=2))
    elif report.accepted:
        print("\n".join(_accepted(report)))
    else:
        print("\n".join(_refused(report)), file=sys.stderr)
    return int(report.exit_code)


def _verify(parsed: argparse.Namespace) -> VerificationReport:
    from pytest_prodml.policy.load import load_policy
    from pytest_prodml.verify.subjects import present
    from pytest_prodml.verify.trust import load_keys
    from pytest_prodml.verify.verifier import verify

    # What the operator gave is checked first: a wrong option is told even where the certificate is bad too.
    policy = load_policy(parsed.policy)
    keys = load_keys(parsed.keys)
    waiver_keys = load_keys(parsed.waiver_keys)
    envelope = read_document(parsed.certificate)
    return verify(
        envelope,
        keys=keys,
        models=[present(path, name) for name, path in parsed.models],
        policy=policy,
        now=parsed.at or datetime.now(UTC),
        waiver_keys=waiver_keys,
    )


def _failed(code: str, message: str) -> VerificationReport:
    return VerificationReport(checked_at=datetime.now(UTC), reasons=(Reason(code=code, message=message),))


def _accepted(report: VerificationReport) -> Iterator[str]:
    decision = report.decision.value if report.decision else ""
    yield f"ACCEPTED: {_model(report)} is {decision} under the policy {inert(report.policy or '')}"
    yield f"  certificate {report.certificate_id}, valid until {_time(report.expires_at)}"
    yield f"  signed by {', '.join(report.signers)}"
    yield f"  judged at {_time(report.checked_at)}"
    for waiver in report.waivers:
        reference = f" ({waiver.reference})" if waiver.reference else ""
        yield inert(
            f"  waived: {waiver.gate_id} until {_time(waiver.expires_at)}, approved by {waiver.approver}: "
            f"{waiver.reason}{reference}"
        )
    for note in report.notes:
        yield inert(f"  note: {note.message}")


def _refused(report: VerificationReport) -> Iterator[str]:
    yield f"REFUSED (exit code {int(report.exit_code)}): {_model(report)} must not be used"
    for reason in report.reasons:
        where = f" [{inert(reason.path)}]" if reason.path else ""
        yield f"  {reason.code}{where}: {inert(reason.message, lines=True)}"


def _model(report: VerificationReport) -> str:
    if report.model_name is None:
        return "the model"
    return inert(f"{report.model_name} {report.model_version or ''}".rstrip())


def _time(value: datetime | None) -> str:
    return format_time(value) if value is not None else "unknown"
