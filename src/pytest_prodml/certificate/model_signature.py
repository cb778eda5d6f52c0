"""A certified artefact -> the statement of OpenSSF Model Signing v1.0, for tools that look for ``model.sig``.

It lists every file with its digest and says nothing about tests: it is made of a certificate whose model is
ready, for a system that can check the integrity of a model and nothing else. The digest of its `subject` is
Model Signing's own root, the SHA-256 of the files' digests in order. That does not cover names, so it never
stands for a model by itself. https://github.com/sigstore/model-transparency
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pytest_prodml.certificate.digest import MANIFEST_METHOD, FileDigest, manifest
from pytest_prodml.certificate.dsse import Envelope
from pytest_prodml.certificate.forms import sigstore_bundle
from pytest_prodml.certificate.signers.local import PublicKey
from pytest_prodml.certificate.statement import statement_payload
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import MalformedError, SigningKeyError
from pytest_prodml.records import JsonValue, Subject

MODEL_SIGNATURE_TYPE = "https://model_signing/signature/v1.0"


def model_signature_payload(subject: Subject) -> bytes:
    """Return the statement about one certified file or directory, canonical and unsigned.

    Nothing is ignored, and links are not allowed, as in the certificate. A single file is called ``.``, its
    path below itself.

    Raises
    ------
    MalformedError
        If the files that a directory's subject lists are not those of its digest.
    """
    files = _files(subject)
    # Model Signing compares paths part by part: "a/b" comes before "a.bin".
    ordered = sorted(files, key=lambda file: file.path.split("/"))
    root = hashlib.sha256(b"".join(bytes.fromhex(file.sha256) for file in ordered)).hexdigest()
    resources: list[JsonValue] = [
        {"name": file.path, "algorithm": "sha256", "digest": file.sha256} for file in ordered
    ]
    predicate: dict[str, JsonValue] = {
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
        "resources": resources,
    }
    return statement_payload(
        MODEL_SIGNATURE_TYPE, [Subject(name=subject.name, digest={"sha256": root})], predicate
    )


def model_signature_bundle(envelope: Envelope, key: PublicKey | None) -> bytes:
    """Return the ``model.sig`` of a signed statement: a Sigstore bundle.

    Parameters
    ----------
    envelope : Envelope
        `model_signature_payload` in an envelope with one signature.
    key : PublicKey or None
        The key that signed; None for a keyless signature.

    Raises
    ------
    SigningKeyError
        If Model Signing does not know keys of this kind.
    """
    if key is None:
        return sigstore_bundle(envelope, 0)
    if key.type != "p256":
        raise SigningKeyError(
            "Model Signing knows no Ed25519 keys", hint="make a P-256 key: prodml keygen --type p256"
        )
    return sigstore_bundle(envelope, 0, hint=sha256_hex(_pem(key)))


def _files(subject: Subject) -> Sequence[FileDigest]:
    notes = subject.annotations or {}
    if notes.get("method") != MANIFEST_METHOD:
        return [FileDigest(path=".", size=0, sha256=subject.digest["sha256"])]
    listed = notes.get("files")
    files = [
        FileDigest(path=str(item.get("path")), size=0, sha256=str(item.get("sha256")))
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    if sha256_hex(manifest(files)) != subject.digest["sha256"]:
        raise MalformedError("lists other files than its digest stands for", where=subject.name)
    return files


def _pem(key: PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
