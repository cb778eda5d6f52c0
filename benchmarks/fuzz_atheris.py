"""Let Atheris look for bytes that reach new lines of the parsers and of the verifier, and break them.

    pip install -e . atheris
    python benchmarks/fuzz_atheris.py --seconds 60             # every target for a minute
    python benchmarks/fuzz_atheris.py statement --seconds 600  # some of them

A target takes any bytes. It may answer, or raise an error of ours; anything else ends its run with exit
status 1, a traceback and the bytes. Where something is accepted, `fuzz_scene.Scene.fault` has to agree. The
corpus starts with what the gate of `fuzz_scene` accepts; Atheris brings no wheels for every Python.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pytest_prodml"]):
    from fuzz_mutations import changed_value, plausible_value
    from fuzz_scene import Base, Mutant, Scene

    from certificate_factory import NOW
    from fragment_factory import Shards
    from pytest_prodml.certificate.document import sign_record
    from pytest_prodml.certificate.dsse import (
        MATERIAL_KIND,
        envelope_json,
        parse_envelope,
        sign,
    )
    from pytest_prodml.certificate.runlog import SEAL_TYPE, LogSeal, SealedLog
    from pytest_prodml.certificate.waiver import read_waiver
    from pytest_prodml.codec import canonical_json, dumps, parse_json, sha256_hex
    from pytest_prodml.errors import ProdmlError
    from pytest_prodml.policy.load import parse_policy
    from pytest_prodml.verify.fragment import read_run_log
    from pytest_prodml.verify.revocation import REVOCATIONS_TYPE, open_revocations, sign_revocations
    from pytest_prodml.verify.state import StateFile
    from pytest_prodml.verify.trustfile import RootPin, open_signed, parse_trust_toml, sign_trust
    from pytest_prodml.verify.trustroot import TRUST_ROOT_TYPE

Target = Callable[[bytes], None]


class BrokenRuleError(Exception):
    """Something was accepted that must not be, or read in two ways."""


def targets(scene: Scene) -> dict[str, tuple[Target, list[bytes]]]:
    """Return by name what is fuzzed, and the documents it starts from."""
    bases = scene.bases
    plain, page, bundle = bases["certificate.json"], bases["certificate.html"], bases["Sigstore bundle"]
    waived = bases["certificate.json with a waiver"]
    trust_text = (scene.root / "trust.toml").read_bytes()
    trust = parse_trust_toml(trust_text, where="trust.toml", directory=scene.root)
    root = scene.keys["other"]
    pin = RootPin(keys=(root.public_key,), threshold=1)
    state = scene.root / "state.json"

    def json_text(data: bytes) -> None:
        value = parse_json(data)
        if canonical_json(parse_json(canonical_json(value))) != canonical_json(value):
            raise BrokenRuleError("canonical JSON is not stable")

    def envelope(data: bytes) -> None:
        found = parse_envelope(data)
        if parse_envelope(envelope_json(found)) != found:
            raise BrokenRuleError("an envelope is read in two ways")

    def judged(base: Base, data: bytes, vouched: bytes | None = None) -> None:
        report = scene.judge(base, data)
        if report.accepted and (fault := scene.fault(base, Mutant(data=data, vouched=vouched))):
            raise BrokenRuleError(fault)

    def statement(data: bytes) -> None:
        signed = envelope_json(sign(data, [scene.keys[name] for name in plain.signers]))
        judged(plain, signed, vouched=data)

    def signed_waiver(data: bytes) -> None:
        read_waiver(sign(data, [scene.keys["risk"]]))

    def revocations(data: bytes) -> None:
        signed = sign(data, [scene.keys["sec"]], payload_type=REVOCATIONS_TYPE)
        open_revocations(envelope_json(signed), trust, NOW, where="list")

    def trust_toml(data: bytes) -> None:
        parse_trust_toml(data, where="trust.toml", directory=scene.root)

    def policy_toml(data: bytes) -> None:
        parse_policy(data, where="policy.toml")

    def signed_trust(data: bytes) -> None:
        open_signed(envelope_json(sign(data, [root], payload_type=TRUST_ROOT_TYPE)), pin, where="trust.json")

    def state_file(data: bytes) -> None:
        state.write_bytes(data)
        StateFile(state)

    proof = {"kind": MATERIAL_KIND, "ext": {"certificate": {"rawBytes": "MAA="}, "tlogEntries": [{}]}}
    fields = json.loads(plain.file)
    fields["signatures"][0]["extension"] = proof
    keyless = json.loads(bundle.file)
    keyless["verificationMaterial"] = proof["ext"]
    with_proof, keyless_bundle = json.dumps(fields).encode(), json.dumps(keyless).encode()
    waiver = scene.table.waiver()
    policy = scene.table.policy.read_bytes()
    listed = parse_envelope(sign_revocations(scene.revocations, scene.keys["sec"])).payload
    return {
        "json": (json_text, [plain.file, plain.payload, bundle.file]),
        "envelope": (envelope, [plain.file, waived.file, waiver, with_proof]),
        "verify": (lambda data: judged(plain, data), [plain.file, waived.file, with_proof]),
        "page": (lambda data: judged(page, data), [page.file]),
        "bundle": (lambda data: judged(bundle, data), [bundle.file, keyless_bundle]),
        "statement": (statement, [plain.payload, waived.payload, page.payload]),
        "waiver": (signed_waiver, [parse_envelope(waiver).payload]),
        "revocations": (revocations, [listed]),
        "trust-toml": (trust_toml, [trust_text]),
        "signed-trust": (signed_trust, [sign_trust(scene.signed_root("other"), []).payload]),
        "state": (state_file, [b'{"format":1,"models":{}}\n', scene.state_text()]),
        **_run_log_targets(scene),
        "policy": (policy_toml, [policy]),
    }


def _run_log_targets(scene: Scene) -> dict[str, tuple[Target, list[bytes]]]:
    def run_log(data: bytes) -> None:
        read_run_log(data, where="run log", allow_unsigned=True)

    def sealed_run_log(data: bytes) -> None:
        found = re.search(rb'"runId":"([0-9a-f]*)"', data)
        run_id = found[1].decode() if found else ""
        content = data + b"\n"
        sealed = SealedLog(run_id=run_id, digest={"sha256": sha256_hex(content)})
        envelope = sign_record(sealed, SEAL_TYPE, [scene.keys["ci"]])
        seal = dumps(LogSeal(envelope=envelope_json(envelope).decode("ascii"))).encode() + b"\n"
        read_run_log(content + seal, where="run log", keys=[scene.keys["ci"].public_key])

    shards = Shards(scene.table, started_at=NOW)
    logs = [shards.write(name).read_bytes() for name in ("1/2", "2/2")]
    contents = [log.rpartition(b'\n{"kind":"seal"')[0] for log in logs]
    return {"run-log": (run_log, logs), "sealed-run-log": (sealed_run_log, contents)}


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a JSON document by value in two of three cases, and by byte otherwise."""
    draw = random.Random(seed)  # noqa: S311 - mutations, no secrets
    if draw.random() < 0.66:
        # A run log is one document a line.
        lines = data.split(b"\n")
        at = draw.randrange(len(lines))
        with suppress(ValueError, RecursionError, OverflowError, IndexError, ProdmlError):
            document = json.loads(lines[at])
            if isinstance(document, (dict, list)):
                draw.choice((changed_value, plausible_value))(document, draw)
                changed = b"\n".join([*lines[:at], canonical_json(document), *lines[at + 1 :]])
                if len(changed) <= max_size:
                    return changed
    return bytes(atheris.Mutate(data, max_size))


