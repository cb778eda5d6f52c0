"""Verify a million forged certificates: what is accepted, what is refused, and nothing else may happen.

    nice python benchmarks/fuzz.py --processes 2 --write docs/explanation/fuzzing.md

Certificates that a gate accepts are changed by the forgers of `fuzz_mutations.py` and go as bytes through
the whole of `verify()`: trust root, revocation list, state, every signature check. What it accepts is looked
at again by code that shares nothing with it (`fuzz_scene.Scene.fault`). The forgeries come from `--seed` and
the number of their shard alone, so the result does not depend on the number of processes.

Ends with 1 if something was accepted that must not be, or an exception came out of `verify()`.
"""

from __future__ import annotations

import argparse
import functools
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fuzz_mutations import MUTATIONS
from fuzz_scene import Scene
from page import put

from pytest_prodml.verify.report import REASONS

SHARD = 5_000
ACCEPTED = "accepted"


@dataclass(slots=True)
class Tally:
    """What happened in some shards: how often each answer to each kind of forgery, and what must not be."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    uncaught: list[str] = field(default_factory=list)
    rewritten: int = 0
    slowest: float = 0.0

    def add(self, other: Tally) -> None:
        """Count another one in."""
        self.answers.update(other.answers)
        self.faults += other.faults
        self.uncaught += other.uncaught
        self.rewritten += other.rewritten
        self.slowest = max(self.slowest, other.slowest)


@functools.cache
def scene(directory: Path) -> Scene:
    """Return this process's gate, in a directory of its own below `directory`."""
    return Scene(Path(tempfile.mkdtemp(dir=directory)))


def run_shard(shard: int, count: int, seed: int, directory: Path) -> Tally:
    """Make, verify and count the forgeries of a shard."""
    tally = Tally()
    draw = random.Random(f"{seed}/{shard}")  # noqa: S311 - forgeries, no secrets
    gate = scene(directory)
    bases, kinds = tuple(gate.bases.values()), tuple(MUTATIONS)
    originals = frozenset(base.file for base in bases)
    done = 0
    while done < count:
        base, kind = draw.choice(bases), draw.choice(kinds)
        mutant = MUTATIONS[kind](gate, base, draw)
        if mutant.data in originals:
            continue
        done += 1
        told = f"{kind} of {base.name}, shard {shard}, number {done}"
        begin = time.perf_counter()
        try:
            report = gate.judge(base, mutant.data)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            tally.uncaught.append(f"{told}: {type(error).__name__}: {error}")
            continue
        tally.slowest = max(tally.slowest, time.perf_counter() - begin)
        tally.answers[kind, report.reasons[0].code if report.reasons else ACCEPTED] += 1
        if report.accepted:
            if fault := gate.fault(base, mutant):
                tally.faults.append(f"{told}: {fault}")
            tally.rewritten += gate.payload_of(mutant) not in gate.issued
    return tally


def all_shards(count: int, seed: int, processes: int) -> Iterable[Tally]:
    """Yield the tallies of all shards, in the order of their numbers."""
    sizes = [min(SHARD, count - start) for start in range(0, count, SHARD)]
    with tempfile.TemporaryDirectory() as directory, ProcessPoolExecutor(processes) as pool:
        run = functools.partial(run_shard, seed=seed, directory=Path(directory))
        yield from pool.map(run, range(len(sizes)), sizes)


def tables(tally: Tally, parsed: argparse.Namespace, seconds: float) -> str:
    """Return the figures as Markdown."""
    exits: Counter[tuple[str, int]] = Counter()
    codes: Counter[str] = Counter()
    for (kind, code), number in tally.answers.items():
        exits[kind, 0 if code == ACCEPTED else int(REASONS[code][0])] += number
        codes[code] += number
    columns = sorted({column for _, column in exits})
    rows = {kind: [exits[kind, column] for column in columns] for kind in MUTATIONS}
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    table = [["what was changed", "files", *("accepted" if code == 0 else str(code) for code in columns)]]
    table.append(["---", *["---:"] * (len(columns) + 1)])
    for kind, numbers in rows.items():
        table.append([kind, *(f"{number:,}" for number in (sum(numbers), *numbers))])
    accepted = codes.pop(ACCEPTED, 0)
    refused = ", ".join(f"`{code}` {number:,}" for code, number in codes.most_common())
    shards, total = len(range(0, parsed.count, SHARD)), sum(rows["all"])
    lines = "\n".join("| " + " | ".join(row) + " |" for row in table)
    return f"""\
{datetime.now(UTC):%Y-%m-%d}, pytest-prodml {version("pytest-prodml")}, Python {platform.python_version()},
cryptography {version("cryptography")}, `--count {parsed.count} --seed {parsed.seed}`: {total:,} forged files
in {shards} shards, {seconds / 60:.0f} minutes with {parsed.processes} processes on a machine that others
used too; the slowest took {1000 * tally.slowest:.0f} ms.

**Accepted against the rules: {len(tally.faults)}. Exceptions: {len(tally.uncaught)}.** Accepted by the rules:
{accepted:,}, of them {accepted - tally.rewritten:,} with a payload that was issued and
{tally.rewritten:,} with another one that every key which must sign has signed.

{lines}

The columns are exit statuses. First reasons of refusal: {refused}."""


def main() -> int:
    """Run, print the counts, and return 1 if anything was accepted or raised that must not be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="page whose figures are replaced")
    parsed = parser.parse_args()
    whole = Tally()
    begin = time.perf_counter()
    for number, tally in enumerate(all_shards(parsed.count, parsed.seed, parsed.processes), 1):
        whole.add(tally)
        for line in (*tally.faults, *tally.uncaught):
            print(f"FOUND: {line}", file=sys.stderr)
        if number % 20 == 0:
            print(f"{number * SHARD:,} after {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    text = tables(whole, parsed, time.perf_counter() - begin)
    print(text)
    if parsed.write is not None:
        put(parsed.write, "benchmarks/fuzz.py", text)
    return int(bool(whole.faults or whole.uncaught))


if __name__ == "__main__":
    sys.exit(main())
