"""`prodml export`: a certificate in the formats of other tools.

An export changes nothing and checks nothing that a reader of it could not check again - with one exception:
a statement that is signed anew says what its signer vouches for. So it is signed only after the certificate's
own signature was checked with a key that the signer names, and its decision repeated from its evidence.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import add_passphrase, passphrase, read_document, write
from pytest_prodml.errors import ConfigurationError, UntrustedError

if TYPE_CHECKING:
    from pytest_prodml.certificate.dsse import Envelope
    from pytest_prodml.certificate.signers import Signer
    from pytest_prodml.certificate.signers.keyless import SigstoreSigner
    from pytest_prodml.certificate.signers.local import LocalSigner
    from pytest_prodml.certificate.signers.uri import ExternalSigner
    from pytest_prodml.records import Certificate

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type

FORMATS = ("sigstore", "test-result", "intoto", "junit", "openlineage", "model-sig")


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "export",
        help="write a certificate in the formats of other tools",
        usage="prodml export [-h] --out PATH [--key KEY --signed-by PUB] [--passphrase-fd N]\n"
        "                     [--subject NAME]\n"
        "                     {sigstore,test-result,intoto,junit,openlineage,model-sig} CERT",
        description="Write a certificate in another format. sigstore: one bundle v0.3 for each signature, in "
        "the directory PATH. test-result: an in-toto test-result statement, unsigned, or with --key in an "
        "envelope. intoto: an .intoto.jsonl of the certificate and, with --key, that statement. junit: "
        "the gates as JUnit XML. openlineage: the run event of the certification. model-sig: the OpenSSF "
        "Model Signing signature of a ready model, made with --key. A statement is signed only if "
        "--signed-by signed the certificate and its decision follows from its evidence.",
        allow_abbrev=False,
    )
    parser.add_argument("format", choices=FORMATS, help="what to write")
    parser.add_argument(
        "certificate",
        type=Path,
        metavar="CERT",
        help="certificate.json, its page, or a Sigstore bundle of it",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="PATH",
        help="the file (sigstore: the directory) to write",
    )
    parser.add_argument("--key", metavar="KEY", help="private key, or signer URI, that signs the statement")
    parser.add_argument(
        "--subject", metavar="NAME", help="model-sig: which certified artefact (default: the only one)"
    )
    parser.add_argument(
        "--signed-by", action="append", default=[], type=Path, metavar="PUB",
        help="public key that must have signed the certificate; needed with --key (repeat for several)",
    )  # fmt: skip
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Read, convert and write."""
    from pytest_prodml.certificate.exports import intoto_lines, junit_xml, test_result_payload
    from pytest_prodml.certificate.forms import page_problem, read_form
    from pytest_prodml.certificate.statement import read_certificate
    from pytest_prodml.codec import sha256_hex

    signs = parsed.format in {"test-result", "intoto", "model-sig"}
    if not signs and parsed.key is not None:
        raise ConfigurationError(f"{parsed.format} is not signed anew", where="--key")
    if parsed.subject is not None and parsed.format != "model-sig":
        raise ConfigurationError(f"{parsed.format} is about every artefact", where="--subject")
    if parsed.key is None and parsed.format == "model-sig":
        raise ConfigurationError("a model signature is signed", hint="give --key together with --signed-by")
    if (parsed.key is None) != (not parsed.signed_by):
        raise ConfigurationError(
            "a statement is signed only about a certificate whose signer is known",
            hint="give --key together with --signed-by",
        )
    form = read_form(read_document(parsed.certificate), where=str(parsed.certificate))
    envelope = form.envelope
    certificate = read_certificate(envelope.payload)
    if problem := page_problem(form, certificate):
        raise UntrustedError(problem, where=str(parsed.certificate))
    if parsed.format == "sigstore":
        return _bundles(envelope, parsed.out)
    if parsed.format == "junit":
        write(parsed.out, junit_xml(certificate))
        print(parsed.out)
        return 0
    if parsed.format == "openlineage":
        from pytest_prodml.certificate.openlineage import run_event

        write(parsed.out, run_event(certificate, sha256_hex(envelope.payload)))
        print(parsed.out)
        return 0
    if parsed.format == "model-sig":
        return _model_signature(parsed, envelope, certificate)
    payload = test_result_payload(certificate, sha256_hex(envelope.payload))
    if parsed.key is None:
        unsigned = parsed.format == "test-result"
        write(parsed.out, payload if unsigned else intoto_lines([envelope]))
        print(f"{parsed.out}{' (UNSIGNED)' if unsigned or not envelope.signatures else ''}")
        return 0
    statement = _signed(parsed, envelope, certificate, payload, _signer(parsed))
    lines = [statement] if parsed.format == "test-result" else [envelope, statement]
    write(parsed.out, intoto_lines(lines))
    print(parsed.out)
    return 0


def _bundles(envelope: Envelope, directory: Path) -> int:
    from pytest_prodml.certificate.forms import sigstore_bundle

    if not envelope.signatures:
        raise ConfigurationError("the certificate is not signed, so there is no bundle to write")
    for index, signature in enumerate(envelope.signatures):
        # The key id is a hint that anybody can edit: it becomes no part of a path as it is.
        hint = "".join(c for c in signature.keyid[:16] if c in "0123456789abcdef") or "key"
        path = directory / f"certificate.{index + 1}-{hint}.sigstore.json"
        write(path, sigstore_bundle(envelope, index))
        print(path)
    return 0


def _model_signature(parsed: argparse.Namespace, envelope: Envelope, certificate: Certificate) -> int:
    from pytest_prodml.certificate.model_signature import model_signature_bundle, model_signature_payload
    from pytest_prodml.certificate.signers.keyless import SigstoreSigner
    from pytest_prodml.records import Readiness

    if certificate.decision.outcome is Readiness.NOT_READY:
        # A model signature has no place for "but do not use it".
        raise ConfigurationError("the model is not ready, and a model signature can not say so")
    subjects = {subject.name: subject for subject in certificate.subjects}
    name = parsed.subject or (next(iter(subjects)) if len(subjects) == 1 else None)
    if name not in subjects:
        known = ", ".join(subjects)
        raise ConfigurationError(f"which artefact? the certificate names {known}", hint="give --subject NAME")
    signer = _signer(parsed)
    key = None if isinstance(signer, SigstoreSigner) else signer.public_key
    statement = _signed(parsed, envelope, certificate, model_signature_payload(subjects[name]), signer)
    write(parsed.out, model_signature_bundle(statement, key))
    print(parsed.out)
    return 0


def _signer(parsed: argparse.Namespace) -> LocalSigner | ExternalSigner | SigstoreSigner:
    from pytest_prodml.certificate.signers.uri import open_statement_signer

    return open_statement_signer(parsed.key, passphrase=passphrase(parsed))


def _signed(
    parsed: argparse.Namespace,
    envelope: Envelope,
    certificate: Certificate,
    payload: bytes,
    signer: Signer,
) -> Envelope:
    from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, sign, valid_signers
    from pytest_prodml.verify.trust import load_keys
    from pytest_prodml.verify.verifier import replay_reasons

    signers = valid_signers(envelope, load_keys(parsed.signed_by))
    if not signers or envelope.payload_type != INTOTO_PAYLOAD_TYPE:
        raise UntrustedError("is not signed by a key of --signed-by", where=str(parsed.certificate))
    for reason in replay_reasons(certificate):
        raise UntrustedError(reason.message, where=str(parsed.certificate))
    return sign(payload, [signer])
