from __future__ import annotations

from typing import Any

import pytest

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.quantities import seconds, size_in_bytes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, 3.0),
        (0.5, 0.5),
        ("5 ms", 0.005),
        ("5ms", 0.005),
        (" 1.5 s ", 1.5),
        ("20 µs", 2e-5),
        ("2 min", 120.0),
    ],
)
def test_durations(given: Any, expected: float) -> None:
    assert seconds(given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (4096, 4096.0),
        ("1 B", 1.0),
        ("20 kB", 20e3),
        ("20 KB", 20e3),
        ("256 MB", 256e6),
        ("1.5GB", 1.5e9),
        ("2 TB", 2e12),
        ("1 KiB", 1024.0),
        ("1 MiB", 1024.0**2),
        ("2 GiB", 2 * 1024.0**3),
        ("1 TiB", 1024.0**4),
    ],
)
def test_amounts_of_memory(given: Any, expected: float) -> None:
    assert size_in_bytes(given) == expected


HOSTILE = [
    0,
    -1,
    float("nan"),
    float("inf"),
    True,
    None,
    "",
    "5",
    "MB",
    "-5 MB",
    "5 mb",
    "5 parsecs",
    "1e3 MB",
    [5],
]


@pytest.mark.parametrize("given", HOSTILE)
def test_anything_else_is_told_with_the_units(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a duration") as caught:
        seconds(given)
    assert "µs" in str(caught.value)
    with pytest.raises(ConfigurationError, match="is not an amount of memory") as caught:
        size_in_bytes(given)
    assert "MiB" in str(caught.value)
