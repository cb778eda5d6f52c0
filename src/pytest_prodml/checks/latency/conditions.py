"""How calls were timed and what else the machine did meanwhile -> the reasons why a bound is withheld.

Other work makes a call slower and never faster. So what was proven to be fast enough stays proven on a noisy
machine, and what was too slow there may be the machine's fault: it proves nothing.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_prodml.records import JsonValue

#: The clock may cost this share of the median call.
MOST_OVERHEAD = 0.02
#: Of the time of a loop that does nothing but look at the clock, this share may be missing.
_MOST_LOST = 0.02
#: A pause is one that the loop sees and a call would feel.
_PAUSE_SECONDS = 100e-6
#: A pause that takes more than this share of a budget matters, if it hits more than a tenth of the calls that
#: may exceed it.
_BUDGET_SHARE = 0.05
_LEAST_ON_CPU = 0.98
_MOST_STOLEN = 0.01
_PROBE_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """What a loop that only looks at the clock saw: how long it ran, and each longer pause in seconds."""

    seconds: float
    pauses: tuple[float, ...]

    @property
    def lost_share(self) -> float:
        """The share of the time that pauses took."""
        return sum(self.pauses) / self.seconds if self.seconds > 0 else 0.0

    def hits(self, call_seconds: float, at_least_seconds: float) -> float:
        """Return the expected number of pauses of a length in one call of a duration."""
        longer = sum(pause > at_least_seconds for pause in self.pauses)
        return longer / self.seconds * call_seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions of one run of timed calls; None is "could not be read".

    Parameters
    ----------
    overhead_seconds : float
        What the clock and the loop add to each call.
    pauses : Pauses, optional
        Measured before, between and after the blocks of calls.
    on_cpu_share : float, optional
        Processor time of the calling thread by wall time, over the blocks.
    waiting_share : float, optional
        The share of the time that the thread was ready to run and had no processor (Linux ``schedstat``).
    involuntary_switches : int, optional
        How often the thread was taken off its processor.
    stolen_share : float, optional
        The share of the processors' time that went to other virtual machines (``steal`` of ``/proc/stat``).
    throttled : int, optional
        How often the control group's quota stopped the process.
    other_work : tuple of str
        What is known to run beside: sentences.
    is_bound_to_one_thread : bool
        Whether all work is done by the calling thread, so that its processor time says something.
    """

    overhead_seconds: float = 0.0
    pauses: Pauses | None = None
    on_cpu_share: float | None = None
    waiting_share: float | None = None
    involuntary_switches: int | None = None
    stolen_share: float | None = None
    throttled: int | None = None
    other_work: tuple[str, ...] = ()
    is_bound_to_one_thread: bool = True

    def slow_clock(self, median_seconds: float) -> str | None:
        """Say that the clock costs too much of a call; None where it does not."""
        share = self.overhead_seconds / median_seconds
        if share <= MOST_OVERHEAD:
            return None
        return f"the clock costs {share:.1%} of the median call: time batches of rows"

    def noise(self, median_seconds: float, budget_seconds: float, allowed_share: float) -> tuple[str, ...]:
        """Say what slowed calls down that is not theirs.

        Parameters
        ----------
        median_seconds, budget_seconds : float
            Of the calls, and what the quantile may be.
        allowed_share : float
            The share of calls that may exceed the budget, 0.01 for a 99th percentile.
        """
        return (
            *self.other_work,
            *self._pauses_told(median_seconds, budget_seconds, allowed_share),
            *self._lost_processor(),
        )

    def _pauses_told(self, median: float, budget: float, allowed: float) -> tuple[str, ...]:
        if self.pauses is None:
            return ()
        if self.pauses.lost_share > _MOST_LOST:
            return (f"the machine paused for {self.pauses.lost_share:.1%} of the time",)
        hits = self.pauses.hits(median, max(_BUDGET_SHARE * budget, _PAUSE_SECONDS))
        if hits > allowed / 10:
            return (f"pauses above {_BUDGET_SHARE:.0%} of the budget hit about {hits:.2%} of the calls",)
        return ()

    def _lost_processor(self) -> tuple[str, ...]:
        told = []
        on_cpu = self._taken_off()
        if self.is_bound_to_one_thread and on_cpu is not None:
            told.append(f"the calls had a processor for {on_cpu:.1%} of their time")
        if self.stolen_share is not None and self.stolen_share > _MOST_STOLEN:
            told.append(f"{self.stolen_share:.1%} of the processors' time went to other virtual machines")
        if self.throttled:
            told.append(f"the quota of the control group stopped the process, times: {self.throttled:,}")
        return tuple(told)

    def _taken_off(self) -> float | None:
        """Return the share of its time that the thread ran, if it wanted to run more: a model may sleep."""
        if self.on_cpu_share is None or self.on_cpu_share >= _LEAST_ON_CPU:
            return None
        if self.waiting_share is not None:
            return self.on_cpu_share if self.waiting_share > 1 - _LEAST_ON_CPU else None
        return self.on_cpu_share if self.involuntary_switches else None

    def details(self) -> dict[str, JsonValue]:
        """Return what was read, for the record."""
        found: dict[str, JsonValue] = {
            "clock_seconds": self.overhead_seconds,
            "on_cpu_share": self.on_cpu_share,
            "waiting_share": self.waiting_share,
            "involuntary_switches": self.involuntary_switches,
            "stolen_share": self.stolen_share,
            "throttled": self.throttled,
            "other_work": list(self.other_work),
        }
        if self.pauses is not None:
            found["pauses_per_second"] = (
                len(self.pauses.pauses) / self.pauses.seconds if self.pauses.seconds > 0 else None
            )
            found["time_lost_to_pauses"] = self.pauses.lost_share
            found["longest_pause_seconds"] = max(self.pauses.pauses, default=0.0)
        return found


