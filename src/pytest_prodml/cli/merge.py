"""`prodml merge`: the run logs of shards and hosts -> one certificate, judged once over everything."""

from __future__ import annotations

import argparse
import shutil
import sys
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import add_passphrase, passphrase, read_document
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.publication import CERTIFICATE, publish, remove_certificate
from pytest_prodml.records import Readiness, Subject
from pytest_prodml.render.inert import inert

if TYPE_CHECKING:
    from pytest_prodml.certificate.signers import Signer
    from pytest_prodml.certificate.signers.local import PublicKey
    from pytest_prodml.publication import Published
    from pytest_prodml.records import Policy
    from pytest_prodml.verify.fragment import LoggedRun, MergeReason
    from pytest_prodml.verify.merging import MergedRun

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "merge",
        help="make one certificate from the run logs of several runs",
        usage="prodml merge [-h] --model FILE --policy FILE (--key KEY | --no-sign)\n"
        "                    [--fragment-key PUB] [--allow-unsigned] [--expect SHARD]\n"
        "                    [--waiver FILE] [--waiver-key PUB] [--out DIRECTORY] [--passphrase-fd N]\n"
        "                    FRAGMENT [FRAGMENT ...]",
        description="Make one certificate from the run logs that several runs of `pytest --prodml` left: "
        "shards of one suite, a host with a GPU and one without. The logs must be signed and about one "
        "model, policy, revision of the code and configuration. Every gate is judged again from its "
        "evidence, and all of its runs count. Exit codes: 0 ready, 1 not ready (a certificate says so), "
        "2 usage; 10 to 17 as for `prodml verify`, where no certificate is made.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "fragments", nargs="+", type=Path, metavar="FRAGMENT", help="run log of one run: evidence/*.jsonl"
    )
    parser.add_argument(
        "--model", required=True, type=Path, metavar="FILE", help="the file or directory that was tested"
    )
    parser.add_argument(
        "--policy", required=True, type=Path, metavar="FILE", help="the policy.toml of the runs; it decides"
    )
    signing = parser.add_mutually_exclusive_group(required=True)
    signing.add_argument(
        "--key", metavar="KEY", help="private key, or signer URI, that signs the certificate"
    )
    signing.add_argument("--no-sign", action="store_true", help="make a record that no verifier accepts")
    parser.add_argument(
        "--fragment-key", action="append", default=[], type=Path, metavar="PUB", dest="fragment_keys",
        help="public key that may have signed a run log (repeat for several; default: that of --key)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-unsigned", action="store_true",
        help="take run logs without a signature, and those of interrupted runs; the certificate tells which",
    )  # fmt: skip
    parser.add_argument(
        "--expect", action="append", default=[], metavar="SHARD",
        help="name of a shard that must be there (repeat; shards named 1/3 expect each other without it)",
    )  # fmt: skip
    parser.add_argument(
        "--waiver", action="append", default=[], type=Path, metavar="FILE", dest="waivers",
        help="signed exception (repeat for several)",
    )  # fmt: skip
    parser.add_argument(
        "--waiver-key", action="append", default=[], type=Path, metavar="PUB", dest="waiver_keys",
        help="public key of someone who may approve waivers (repeat for several)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("prodml-report"), metavar="DIRECTORY",
        help="where certificate, page and summary go (default: prodml-report)",
    )  # fmt: skip
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Read, check, merge, decide, sign and write."""
    from pytest_prodml.certificate.digest import subject_of
    from pytest_prodml.certificate.signers import KeylessSigner
    from pytest_prodml.certificate.signers.uri import open_statement_signer
    from pytest_prodml.policy.load import load_policy
    from pytest_prodml.verify.fragment import MergeReason, MergeRefusedError
    from pytest_prodml.verify.merging import merge_runs
    from pytest_prodml.verify.trust import load_keys

    _prepare(parsed.out)
    policy = load_policy(parsed.policy)
    signers = (
        [open_statement_signer(parsed.key, passphrase=passphrase(parsed))] if parsed.key is not None else []
    )
    keys = load_keys(parsed.fragment_keys) or tuple(
        signer.public_key for signer in signers if not isinstance(signer, KeylessSigner)
    )
    approvers = load_keys(parsed.waiver_keys)
    subject = subject_of(parsed.model)
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        logged = _read_all(parsed.fragments, keys, allow_unsigned=parsed.allow_unsigned)
        merged = merge_runs(
            logged,
            run_id=uuid.uuid4().hex,
            policy=policy,
            subject=subject,
            now=now,
            expected=parsed.expect,
        )
        published = _publish(parsed, merged, policy, signers, approvers, now)
    except MergeRefusedError as error:
        return _refuse(error.reasons)
    except MalformedError as error:
        # What a log holds can be of the right form and still be nothing that a certificate may say.
        return _refuse([MergeReason(code="fragment-malformed", message=str(error))])
    _tell(published, logged, parsed.out)
    return int(published.certificate.decision.outcome is Readiness.NOT_READY)


def _prepare(out: Path) -> None:
    """Make the directory, and remove the certificate that lies there: it is not the result of this merge."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_certificate(out)
    except OSError as error:
        raise ConfigurationError(f"can not be written: {error.strerror}", where=str(out)) from None


def _read_all(paths: Iterable[Path], keys: Sequence[PublicKey], *, allow_unsigned: bool) -> list[LoggedRun]:
    """Read every log, and tell about all that are refused at once."""
    from pytest_prodml.verify.fragment import MergeRefusedError, read_run_log

    found: list[LoggedRun] = []
    reasons: list[MergeReason] = []
    for path in paths:
        try:
            found.append(
                read_run_log(read_document(path), where=str(path), keys=keys, allow_unsigned=allow_unsigned)
            )
        except MergeRefusedError as error:
            reasons += error.reasons
    if reasons:
        raise MergeRefusedError(reasons)
    return found


def _publish(
    parsed: argparse.Namespace,
    merged: MergedRun,
    policy: Policy,
    signers: Sequence[Signer],
    approvers: Sequence[PublicKey],
    now: datetime,
) -> Published:
    from pytest_prodml.certificate.build import build_certificate, materials_of

    certificate = build_certificate(
        model_name=merged.model_name,
        model_version=merged.model_version,
        subjects=[merged.subject],
        policy=policy,
        gates=merged.gates,
        runs=merged.runs,
        run=merged.summary,
        environments=merged.environments,
        started_at=merged.started_at,
        issued_at=now,
        materials=materials_of(merged.runs),
        waivers=_waivers(parsed, merged.subject, policy, signers, approvers, now),
        valid_from=merged.started_at,
    )
    try:
        return publish(certificate, signers, parsed.out)
    except OSError as error:
        raise ConfigurationError(f"can not be written: {error.strerror}", where=str(parsed.out)) from None


def _waivers(
    parsed: argparse.Namespace,
    subject: Subject,
    policy: Policy,
    signers: Sequence[Signer],
    approvers: Sequence[PublicKey],
    now: datetime,
) -> tuple[bytes, ...]:
    from pytest_prodml.certificate.waiver import waivers_in_force

    found = waivers_in_force(
        [(str(path), read_document(path)) for path in parsed.waivers],
        approvers,
        signers=signers,
        policy=policy,
        subject=subject,
        now=now,
    )
    for note in found.notes:
        print(inert(note, lines=True), file=sys.stderr)
    return found.envelopes


def _refuse(reasons: Iterable[MergeReason]) -> int:
    first, *more = reasons
    print(f"NOT MERGED (exit code {int(first.exit_code)})", file=sys.stderr)
    for reason in (first, *more):
        where = f"{reason.path}: " if reason.path and not reason.message.startswith(reason.path) else ""
        print(inert(f"  {reason.code}: {where}{reason.message}", lines=True), file=sys.stderr)
    return int(first.exit_code)


def _tell(published: Published, logged: list[LoggedRun], out: Path) -> None:
    from pytest_prodml.policy.decide import conflicts
    from pytest_prodml.render.terminal import render_terminal

    encoding = (sys.stdout.encoding or "ascii").lower()
    for line in render_terminal(
        published.view, width=shutil.get_terminal_size().columns, ascii_only=not encoding.startswith("utf")
    ):
        print(line)
    fragments = published.certificate.run.fragments or ()
    for fragment, run in zip(fragments, logged, strict=True):
        how = "signed" if fragment.signed_by else "UNSIGNED"
        ended = "" if fragment.ended else ", INTERRUPTED"
        print(inert(f"fragment {fragment.name} ({how}{ended}): {run.where}"))
    differing = conflicts(published.certificate)
    if differing:
        print("gates whose runs do not agree (the worst counts):")
    for gate_id, outcomes in differing.items():
        told = ", ".join(f"{outcome.value} in {worker}" for worker, outcome in outcomes)
        print(inert(f"  {gate_id}: {told}"))
    print(inert(f"certificate: {out / CERTIFICATE}"))
