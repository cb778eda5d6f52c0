"""Write the conformance folder: ``python tests/conformance/make.py`` from the root of the repository.

The folders are the specification, this script only wrote them. It is deterministic: keys are derived from their
names, and signed with deterministic ECDSA (RFC 6979), so that a second run changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402 - found through the line above
from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: E402

from certificate_factory import GATES, NOW, Desk, gate_runs, policy  # noqa: E402
from pytest_prodml.certificate.signers.local import LocalSigner, parse_public_key  # noqa: E402
from pytest_prodml.records import Certificate, Producer  # noqa: E402

AT = "2026-11-22T09:31:00Z"
SHARED = "../shared"
#: The names of test keys that are P-256; all others are Ed25519.
P256 = frozenset({"p256", "p256-ds"})
POLICY = """\
name = "conformance"
version = "1"
confidence_level = 0.95
validity = "90d"

[require]
gates = ["performance.auc"]

[waivers]
gates = ["fairness.age"]
max = 1
max_days = 60
"""
#: What a certificate says that issued it: no version of this package, so that its sentences may improve.
PRODUCER = Producer(name="pytest-prodml", version="conformance")
#: Reasons that a verifier of signatures and format alone finds as well.


class DeterministicSigner(LocalSigner):
    """A test key whose P-256 signatures do not change from run to run."""

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return self.key.sign(data)


class Table(Desk):
    """The desk that all cases share: `root` is the folder ``shared``."""

    def key(self, name: str = "ci", **_options: Any) -> LocalSigner:
        """Return the test key of a name."""
        seed = hashlib.sha256(f"pytest-prodml conformance TEST KEY {name}".encode()).digest()
        private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
        if name in P256:
            private = ec.derive_private_key(int.from_bytes(seed) >> 1, ec.SECP256R1())
        else:
            private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path = self.root / "keys" / f"{name}.pub"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pem)
        return DeterministicSigner(public_key=parse_public_key(pem, where=name), key=private)

    def small(self, gates: int = 1, **changes: Any) -> Certificate:
        """Return a certificate with the first gates of the factory, and nothing that is not needed."""
        subjects = changes.get("subjects", (self.subject(),))
        values = {name: changes.pop(name) for name in ("auc", "age_gap") if name in changes}
        arguments: dict[str, Any] = {
            "policy": policy(POLICY),
            "gates": GATES[:gates],
            "runs": gate_runs(subjects, **values)[:gates],
            "materials": (),
            "environments": {},
        }
        return replace(self.build(**{**arguments, **changes}), producer=PRODUCER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One folder. `files` are written beside ``certificate.json``; `options` follow the usual ones.

    `trust` is the text of a trust.toml, or the bytes of a signed trust root.
    """

    name: str
    row: str
    what: str
    certificate: bytes
    codes: Sequence[str] = ()
    exit_code: int = 0
    at: str = AT
    file: str = "certificate.json"
    keys: Sequence[str] = ("ci",)
    key_files: Sequence[str] = ()
    trust: str | bytes | None = None
    models: Sequence[str] = (f"{SHARED}/model.onnx",)
    policy: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    options: Sequence[str] = ()

    def arguments(self) -> list[str]:
        """Return the arguments of ``prodml verify``, relative to the folder."""
        given = ["verify", self.file]
        if self.trust is None:
            for path in [*(f"{SHARED}/keys/{name}.pub" for name in self.keys), *self.key_files]:
                given += ["--key", path]
        else:
            given += ["--trust", self.trust_file()]
        for model in self.models:
            given += ["--model", model]
        given += ["--policy", f"{SHARED}/policy.toml" if self.policy is None else "policy.toml"]
        return [*given, *self.options]

    def trust_file(self) -> str:
        """Return the name of the trust root's file."""
        return "trust.json" if isinstance(self.trust, bytes) else "trust.toml"


def write(case: Case) -> None:
    """Write the folder of a case."""
    folder = HERE / case.name
    folder.mkdir()
    files = {case.file: case.certificate, **case.files}
    if isinstance(case.trust, bytes):
        files[case.trust_file()] = case.trust
    elif case.trust is not None:
        files[case.trust_file()] = case.trust.replace('"keys/', f'"{SHARED}/keys/').encode()
    if case.policy is not None:
        files["policy.toml"] = case.policy.encode()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    document: dict[str, Any] = {
        "what": case.what,
        "row": case.row,
        "arguments": case.arguments(),
        "now": case.at,
        "expect": {
            "accepted": not case.codes,
            "exit_code": case.exit_code,
            "reasons": list(case.codes),
        },
    }
    (folder / "case.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    """Write every folder anew."""
    from conformance import (
        cases_about_content,
        cases_about_merging,
        cases_about_runs,
        cases_about_standing,
        cases_about_trust_roots,
        cases_about_waivers,
        cases_in_the_envelope,
        cases_in_the_payload,
    )

    for folder in HERE.iterdir():
        if (folder / "case.json").is_file():
            shutil.rmtree(folder)
    shared = HERE / "shared"
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir()
    table = Table(shared)
    table.policy.write_text(POLICY, encoding="utf-8")
    tree = shared / "tree"
    (tree / "weights").mkdir(parents=True)
    (tree / "config.json").write_bytes(b'{"layers": 2}\n')
    (tree / "weights" / "0.bin").write_bytes(bytes(range(64)))
    makers: list[Callable[[Table], Sequence[Case]]] = [
        cases_in_the_envelope.cases,
        cases_in_the_payload.cases,
        cases_about_content.cases,
        cases_about_merging.cases,
        cases_about_runs.cases,
        cases_about_standing.cases,
        cases_about_trust_roots.cases,
        cases_about_waivers.cases,
    ]
    found = [case for maker in makers for case in maker(table)]
    for case in found:
        write(case)
    print(f"{len(found)} cases, {sum(not case.codes for case in found)} of them to be accepted")  # noqa: T201


__all__ = ["AT", "NOW", "POLICY", "SHARED", "Case", "Table"]

if __name__ == "__main__":
    sys.modules["conformance.make"] = sys.modules["__main__"]
    main()
