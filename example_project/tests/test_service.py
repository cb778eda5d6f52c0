"""Whether the service gives what was tested: in time, under load and beyond it, and through a release."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

import publish
import train
from pytest_prodml.adapters.serving.served import ServedModel
from pytest_prodml.plugin.pipeline import PipelineGate


def test_online(ml_pipeline: PipelineGate, prodml_server: ServedModel, some_clients: object) -> None:
    """A raw record that a client posts gets the score, and the decision, that the gates measured."""
    ml_pipeline.parity(prodml_server, data=some_clients, atol=1e-6)


def test_sustains(ml_pipeline: PipelineGate) -> None:
    """Two hundred tills a second: 99 of 100 clients have their answer in 50 ms, and it is the right one."""
    ml_pipeline.sustains(200, p99="50 ms", arrivals="poisson")


def test_sheds(ml_pipeline: PipelineGate, many: ServedModel) -> None:
    """Four times what it promises, sixty lists a second: it keeps that, and says no to the rest at once."""
    ml_pipeline.sheds_load(4.0, capacity=60, within="500 ms", duration="8 s", server=many)


def test_recovers(ml_pipeline: PipelineGate, many: ServedModel) -> None:
    """Two seconds after such a rush nobody feels it any more."""
    ml_pipeline.recovers_within(
        "2 s", p99="500 ms", rate=20, at=4.0, capacity=60, fault_seconds=2, server=many
    )


def test_rejects(ml_pipeline: PipelineGate) -> None:
    """A record that makes no sense gets no score. The client's number is not looked at: any will do."""
    broken = ("missing", "null", "text for number", "list for number", "object for number")
    broken += ("NaN", "Infinity", "beyond any float")
    ml_pipeline.rejects_bad_input(accepts=[f"client_id: {how}" for how in broken])


def test_drains(ml_pipeline: PipelineGate, many: ServedModel) -> None:
    """A service that is replaced answers first what it has accepted."""
    ml_pipeline.drains_on_sigterm("5 s", rate=150, trials=2, server=many)


def test_soak(ml_pipeline: PipelineGate) -> None:
    """It is the same after sixteen hundred requests; small drifts take a longer run than this."""
    ml_pipeline.soak(
        200, duration="8 s", warm_up="2 s", memory_per_hour="2 GB", within="100 ms", latency_drift=3.0
    )


def test_lineage(ml_pipeline: PipelineGate) -> None:
    """Each answer says which model, and which training data, made it."""
    data = hashlib.sha256((train.BUILD / "train.csv.gz").read_bytes()).hexdigest()
    ml_pipeline.lineage({"data": data})


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """Return a directory in which the model under test serves."""
    publish.point(tmp_path, publish.put(tmp_path, train.MODEL))
    return tmp_path


def test_updates(
    ml_pipeline: PipelineGate, prodml_server: ServedModel, live: Path, other_model: Path
) -> None:
    """A release that is published answers everybody a second later, and no request is lost."""
    after = f"sha256:{hashlib.sha256(other_model.read_bytes()).hexdigest()}"
    ml_pipeline.updates_within(
        "1 s",
        lambda: publish.point(live, publish.put(live, other_model)),
        after=after,
        server=prodml_server.with_variables(MODEL=str(live / publish.POINTER)),
    )


def test_rolls_back(ml_pipeline: PipelineGate, prodml_server: ServedModel, live: Path) -> None:
    """A release that is not healthy answers nobody, and the one before stands again."""
    broken = shutil.copy(train.MODEL, live / "broken.onnx")
    broken.write_bytes(broken.read_bytes()[:5000])
    ml_pipeline.rolls_back_within(
        "1 s",
        lambda: publish.point(live, broken),
        lambda: f"sha256:{hashlib.sha256(publish.current(live).read_bytes()).hexdigest()}",
        server=prodml_server.with_variables(MODEL=str(live / publish.POINTER)),
    )
