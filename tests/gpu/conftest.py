"""Tests for a machine with an NVIDIA device.

Elsewhere they are skipped, unless PRODML_EXPECT_PROVIDER says that a device must be here: then nothing is
skipped, and a run without one ends "not demonstrated", with an exit status that is no success.
"""

from __future__ import annotations

import os

import pytest

EXPECTED = os.environ.get("PRODML_EXPECT_PROVIDER")


def why_not() -> str | None:
    """Say why no session runs on the expected provider here; None where one does."""
    try:
        import onnxruntime
    except ImportError:
        return "onnxruntime is not installed"
    from pytest_prodml.adapters.onnx_execution import executed
    from pytest_prodml.errors import ProdmlError

    provider = EXPECTED or "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        return f"this onnxruntime has no {provider}"
    import tempfile
    from pathlib import Path

    import pandas as pd

    import onnx_models
    from pytest_prodml.adapters.onnx import load_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(onnx_models.layered(width=16, depth=2).SerializeToString())
        rows = pd.DataFrame(onnx_models.features(4), columns=["a", "b", "c"])
        try:
            found = executed(load_onnx(path), rows, provider=provider)
        except ProdmlError as error:
            return str(error)
    return (
        None
        if found.nodes.get(provider)
        else f"no node runs on {provider}; nodes run on {', '.join(found.nodes)}"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    del item
    reason = _reason()
    if reason is None:
        return
    if EXPECTED:
        pytest.fail(f"not demonstrated: {reason}", pytrace=False)
    pytest.skip(f"needs an NVIDIA device: {reason}")


_KNOWN: list[str | None] = []


def _reason() -> str | None:
    if not _KNOWN:
        _KNOWN.append(why_not())
    return _KNOWN[0]


@pytest.fixture(scope="session")
def provider() -> str:
    """The execution provider that these tests are about."""
    return EXPECTED or "CUDAExecutionProvider"
