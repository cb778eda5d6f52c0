"""What the parts of the coverage benchmark share: misses counted, and a table of them in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Bounds: TypeAlias = tuple[float | None, float | None]

#: A bound that meets the truth up to rounding does not miss it.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How often a method missed in a setting; `open_share` is how often it gave no bound at all."""

    setting: str
    method: str
    low: float
    high: float
    open_share: float = 0.0


def missed(setting: str, method: str, bounds: Iterable[Bounds], truth: float) -> Row:
    """Count how often bounds of many samples missed their common truth."""
    return missed_each(setting, method, ((bound, truth) for bound in bounds))


def missed_each(setting: str, method: str, found: Iterable[tuple[Bounds, float]]) -> Row:
    """Count how often bounds missed, each with a truth of its own."""
    cases = list(found)
    low = [lower is not None and lower > truth + ROUNDING for (lower, _), truth in cases]
    high = [upper is not None and upper < truth - ROUNDING for (_, upper), truth in cases]
    return Row(
        setting=setting,
        method=method,
        low=float(np.mean(low)),
        high=float(np.mean(high)),
        open_share=float(np.mean([bound == (None, None) for bound, _ in cases])),
    )


def markdown(title: str, found: Iterable[Row]) -> Iterator[str]:
    """Yield a section: the settings as rows and the methods as columns."""
    settings: dict[str, dict[str, Row]] = {}
    for row in found:
        settings.setdefault(row.setting, {})[row.method] = row
    methods = list(dict.fromkeys(method for rows in settings.values() for method in rows))
    yield f"### {title}\n"
    yield f"| setting | {' | '.join(methods)} |"
    yield f"| --- | {' | '.join('---:' for _ in methods)} |"
    for setting, rows in settings.items():
        yield f"| {setting} | {' | '.join(cell(rows.get(method)) for method in methods)} |"
    yield ""


def cell(row: Row | None) -> str:
    """Write the misses of both sides in per cent."""
    if row is None:
        return ""
    if row.open_share >= 0.995:
        return "no bounds"
    open_share = f" (no bounds: {row.open_share:.0%})" if row.open_share >= 0.005 else ""
    return f"{100 * row.low:.1f} / {100 * row.high:.1f}{open_share}"
