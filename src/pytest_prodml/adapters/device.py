"""Calls that return before the device is done -> calls that return when it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_prodml._lazy import loaded

Call = Callable[[], object]


def synchronised(calls: Sequence[Call]) -> tuple[list[Call], str | None]:
    """Return the calls, made to wait for the accelerator that torch uses here, and that accelerator's name.

    A CUDA kernel is only queued when the function that started it returns: a clock that is stopped then has
    timed the queue. Nothing is imported: what has not loaded torch has queued nothing through it.

    Parameters
    ----------
    calls : sequence of callable
        Each makes one prediction. The first is called once, so that torch and its device are there if the
        model uses them.

    Returns
    -------
    tuple
        The calls (the same ones if there is nothing to wait for), and "cuda", "xpu", "mps" or None.
    """
    calls[0]()
    wait = _waiting()
    if wait is None:
        return list(calls), None
    device, synchronise = wait

    def and_wait(call: Call) -> Call:
        def both() -> object:
            result = call()
            synchronise()
            return result

        return both

    return [and_wait(call) for call in calls], device


def _waiting() -> tuple[str, Callable[[], object]] | None:
    torch = loaded("torch")
    if torch is None:
        return None
    for name in ("cuda", "xpu"):
        device = getattr(torch, name, None)
        if device is not None and device.is_available() and device.is_initialized():
            return name, device.synchronize
    mps = getattr(getattr(torch, "backends", None), "mps", None)
    if mps is not None and mps.is_available():
        return "mps", torch.mps.synchronize
    return None