def fuzz(name: str, seconds: int, seed: int) -> None:
    """Fuzz one target in this process; does not return."""
    directory = Path(tempfile.mkdtemp(prefix="prodml-atheris-"))
    target, documents = targets(Scene(directory))[name]
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, document in enumerate(documents):
        (corpus / str(number)).write_bytes(document)

    def one_input(data: bytes) -> None:
        with suppress(ProdmlError):
            target(data)

    longest = 4 * max(len(document) for document in documents)
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={longest}", "-timeout=20"]
    options += [f"-artifact_prefix={directory}/", "-rss_limit_mb=1024", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=mutated)
    atheris.Fuzz()


def fuzz_apart(name: str, seconds: int, seed: int) -> bool:
    """Fuzz one target in a process of its own, print what came of it, and tell whether it is sound."""
    command = [sys.executable, __file__, "--here", name, f"--seconds={seconds}", f"--seed={seed}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    runs = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "0")
    reached = [line.partition(" cov: ")[2].split()[0] for line in lines if " cov: " in line]
    sound = done.returncode == 0
    points = reached[-1] if reached else "no"
    print(
        f"{name}: {int(runs):,} inputs, {points} points reached, {'sound' if sound else 'BROKEN'}", flush=True
    )
    if not sound:
        print(done.stdout[-2000:] + done.stderr[-6000:], file=sys.stderr)
    return sound


def main() -> int:
    """Fuzz one target here, or each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", help="default: all of them")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="in this process, one target")
    parsed = parser.parse_args()
    if parsed.here:
        fuzz(parsed.targets[0], parsed.seconds, parsed.seed)
    with tempfile.TemporaryDirectory() as directory:
        names = tuple(targets(Scene(Path(directory))))
    if unknown := set(parsed.targets) - set(names):
        parser.error(f"no target is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    sound = [fuzz_apart(name, parsed.seconds, parsed.seed) for name in parsed.targets or names]
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main())
