"""Sigstore's JavaScript, which nobody here wrote, believes our keyless bundles and refuses their twins."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from certificate_factory import Desk, ready
from keyless_twins import TWINS
from pytest_prodml.certificate.forms import sigstore_bundle
from pytest_prodml.certificate.statement import certificate_payload
from sigstore_factory import ISSUER, WORKFLOW, Sigstore

SCRIPT = """
const {bundleFromJSON} = require("@sigstore/bundle");
const {TrustedRoot} = require("@sigstore/protobuf-specs");
const {Verifier, toSignedEntity, toTrustMaterial} = require("@sigstore/verify");
const fs = require("fs");
const [directory, rootPath, issuer, name] = process.argv.slice(1);
const root = TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(rootPath)));
const verifier = new Verifier(toTrustMaterial(root));
const answers = {};
for (const file of fs.readdirSync(directory)) {
  try {
    const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(`${directory}/${file}`)));
    const escaped = name.replace(/[.*+?^${}()|[\\]\\\\]/g, "\\\\$&");
    verifier.verify(toSignedEntity(bundle), {subjectAlternativeName: `^${escaped}$`, extensions: {issuer}});
    answers[file] = "accepted";
  } catch (error) { answers[file] = error.code || error.name; }
}
console.log(JSON.stringify(answers));
"""
#: What it accepts and `verify.keyless` does not: it asks for no purpose, looks at the first name only, and takes
#: the root of the tree from the signed checkpoint without a look at the copy beside it.
ONLY_OURS = frozenset({"other purpose", "two names", "other root of the tree"})


def missing() -> str | None:
    """Say why Sigstore's JavaScript can not be run here; None if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    needed = 'for (const n of ["bundle", "verify", "protobuf-specs"]) require("@sigstore/" + n)'
    if subprocess.run(["node", "-e", needed], capture_output=True, check=False).returncode == 0:
        return None
    return "npm install @sigstore/bundle @sigstore/verify, and NODE_PATH at its node_modules"


def test_keyless_bundles_and_their_twins(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    desk, sigstore = Desk(tmp_path), Sigstore()
    payload = certificate_payload(ready(desk))
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    for name, envelope in {
        "good": sigstore.envelope(payload),
        **{name: twin(sigstore, payload) for name, twin in TWINS.items()},
    }.items():
        (bundles / name).write_bytes(sigstore_bundle(envelope, 0))
    root = tmp_path / "trusted_root.json"
    root.write_text(sigstore.trusted_root(), encoding="utf-8")
    done = subprocess.run(
        ["node", "-e", SCRIPT, str(bundles), str(root), ISSUER, WORKFLOW],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == 1 + len(TWINS)
    assert {name for name, answer in answers.items() if answer == "accepted"} == {"good", *ONLY_OURS}
