"""The same certificate twice: once with harmless texts, once with texts that attack the reader or the page."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_prodml.records import Certificate, JsonValue
from render.samples import certificate

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "</title><h1>READY</h1>",
    "--><b>bold</b><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eYDAER\u202c",
    "\u2066isolated\u2069\u200b\ufeff\u00ad",
    "\x1b[32mREADY\x1b[0m\x07\x00\x9b31m",
    "line\r\none\u2028two\u2029three",
    "](javascript:alert(1)) [link](https://evil.example)",
    "| a | b |\n|---|---|",
    "`code` ``more`` ```sh",
    "@everyone #1 www.evil.example https://evil.example :tada:",
    "1. list\n# READY\n> quote\n- item",
    "$(reboot) `reboot` '; reboot; '",
    "A" * 10_000,
    "W\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308 tower",
    "\U000e0041\U000e0042\u3164\ufe0f",
    "שלום עולם <b>x</b>",
)

#: Fields that say what kind of thing a record is, or that are compared as identities.
_KEPT = frozenset({"sha256", "gate_id", "id", "environment_digest", "policy_digest", "unit", "metric"})


def _texts(attack: bool) -> Iterator[str]:
    for number in itertools.count():
        yield ATTACKS[number % len(ATTACKS)] if attack else f"harmless {number}"


def disguised(*, attack: bool, release: int = 1) -> Certificate:
    """Replace every free text of a certificate; the structure stays what it is."""
    made = certificate(release)
    changed = _changed(made, _texts(attack), "")
    texts = list(ATTACKS) if attack else [f"harmless {number}" for number in range(len(ATTACKS))]
    runs = []
    for run in changed.runs:
        evidence = run.evidence
        if evidence is not None:
            evidence = dataclasses.replace(
                evidence,
                measurements=tuple(_renamed(item, texts) for item in evidence.measurements),
                criteria=tuple(_renamed(item, texts) for item in evidence.criteria),
                details=_details(evidence.details, texts),
            )
        runs.append(dataclasses.replace(run, evidence=evidence))
    result: Certificate = dataclasses.replace(changed, runs=tuple(runs))
    return result


def _renamed(item: Any, texts: list[str]) -> Any:
    """Give one metric and every group another name, the same in measurements and criteria."""
    metric = texts[0] if item.metric == "accuracy" else item.metric
    group = item.group
    if group is not None:
        group = texts[sum(map(ord, group)) % len(texts)]
    return dataclasses.replace(item, metric=metric, group=group)


def _details(details: Mapping[str, JsonValue], texts: list[str]) -> dict[str, JsonValue]:
    if "counterexamples" not in details:
        return dict(details)
    rows: list[JsonValue] = [{f"{index}{text}": text for index, text in enumerate(texts[:8])}]
    return {f"a{texts[1]}": rows, f"b{texts[2]}": texts[3], f"c{texts[4]}": {f"d{texts[5]}": texts[6]}}


def _changed(value: Any, texts: Iterator[str], name: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {
            field.name: _changed(getattr(value, field.name), texts, field.name)
            for field in dataclasses.fields(value)
            if field.name not in {"schema_version", "waivers", "details"}
        }
        return dataclasses.replace(value, **found)
    if isinstance(value, tuple):
        return tuple(_changed(item, texts, name) for item in value)
    if isinstance(value, dict):
        if name in {"digest", "environments"}:
            return {key: _changed(item, texts, "sha256") for key, item in value.items()}
        return {key: _changed(item, texts, name) for key, item in value.items()}
    if type(value) is str and name not in _KEPT and name != "group":
        return next(texts)
    return value
