"""Mutated envelopes through the verifier: ``python benchmarks/fuzz.py --count 1000000 --seed 0``.

Half of the mutations are of bytes (bits, cuts, copies, insertions), half of the structure (fields of the
envelope removed, repeated, retyped; texts re-spelled; payloads edited). One that is accepted must hold the
payload that was signed and a signature that was made: only hints, layout and unknown fields may vary. The
exit status is 1 otherwise.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from certificate_factory import GATES, Desk, gate_runs, policy
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, parse_envelope
from pytest_prodml.verify.subjects import present

POLICY = 'name = "small"\nversion = "1"\n[require]\ngates = ["performance.auc"]\n'
PARTS: tuple[bytes, ...] = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\0", b"\xff", b"\xef\xbb\xbf", b"NaN", b"1e999", b"-0",
    b'"payload":""', b'"signatures":[]', b"\\u0000", b"\\ud800", b"=", b"-", b"_", b"null", b"[" * 64,
)  # fmt: skip
VALUES: tuple[Any, ...] = (None, True, 0, -1, 1e308, "", "\u202e", "A" * 100, [], {}, [[]], {"sig": ""})


def mutated_bytes(data: bytes, draw: random.Random) -> bytes:
    """Change some bytes."""
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(result) + 1) if result else 0
        kind = draw.randrange(6)
        if kind == 0 and at < len(result):
            result[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(result):
            result[at] = draw.randrange(256)
        elif kind == 2:
            del result[at : at + draw.choice((1, 2, 8, 200))]
        elif kind == 3:
            result[at:at] = draw.choice(PARTS)
        elif kind == 4:
            begin = draw.randrange(len(result) + 1)
            result[at:at] = result[begin : begin + draw.choice((1, 8, 64))]
        else:
            del result[at:]
    return bytes(result)


def mutated_structure(data: bytes, draw: random.Random) -> bytes:
    """Change the envelope as a forger who knows the format would."""
    fields: dict[str, Any] = json.loads(data)
    signature: dict[str, Any] = fields["signatures"][0]
    kind = draw.randrange(9)
    if kind == 0:
        fields.pop(draw.choice(tuple(fields)))
    elif kind == 1:
        fields[draw.choice((*fields, "x"))] = draw.choice(VALUES)
    elif kind == 2:
        signature[draw.choice(("keyid", "sig", "x"))] = draw.choice(VALUES)
    elif kind == 3:
        fields["signatures"] = [signature] * draw.randrange(20) + [draw.choice(VALUES)] * draw.randrange(2)
    elif kind == 4:
        payload = mutated_bytes(base64.b64decode(fields["payload"]), draw)
        fields["payload"] = base64.b64encode(payload).decode("ascii")
    elif kind == 5:
        made = mutated_bytes(base64.b64decode(signature["sig"]), draw)
        signature["sig"] = base64.b64encode(made).decode("ascii")
    elif kind == 6:
        text = mutated_bytes(fields["payload"].encode("ascii"), draw)
        fields["payload"] = text.decode("latin-1")
    elif kind == 7:
        fields["payloadType"] = mutated_bytes(fields["payloadType"].encode("ascii"), draw).decode("latin-1")
    else:
        inner = draw.choice((fields, {"dsseEnvelope": fields}, [fields], {"payload": fields}))
        return json.dumps(inner, indent=draw.choice((None, 1))).encode()
    return json.dumps(fields).encode()


def main() -> int:
    """Run, print the counts, and return 1 if anything was accepted or raised that must not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    draw = random.Random(parsed.seed)  # noqa: S311 - mutations, no secrets
    mutations: tuple[Callable[[bytes, random.Random], bytes], ...] = (mutated_bytes, mutated_structure)
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory))
        small = policy(POLICY)
        good = issue(
            desk.build(gates=GATES[:1], runs=gate_runs((desk.subject(),))[:1], policy=small, materials=(),
                       environments={}),
            [desk.key()],
        )  # fmt: skip
        original = parse_envelope(good)
        keys, models = [desk.key().public_key], [present(desk.model)]
        codes: Counter[str] = Counter()
        accepted = forged = uncaught = 0
        begin = time.perf_counter()
        for number in range(parsed.count):
            data = draw.choice(mutations)(good, draw)
            try:
                report = desk.verify(data, policy=small, keys=keys, models=models)
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                uncaught += 1
                print(f"UNCAUGHT at {number}: {type(error).__name__}: {error}: {data[:200]!r}")
                continue
            codes.update(reason.code for reason in report.reasons[:1])
            if report.accepted:
                accepted += 1
                found = parse_envelope(data)
                same = (found.payload, found.payload_type) == (original.payload, INTOTO_PAYLOAD_TYPE)
                if not same or original.signatures[0].sig not in {item.sig for item in found.signatures}:
                    forged += 1
                    print(f"FORGED at {number}: {data[:200]!r}")
        seconds = time.perf_counter() - begin
    refused = ", ".join(f"{code} {count:,}" for code, count in codes.most_common())
    print(f"{parsed.count:,} mutated envelopes in {seconds:.0f} s ({parsed.count / seconds:,.0f} a second)")
    print(f"refused: {refused}")
    print(f"accepted with the signed content (hints, layout, unknown fields): {accepted:,}")
    print(f"accepted with another content or signature: {forged}; uncaught exceptions: {uncaught}")
    return int(forged > 0 or uncaught > 0)


if __name__ == "__main__":
    sys.exit(main())
