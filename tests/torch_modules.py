"""Modules of torch that the tests make, save and name."""

from __future__ import annotations

from typing import Any

import torch


class Scorer(torch.nn.Module):  # type: ignore[misc]
    """Logits of `width` classes, with a layer that behaves differently in training."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, width)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.drop(self.layer(torch.tanh(rows)))


def scorer() -> Any:
    return Scorer()


def seeded(width: int = 1) -> Any:
    torch.manual_seed(3)
    return Scorer(width)


def no_module() -> int:
    return 3