def look_for_pauses(seconds: float = _PROBE_SECONDS) -> Pauses:
    """Look at the clock as often as possible, and return the pauses between two looks.

    A pause beyond 0.1 ms is no instruction of the loop: the operating system or the hypervisor ran something
    else, as it would have done in a call.
    """
    clock = time.perf_counter_ns
    limit, least = round(seconds * 1e9), round(_PAUSE_SECONDS * 1e9)
    begin = before = clock()
    found = []
    while before - begin < limit:
        now = clock()
        if now - before > least:
            found.append((now - before) / 1e9)
        before = now
    return Pauses(seconds=(before - begin) / 1e9, pauses=tuple(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counters:
    wall: float
    thread: float
    waiting: float | None
    switches: int | None
    stolen: tuple[float, float] | None
    throttled: int | None


class Watch:
    """Reads the machine's counters around blocks of calls; the reading itself stands outside of them.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are looked for.
    probe_seconds : float
        How long each look for pauses lasts.
    """

    def __init__(self, *, root: Path = Path("/"), probe_seconds: float = _PROBE_SECONDS) -> None:
        self._root = root
        self._probe_seconds = probe_seconds
        self._started: _Counters | None = None
        self._blocks: list[tuple[_Counters, _Counters]] = []
        self._probes: list[Pauses] = []

    def begin(self) -> None:
        """Note that a block of calls begins."""
        self._started = self._read()

    def end(self) -> None:
        """Note that it has ended."""
        if self._started is not None:
            self._blocks.append((self._started, self._read()))
        self._started = None

    def look_for_pauses(self) -> None:
        """Look for pauses now, between two blocks."""
        self._probes.append(look_for_pauses(self._probe_seconds))

    def forget(self) -> None:
        """Drop what was read, as the calls of that time are dropped."""
        self._blocks.clear()
        self._probes.clear()

    def conditions(self, base: Conditions) -> Conditions:
        """Return `base` with everything that was read."""
        wall = sum(after.wall - before.wall for before, after in self._blocks)
        if not self._blocks or wall <= 0:
            return base
        return replace(
            base,
            pauses=_joined(self._probes),
            on_cpu_share=sum(after.thread - before.thread for before, after in self._blocks) / wall,
            waiting_share=_share(self._sum("waiting"), wall),
            involuntary_switches=_whole(self._sum("switches")),
            stolen_share=self._stolen(),
            throttled=_whole(self._sum("throttled")),
        )

    def _sum(self, name: str) -> float | None:
        pairs = [(getattr(before, name), getattr(after, name)) for before, after in self._blocks]
        if any(value is None for pair in pairs for value in pair):
            return None
        return float(sum(after - before for before, after in pairs))

    def _stolen(self) -> float | None:
        first, last = self._blocks[0][0].stolen, self._blocks[-1][1].stolen
        if first is None or last is None or last[1] <= first[1]:
            return None
        return (last[0] - first[0]) / (last[1] - first[1])

    def _read(self) -> _Counters:
        waiting = _first_number(self._root / "proc/thread-self/schedstat", 1)
        return _Counters(
            wall=time.perf_counter(),
            thread=time.thread_time(),
            waiting=None if waiting is None else waiting / 1e9,
            switches=_involuntary_switches(),
            stolen=_stolen_ticks(self._root / "proc/stat"),
            throttled=_throttled(self._root),
        )


def load_told(load: Callable[[], tuple[float, float, float]] = os.getloadavg) -> tuple[str, ...]:
    """Say that more work wants to run than there are processors, by the load of the last minute."""
    processors = os.cpu_count() or 1
    try:
        found = load()[0]
    except OSError:
        return ("the load of this machine can not be read",)
    if found <= processors:
        return ()
    return (f"other work ran on this machine: a load of {found:.1f} on {processors} processors",)


def _joined(probes: Sequence[Pauses]) -> Pauses | None:
    if not probes:
        return None
    return Pauses(
        seconds=math.fsum(probe.seconds for probe in probes),
        pauses=tuple(pause for probe in probes for pause in probe.pauses),
    )


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None else part / whole


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)


def _involuntary_switches() -> int | None:
    try:
        import resource
    except ImportError:  # no such module on Windows
        return None
    who = getattr(resource, "RUSAGE_THREAD", None)
    return None if who is None else int(resource.getrusage(who).ru_nivcsw)


def _stolen_ticks(path: Path) -> tuple[float, float] | None:
    """Return the ticks that were stolen and all ticks, of all processors since the machine's start."""
    try:
        fields = [int(text) for text in path.read_text(encoding="ascii").partition("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return (float(fields[7]), float(sum(fields))) if len(fields) == 8 else None


def _throttled(root: Path) -> int | None:
    """Return how often the quota of this process's control group stopped it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        _, names, own = [*line.split(":", 2), "", ""][:3]
        if not names or "cpu" in names.split(","):
            mount = "sys/fs/cgroup" if not names else "sys/fs/cgroup/cpu"
            for folder in (root / mount / own.lstrip("/"), root / mount):
                found = _named_number(folder / "cpu.stat", "nr_throttled")
                if found is not None:
                    return found
    return None


def _named_number(path: Path, name: str) -> int | None:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None


def _first_number(path: Path, place: int) -> float | None:
    try:
        return float(path.read_text(encoding="ascii").split()[place])
    except (OSError, ValueError, IndexError):
        return None
