"""What a test may name as its baseline: a model, a kind of simple model, a certificate with its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from certificate_factory import GATES, Desk, gate_runs, measurement, signed
from pytest_prodml.adapters import bind
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope
from pytest_prodml.checks.performance import Sample
from pytest_prodml.errors import ConfigurationError, InputError, MalformedError
from pytest_prodml.plugin.baselines import (
    Baseline,
    ModelBaseline,
    RecordBaseline,
    compare,
    recorded_measurement,
    resolve_baseline,
)
from pytest_prodml.plugin.context import Context
from pytest_prodml.plugin.settings import load_settings
from pytest_prodml.plugin.subjects import ModelOnData
from pytest_prodml.plugin.verdicts import Tail
from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.records import Evidence, Outcome

TAIL = Tail(gate_id="performance.better", confidence_level=0.95, seed=1)


def rows(seed: int = 1, n: int = 1500) -> tuple[pd.DataFrame, pd.Series]:
    random = np.random.default_rng(seed)
    truth = (random.random(n) < 0.4).astype(int)
    frame = pd.DataFrame(
        {
            "score": 1 / (1 + np.exp(-(2 * truth - 1 + random.normal(size=n)))),
            "job": random.choice(["cook", "clerk"], n),
        }
    )
    return frame, pd.Series(truth, name="paid")


def never() -> object:
    pytest.fail("only a simple model looks at the training data")


@pytest.fixture
def context(request: pytest.FixtureRequest, tmp_path: Path) -> Context:
    Path(tmp_path, "prodml.toml").write_text(
        'baseline_keys = ["keys/ci.pub"]\n[model]\nthreshold = 0.5\n', encoding="utf-8"
    )
    return Context(request.config, load_settings(tmp_path, {}), None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.public()
    return made


def candidate_of(context: Context, model: object = None) -> ModelOnData:
    def ranks(frame: pd.DataFrame) -> Any:
        return frame["score"].to_numpy()

    return ModelOnData(context, ranks if model is None else model, rows())


def sample_of(needs_scores: bool = True) -> Callable[[ModelOnData], Sample]:
    def made(model: ModelOnData) -> Sample:
        answers: dict[str, Any] = {"y_score": model.scores} if needs_scores else {"y_pred": model.decisions}
        return Sample(y_true=model.labels, **answers)

    return made


def ask(
    context: Context, candidate: ModelOnData, baseline: Baseline, metric: str = "roc_auc", **options: Any
) -> Evidence:
    arguments: dict[str, Any] = {"margin": 0.0, "by_at_least": None, "tail": TAIL, **options}
    return compare(
        metric,
        candidate,
        baseline,
        context=context,
        sample_of=sample_of(metric == "roc_auc"),
        **arguments,
    )


def outcome(evidence: Evidence) -> Outcome:
    (criterion,) = evidence.criteria
    return judge_criterion(criterion, evidence, confidence_level=0.95).outcome


# --- models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["majority", "prior", "logistic"])
def test_a_simple_model_is_trained_on_the_reference_rows(context: Context, kind: str) -> None:
    reference_rows, target = rows(7, 400)
    reference = (reference_rows.drop(columns="score").assign(unused=1.0), target)
    baseline = resolve_baseline(kind, context, reference=lambda: reference, columns=["score", "job"])
    assert isinstance(baseline, ModelBaseline)
    assert baseline.name.startswith(f"{kind}: ")
    evidence = ask(context, candidate_of(context), baseline, by_at_least=0.2)
    assert outcome(evidence) is Outcome.PASS
    assert evidence.details["baseline"] == baseline.name


def test_a_simple_model_is_trained_once(context: Context) -> None:
    reference = rows(7, 400)
    first, second = (
        resolve_baseline("prior", context, reference=lambda: reference, columns=["score", "job"])
        for _ in range(2)
    )
    assert isinstance(first, ModelBaseline)
    assert isinstance(second, ModelBaseline)
    assert first.predictor is second.predictor


def test_a_simple_model_needs_labels(context: Context) -> None:
    with pytest.raises(InputError, match="can not be trained"):
        resolve_baseline("prior", context, reference=lambda: rows()[0], columns=["score"])


def test_another_model_answers_the_same_rows(context: Context) -> None:
    def noisy(frame: pd.DataFrame) -> Any:
        return frame["score"].to_numpy() + np.random.default_rng(3).normal(0.0, 0.5, len(frame))

    baseline = resolve_baseline(noisy, context, reference=never, columns=[])
    assert outcome(ask(context, candidate_of(context), baseline)) is Outcome.PASS
    decided = ask(context, candidate_of(context), baseline, "accuracy")
    assert outcome(decided) is Outcome.PASS
    assert decided.details["first_newly_broken_rows"]


def test_the_model_itself_is_no_baseline(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")

    def ranks(frame: pd.DataFrame) -> Any:
        return frame["score"].to_numpy()

    candidate = candidate_of(context, ranks)
    with pytest.raises(InputError, match="one and the same"):
        ask(context, candidate, resolve_baseline(ranks, context, reference=never, columns=[]))
    bound = candidate_of(context, bind(ranks, file))
    again = bind(lambda frame: frame["score"].to_numpy() / 2, file)
    with pytest.raises(InputError, match="same digest"):
        ask(context, bound, resolve_baseline(again, context, reference=never, columns=[]))


# --- certificates -----------------------------------------------------------------------------------------


def test_a_certificate_is_held_against(context: Context, desk: Desk) -> None:
    desk.certify(desk.build(auc=0.80))
    baseline = resolve_baseline("certificate.json", context, reference=never, columns=[])
    assert isinstance(baseline, RecordBaseline)
    assert baseline.signers == (desk.key().public_key.keyid,)
    evidence = ask(context, candidate_of(context), baseline, margin=0.01)
    assert outcome(evidence) is Outcome.PASS
    recorded = [m for m in evidence.measurements if m.metric == "roc_auc_of_baseline"]
    assert [(m.value, m.group) for m in recorded] == [(0.80, "baseline")]
    assert evidence.details["baseline_decision"] == "READY"
    assert evidence.details["baseline_measured_on_the_same_data"] is False
    assert evidence.materials == (baseline.material,)
    worse = ask(context, candidate_of(context), replace_auc(baseline, 0.99))
    assert outcome(worse) is Outcome.FAIL


def replace_auc(baseline: RecordBaseline, value: float) -> RecordBaseline:
    runs = gate_runs(baseline.certificate.subjects, auc=value)
    return replace(baseline, certificate=replace(baseline.certificate, runs=runs))


@pytest.mark.parametrize("given", ["argument", "configuration"])
def test_keys_come_from_the_test_or_the_configuration(context: Context, desk: Desk, given: str) -> None:
    desk.certify(signers=("risk",) if given == "argument" else ("ci",))
    keys = [desk.public("risk")] if given == "argument" else []
    found = resolve_baseline(desk.certificate, context, reference=never, columns=[], keys=keys)
    assert isinstance(found, RecordBaseline)


def test_a_certificate_without_a_key_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, desk: Desk
) -> None:
    desk.certify()
    bare = Context(request.config, load_settings(tmp_path, {}), None)
    with pytest.raises(ConfigurationError, match="no key vouches") as raised:
        resolve_baseline("certificate.json", bare, reference=never, columns=[])
    assert "baseline_keys" in str(raised.value)


def unsigned(data: bytes) -> bytes:
    return envelope_json(replace(parse_envelope(data), signatures=()))


def tampered(data: bytes) -> bytes:
    envelope = parse_envelope(data)
    return envelope_json(replace(envelope, payload=envelope.payload.replace(b"0.78", b"0.18")))


@pytest.mark.parametrize(
    ("change", "message"),
    [(unsigned, "carries no signature"), (tampered, "no signature fits a given key")],
)
def test_nobody_vouches_for_it(
    context: Context, desk: Desk, change: Callable[[bytes], bytes], message: str
) -> None:
    desk.certificate.write_bytes(change(desk.certify()))
    with pytest.raises(InputError, match=message):
        resolve_baseline("certificate.json", context, reference=never, columns=[])


def test_a_strangers_certificate_is_refused(context: Context, desk: Desk) -> None:
    desk.certify(signers=("other",))
    with pytest.raises(InputError, match="no signature fits a given key"):
        resolve_baseline("certificate.json", context, reference=never, columns=[])


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"payload": 1}'])
def test_a_file_that_is_no_certificate(context: Context, desk: Desk, content: bytes) -> None:
    desk.certificate.write_bytes(content)
    with pytest.raises((InputError, MalformedError)):
        resolve_baseline("certificate.json", context, reference=never, columns=[])


def test_something_else_that_is_signed(context: Context, desk: Desk) -> None:
    payload = parse_envelope(desk.certify()).payload
    desk.certificate.write_bytes(signed(desk, payload, payload_type="application/json"))
    with pytest.raises(InputError, match="no certificate"):
        resolve_baseline("certificate.json", context, reference=never, columns=[])


def test_a_missing_certificate(context: Context) -> None:
    with pytest.raises(InputError, match="can not be read"):
        resolve_baseline("elsewhere.json", context, reference=never, columns=[])


def test_the_certificate_of_the_model_itself_is_refused(context: Context, desk: Desk) -> None:
    desk.certify()
    baseline = resolve_baseline("certificate.json", context, reference=never, columns=[])

    def ranks(frame: pd.DataFrame) -> Any:
        return frame["score"].to_numpy()

    with pytest.raises(InputError, match="same digest"):
        ask(context, candidate_of(context, bind(ranks, desk.model)), baseline)


# --- which number -----------------------------------------------------------------------------------------


def test_a_metric_that_was_not_measured(desk: Desk) -> None:
    with pytest.raises(InputError, match="holds no value of f1"):
        recorded_measurement(desk.build(), "f1")
    with pytest.raises(InputError, match="in the gate 'fairness.age'"):
        recorded_measurement(desk.build(), "roc_auc", gate="fairness.age")


def test_two_gates_that_measured_different_values(desk: Desk) -> None:
    certificate = desk.build()
    first = certificate.runs[0]
    assert first.evidence is not None
    other = replace(
        first,
        gate_id="performance.again",
        evidence=replace(first.evidence, measurements=(measurement(0.7, 0.01),)),
    )
    gates = (*certificate.gates, replace(GATES[0], id="performance.again"))
    both = replace(certificate, gates=gates, runs=(*certificate.runs, other))
    with pytest.raises(InputError, match="2 different measurements") as raised:
        recorded_measurement(both, "roc_auc")
    assert "performance.again" in str(raised.value)
    assert recorded_measurement(both, "roc_auc", gate="performance.again").value == 0.7


def test_groups_are_not_the_whole(desk: Desk) -> None:
    certificate = desk.build()
    first = certificate.runs[0]
    assert first.evidence is not None
    grouped = replace(first.evidence.measurements[0], group="age=old")
    runs = (replace(first, evidence=replace(first.evidence, measurements=(grouped,))), *certificate.runs[1:])
    with pytest.raises(InputError, match="holds no value of roc_auc"):
        recorded_measurement(replace(certificate, runs=runs), "roc_auc")
