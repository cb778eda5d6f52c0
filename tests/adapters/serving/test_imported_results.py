"""Results of vegeta and k6, in the forms that these tools document: open loops are read, closed ones refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pytest_prodml.adapters.serving.imports import read_k6, read_vegeta
from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.checks.pipeline import sustains
from pytest_prodml.errors import InputError

BEGIN = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


def stamp(seconds: float, zone: str = "Z") -> str:
    whole = BEGIN + timedelta(seconds=int(seconds))
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{round((seconds - int(seconds)) * 1e9):09d}{zone}"


def vegeta(path: Path, sent: np.ndarray, latency: np.ndarray, codes: list[int]) -> Path:
    lines = [
        json.dumps(
            {
                "attack": "",
                "seq": number,
                "code": code,
                "timestamp": stamp(float(at)),
                "latency": int(wait * 1e9),
                "bytes_out": 20,
                "bytes_in": 10,
                "error": "",
                "body": "e30=",
                "method": "POST",
                "url": "http://here/score",
                "headers": None,
            }
        )
        for number, (at, wait, code) in enumerate(zip(sent, latency, codes, strict=True))
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def k6(path: Path, sent: np.ndarray, latency: np.ndarray, dropped: int = 0) -> Path:
    lines = [
        json.dumps({"type": "Metric", "data": {"name": "http_req_duration"}, "metric": "http_req_duration"})
    ]
    lines += [
        json.dumps(
            {
                "metric": "http_req_duration",
                "type": "Point",
                "data": {
                    "time": stamp(float(at + wait), "+00:00"),
                    "value": 1_000 * float(wait),
                    "tags": {"status": "200", "scenario": "constant"},
                },
            }
        )
        for at, wait in zip(sent, latency, strict=True)
    ]
    if dropped:
        data = {"time": stamp(0), "value": dropped, "tags": {}}
        lines.append(json.dumps({"metric": "dropped_iterations", "type": "Point", "data": data}))
    path.write_text("\n".join(lines) + "\n")
    return path


def read(tool: str, path: Path, sent: np.ndarray, latency: np.ndarray, rate: float) -> Answers:
    if tool == "vegeta":
        return read_vegeta(vegeta(path, sent, latency, [200] * len(sent)), rate=rate)
    return read_k6(k6(path, sent, latency), rate=rate)


@pytest.mark.parametrize("tool", ["vegeta", "k6"])
def test_latency_counts_from_when_a_request_was_due(tool: str, tmp_path: Path) -> None:
    sent = np.arange(1_000) / 100
    sent[500:510] += 0.3  # sent late, in a stall of the tool itself
    latency = np.full(1_000, 0.01)
    answers = read(tool, tmp_path / "results.json", sent, latency, rate=100)
    assert len(answers) == 1_000
    assert answers.is_answered.all()
    assert answers.is_open_loop
    assert np.count_nonzero(answers.lag > 0.1) >= 8
    np.testing.assert_allclose(answers.latency[:400], 0.01, atol=1e-6)
    evidence = sustains(0.99, 0.05, answers, gate_id="pipeline.load")
    assert evidence.measurements[0].upper is None or evidence.measurements[0].upper > 0.05
    assert tool in str(evidence.details["generator"])


@pytest.mark.parametrize("tool", ["vegeta", "k6"])
def test_a_run_on_time_is_judged_like_our_own(tool: str, tmp_path: Path) -> None:
    sent = np.arange(2_000) / 200
    answers = read(tool, tmp_path / "results.json", sent, np.linspace(0.009, 0.011, 2_000), rate=200)
    evidence = sustains(0.99, 0.05, answers, gate_id="pipeline.load", burst=1)
    upper = evidence.measurements[0].upper
    assert upper is not None
    assert 0.0109 < upper <= 0.011001


@pytest.mark.parametrize("tool", ["vegeta", "k6"])
def test_a_closed_loop_does_not_come_to_the_rate(tool: str, tmp_path: Path) -> None:
    sent = np.cumsum(np.full(1_000, 0.02))
    with pytest.raises(InputError, match="they waited for answers"):
        read(tool, tmp_path / "results.json", sent, np.full(1_000, 0.02), rate=100)


def test_what_failed_or_was_dropped_is_no_answer(tmp_path: Path) -> None:
    sent, latency = np.arange(100) / 100, np.full(100, 0.01)
    codes = [200] * 90 + [0] * 5 + [503] * 5
    answers = read_vegeta(vegeta(tmp_path / "v.json", sent, latency, codes), rate=100)
    assert np.count_nonzero(answers.is_answered) == 90
    assert np.count_nonzero(answers.status == 503) == 5
    answers = read_k6(k6(tmp_path / "k.json", sent[:95], latency[:95], dropped=1), rate=100)
    assert len(answers) == 96
    assert not answers.is_answered[-1]
    assert answers.lag[-1] == answers.timeout_seconds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no request"),
        ("nonsense\n", "line 1 is no result"),
        ("[1]\n", "line 1 is no result"),
        ("{}\n", "says no 'timestamp'"),
        ('{"timestamp": "then", "latency": 1, "code": 200}\n', "'then' is no time"),
    ],
)
def test_a_file_that_holds_no_results_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_vegeta(path, rate=10)
    with pytest.raises(InputError, match="can not be read"):
        read_k6(tmp_path / "none.json", rate=10)
