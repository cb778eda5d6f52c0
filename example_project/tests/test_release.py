"""Whether a release can be made again, published at once or not at all, and loaded elsewhere."""

from __future__ import annotations

from pathlib import Path

import credit
import publish
from deploy import Scorer
from pytest_prodml.plugin.pipeline import PipelineGate
from serve import PROBE


def test_reproducible(ml_pipeline: PipelineGate) -> None:
    """Another process, with another hash seed and other threads, makes the same bytes from the raw table."""
    ml_pipeline.reproducible()


def test_published(ml_pipeline: PipelineGate) -> None:
    """Whatever goes wrong while a release is published, a whole model serves, and the next try completes."""

    def serves(pointer: Path) -> bool:
        model = publish.current(pointer.parent)
        return 0 <= Scorer(model.read_bytes()).score(PROBE)["risk"] <= 1

    ml_pipeline.survives_failure("publish:pipeline", published="live/current", serves=serves)


def test_published_twice(ml_pipeline: PipelineGate) -> None:
    """Publishing the same release again changes nothing."""
    ml_pipeline.idempotent("publish:pipeline")


def test_round_trip(ml_pipeline: PipelineGate) -> None:
    """The file that was exported gives the same scores, bit by bit, in a process that has only the file."""
    ml_pipeline.round_trip()


def test_golden(ml_pipeline: PipelineGate, release: credit.Release) -> None:
    """Twenty clients of the book of cases have the scores that risk management has signed."""
    ml_pipeline.golden(f"golden/release_{release.name}.jsonl", rows=20, atol=0.005)


def test_shadow(ml_pipeline: PipelineGate, scorecard: object) -> None:
    """It decides most clients as today's scorecard does, and not worse on the whole."""
    ml_pipeline.agrees_with(scorecard, at_least=0.75, metric="accuracy")
