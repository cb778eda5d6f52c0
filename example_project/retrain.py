"""Each release as a pipeline from the raw table to the model file, for gates that run it again elsewhere."""

from __future__ import annotations

from typing import Any

import credit
import train


def release_1(stages: Any) -> None:  # noqa: ANN401 - pytest_prodml's Stages
    """Train release 1."""
    _build(stages, "1")


def release_2(stages: Any) -> None:  # noqa: ANN401
    """Train release 2."""
    _build(stages, "2")


def release_mitigated(stages: Any) -> None:  # noqa: ANN401
    """Train the mitigated release."""
    _build(stages, "mitigated")


def _build(stages: Any, name: str) -> None:  # noqa: ANN401
    release = credit.RELEASES[name]
    with stages("split"):
        splits = train.load(release)
    with stages("fit"):
        model = train.fit(release, splits)
    with stages("export") as directory:
        train.save(model, splits, directory)
