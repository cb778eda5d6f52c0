"""What else a machine did is told by name, and only takes away what it could have caused."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_prodml.checks.latency import Conditions, Pauses, quantile_at_most, throughput_at_least
from pytest_prodml.checks.latency.conditions import Watch, load_told, look_for_pauses
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

QUIET = Conditions(
    overhead_seconds=1e-7,
    pauses=Pauses(seconds=0.2, pauses=()),
    on_cpu_share=0.999,
    waiting_share=0.0,
    involuntary_switches=0,
    stolen_share=0.0,
    throttled=0,
)


def outcome(evidence: Evidence) -> Outcome:
    judged = judge_criteria("latency.x", evidence, confidence_level=0.95)
    return min((item.judgement.outcome for item in judged), key=list(Outcome).index)


def run(conditions: Conditions, *, budget: float) -> Evidence:
    samples = np.full(8000, 1e-3) * (1 + np.random.default_rng(0).random(8000) / 100)
    return quantile_at_most(0.99, budget, samples, conditions=conditions, gate_id="latency.x")


NOISY = [
    (
        replace(QUIET, pauses=Pauses(seconds=0.2, pauses=(0.004,) * 3)),
        "the machine paused for 6.0% of the time",
    ),
    (
        replace(QUIET, pauses=Pauses(seconds=0.2, pauses=(0.0005,) * 2)),
        "pauses above 5% of the budget hit about 1.00% of the calls",
    ),
    (
        replace(QUIET, on_cpu_share=0.9, waiting_share=0.08),
        "the calls had a processor for 90.0% of their time",
    ),
    (
        replace(QUIET, on_cpu_share=0.9, waiting_share=None, involuntary_switches=40),
        "the calls had a processor for 90.0% of their time",
    ),
    (replace(QUIET, stolen_share=0.05), "5.0% of the processors' time went to other virtual machines"),
    (replace(QUIET, throttled=3), "the quota of the control group stopped the process, times: 3"),
    (replace(QUIET, other_work=("the neighbours sing",)), "the neighbours sing"),
]


@pytest.mark.parametrize(("conditions", "told"), NOISY)
def test_noise_has_a_name_and_leaves_a_pass_a_pass(conditions: Conditions, told: str) -> None:
    broken = run(conditions, budget=5e-4)
    assert outcome(broken) is Outcome.INCONCLUSIVE
    assert told in str(broken.measurements[0].note)
    assert broken.measurements[0].lower is None
    assert told in str(broken.details["noise"])
    assert outcome(run(conditions, budget=2e-3)) is Outcome.PASS


def test_without_noise_what_is_too_slow_fails() -> None:
    assert outcome(run(QUIET, budget=5e-4)) is Outcome.FAIL
    assert outcome(run(QUIET, budget=2e-3)) is Outcome.PASS
    assert run(QUIET, budget=2e-3).measurements[0].note is None


@pytest.mark.parametrize(
    "conditions",
    [
        # A model that sleeps or waits for a device is off its processor of its own will.
        replace(QUIET, on_cpu_share=0.1, waiting_share=0.001, involuntary_switches=5),
        replace(QUIET, on_cpu_share=0.1, waiting_share=None, involuntary_switches=0),
        # Threads of the model's own do the work.
        replace(QUIET, on_cpu_share=0.1, waiting_share=0.5, is_bound_to_one_thread=False),
        # Pauses so rare that they explain no tail.
        replace(QUIET, pauses=Pauses(seconds=20.0, pauses=(0.0002, 0.0003))),
        # Nothing could be read.
        Conditions(),
    ],
)
def test_what_is_no_noise_takes_nothing_away(conditions: Conditions) -> None:
    assert outcome(run(conditions, budget=5e-4)) is Outcome.FAIL


def test_a_rate_on_a_noisy_machine_is_a_lower_one() -> None:
    samples = np.full(3000, 1e-3) * (1 + np.random.default_rng(0).random(3000) / 100)
    for conditions, told in NOISY:
        if "budget" in told:
            continue
        slow = throughput_at_least(2000, samples, batch_size=1, conditions=conditions, gate_id="latency.x")
        assert outcome(slow) is Outcome.INCONCLUSIVE
        assert told in str(slow.measurements[0].note)
        fast = throughput_at_least(900, samples, batch_size=1, conditions=conditions, gate_id="latency.x")
        assert outcome(fast) is Outcome.PASS
    assert outcome(
        throughput_at_least(2000, samples, batch_size=1, conditions=QUIET, gate_id="latency.x")
    ) is (Outcome.FAIL)


def test_a_watch_tells_work_from_sleep() -> None:
    watch = Watch(probe_seconds=0.001)
    watch.begin()
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        pass
    watch.end()
    watch.look_for_pauses()
    worked = watch.conditions(Conditions())
    watch = Watch()
    watch.begin()
    time.sleep(0.05)
    watch.end()
    slept = watch.conditions(Conditions())
    assert worked.on_cpu_share is not None
    assert slept.on_cpu_share is not None
    assert slept.on_cpu_share < 0.3
    assert worked.on_cpu_share > slept.on_cpu_share
    assert worked.pauses is not None
    assert worked.pauses.seconds >= 0.001
    assert slept.pauses is None
    watch.forget()
    assert watch.conditions(Conditions()) == Conditions()


def machine(root: Path, *, stolen: int, throttled: int, waiting: int, group: str = "0::/jobs/mine") -> Path:
    """Write the files of a made up machine."""
    own = root / "sys/fs/cgroup/jobs/mine"
    own.mkdir(parents=True, exist_ok=True)
    (own / "cpu.stat").write_text(
        f"usage_usec 5\nnr_throttled {throttled}\nthrottled_usec 7\n", encoding="ascii"
    )
    thread = root / "proc/thread-self"
    thread.mkdir(parents=True, exist_ok=True)
    (thread / "schedstat").write_text(f"1000 {waiting} 3\n", encoding="ascii")
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"{group}\n", encoding="ascii")
    (root / "proc/stat").write_text(f"cpu  100 0 0 800 0 0 0 {stolen} 0 0\ncpu0 1\n", encoding="ascii")
    return root


def test_counters_are_read_from_the_operating_systems_files(tmp_path: Path) -> None:
    watch = Watch(root=machine(tmp_path, stolen=100, throttled=4, waiting=0))
    watch.begin()
    machine(tmp_path, stolen=200, throttled=6, waiting=10**9)
    watch.end()
    found = watch.conditions(Conditions(overhead_seconds=1e-7))
    assert found.stolen_share == pytest.approx(100 / 100)
    assert found.throttled == 2
    assert found.waiting_share is not None
    assert found.waiting_share > 1  # a made up second in a moment
    assert found.overhead_seconds == 1e-7


def test_what_can_not_be_read_is_unknown(tmp_path: Path) -> None:
    for content in ("", "nonsense\n", "cpu a b c\n"):
        for name in ("proc/stat", "proc/thread-self/schedstat", "proc/self/cgroup"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, encoding="ascii")
        watch = Watch(root=tmp_path)
        watch.begin()
        watch.end()
        found = watch.conditions(Conditions())
        assert (found.stolen_share, found.throttled, found.waiting_share) == (None, None, None)
        assert found.on_cpu_share is not None


def test_pauses_are_looked_for_as_long_as_asked() -> None:
    found = look_for_pauses(0.005)
    assert found.seconds >= 0.005
    assert 0 <= found.lost_share <= 1
    assert all(pause > 1e-4 for pause in found.pauses)


def test_load_above_the_processors_is_told() -> None:
    assert load_told(lambda: (0.1, 0.1, 0.1)) == ()
    assert "a load of 999.0" in load_told(lambda: (999.0, 0.1, 0.1))[0]

    def unknown() -> tuple[float, float, float]:
        raise OSError

    assert load_told(unknown) == ("the load of this machine can not be read",)
