"""Does a test fail when a line of the judging code is wrong? Mutation testing of `verify/` and the decision.

    pip install -e ".[test,signers-sigstore]" mutmut
    python benchmarks/mutation.py
    python benchmarks/mutation.py --write docs/explanation/mutation.md --results build/mutation.json

mutmut makes the mutants: a comparison turned round, `and` for `or`, an argument dropped or None, a number
one larger, a code in other letters. They are run here and not by `mutmut run`: pytest collects once, and for
each mutant a fork of that process runs the tests that reach the changed function, up to the first that fails.
That is some ten times as fast. A mutant counts as killed if a test fails, or runs into the time limit.

Ends with 1 if fewer than 95 of 100 mutants of any module, or of all together, are killed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import importlib
import json
import os
import platform
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import libcst
import mutmut.mutation.trampoline as switch
import pytest
from _pytest.runner import runtestprotocol
from mutation_survivors import EXPLAINED
from mutmut.mutation import mutators
from mutmut.mutation.file_mutation import create_mutations, mutate_file_contents
from page import put

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("src/pytest_prodml")
MODULES = (
    *(f"policy/{name}.py" for name in ("decide", "criterion", "judge")),
    *(f"verify/{name}.py" for name in ("verifier", "trust", "subjects", "revocation", "state", "trustroot")),
    *(f"verify/{name}.py" for name in ("trustfile", "acceptance", "standing", "gate", "cosign", "fetch")),
    *(f"verify/{name}.py" for name in ("report", "keyless", "fragment", "merging")),
)
#: In one process and fast. What starts processes, or tries thousands of inputs, kills nothing more here.
TESTS = (
    "tests/policy",
    "tests/verify",
    "tests/certificate/test_html_binding.py",
    *(f"tests/cli/test_cli_{name}.py" for name in ("sign", "trust", "revoke")),
)
SLOW = (
    "test_many_gates_at_once_end_with_the_newest",
    "test_two_who_sign_at_once_lose_nothing",
    "test_any_bytes_are_a_report_or_an_error_of_ours",
    "test_ready_means_that_every_required_gate_ran_and_proved",
)
CPU_SECONDS, SECONDS, SAVE_SECONDS = 40, 120, 20
TOOL = 3  # one of the numbers that `sys.monitoring` leaves to anybody
KILLED, SURVIVED, TIMED_OUT, UNREACHED = "killed", "survived", "timed out", "no test reaches it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One changed function.

    `change` is what differs, as a diff without context. `lines` of `file` are those of the unchanged
    statement; empty where it is the function's own head, which every call goes through.
    """

    id: str
    module: str
    function: str
    change: str
    file: str
    lines: frozenset[int]

    @property
    def key(self) -> str:
        """What stays the same from one run to the next."""
        return f"{self.module}:{self.function}\n{self.change}"


@dataclass
class Runner:
    """A pytest plugin that runs mutants in place of tests."""

    mutants: Sequence[Mutant]
    jobs: int
    scratch: Path
    known: Mapping[str, str]
    path: Path | None
    results: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once as they are, to see what each reaches, then every mutant."""
        reach, ran, seconds = self._reach(session.items)
        if self.broken:
            return True
        killers: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        running: dict[int, tuple[Mutant, Path, list[pytest.Item]]] = {}
        began = time.monotonic()
        # What is there now stays: without this every child copies it page by page as it counts references.
        gc.collect()
        gc.freeze()
        saved = began
        for number, mutant in enumerate(self.mutants):
            if is_settled(mutant, self.known):
                self.results[mutant.id] = self.known[mutant.key]
                continue
            place = mutant.id.rpartition("__mutmut_")[0]
            tests = reach[place]
            if mutant.lines:
                through = {item for line in mutant.lines for item in ran[mutant.file, line]}
                tests = [item for item in tests if item in through]
            tests = sorted(tests, key=lambda item: seconds[item.nodeid])
            if not tests:
                self.results[mutant.id] = UNREACHED
                continue
            # First what killed in this function before, then what killed elsewhere, then what is quick.
            rank = {
                item: number for number, item in enumerate(dict.fromkeys([*killers[place], *killers[""]]))
            }
            tests = sorted(tests, key=lambda item: rank.get(item, len(rank)))
            folder = Path(tempfile.mkdtemp(dir=self.scratch))
            child = os.fork()
            if child == 0:
                _run_one(session, mutant, tests, folder)
            running[child] = (mutant, folder, tests)
            while len(running) >= self.jobs:
                self._collect(running, killers)
            if time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
                print(f"{number} of {len(self.mutants)}, {saved - began:.0f} s", file=sys.__stderr__)
        while running:
            self._collect(running, killers)
        return True

    def _reach(
        self, items: Iterable[pytest.Item]
    ) -> tuple[
        defaultdict[str, list[pytest.Item]],
        defaultdict[tuple[str, int], list[pytest.Item]],
        dict[str, float],
    ]:
        """Return which tests call each function, and run each line, and how long each takes."""
        reach: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        ran: defaultdict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
        lines: set[tuple[str, int]] = set()
        watch({mutant.id.partition(".x")[0] for mutant in self.mutants}, lines)
        seconds = {}
        hits: set[str] = set()
        switch.record_trampoline_hit = lambda name, **_: hits.add(name)
        for item in items:
            hits.clear()
            lines.clear()
            sys.monitoring.restart_events()
            switch.set_mutant_under_test("stats")
            began = time.monotonic()
            failed = [report for report in runtestprotocol(item, log=False) if report.failed]
            seconds[item.nodeid] = time.monotonic() - began
            if failed:
                self.broken.append(f"{item.nodeid}\n{failed[0].longreprtext}")
            for name in hits:
                # The decision has tests of its own; that a verifier fails with a broken one shows little.
                if name.startswith("pytest_prodml.verify") or item.nodeid.startswith("tests/policy/"):
                    reach[name].append(item)
            for line in lines:
                ran[line].append(item)
        sys.monitoring.free_tool_id(TOOL)
        switch.set_mutant_under_test("")
        return reach, ran, seconds

    def save(self) -> None:
        """Write what became of every mutant so far."""
        if self.path is not None:
            found: dict[str, str] = {}
            for mutant in self.mutants:
                # Two places of a function can change alike: then the one that survived counts.
                if mutant.id in self.results and found.get(mutant.key, KILLED) == KILLED:
                    found[mutant.key] = self.results[mutant.id]
            self.path.write_text(json.dumps(found, indent=1), "utf-8")

    def _collect(
        self,
        running: dict[int, tuple[Mutant, Path, list[pytest.Item]]],
        killers: defaultdict[str, list[pytest.Item]],
    ) -> None:
        child, status = os.wait()
        mutant, folder, tests = running.pop(child)
        code = os.waitstatus_to_exitcode(status)
        result = {0: SURVIVED, 1: KILLED}.get(code, TIMED_OUT)
        if result == KILLED:
            killer = tests[int((folder / "killer").read_text("utf-8"))]
            for mine in (killers[mutant.id.rpartition("__mutmut_")[0]], killers[""]):
                if killer in mine:
                    mine.remove(killer)
                mine.insert(0, killer)
        self.results[mutant.id] = result
        shutil.rmtree(folder, ignore_errors=True)


def _run_one(session: pytest.Session, mutant: Mutant, tests: Sequence[pytest.Item], folder: Path) -> None:
    """Run tests on one mutant in a child process, which ends here."""
    code = 2
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        # Its own folder for `tmp_path`: what a child leaves behind must not slow down the next.
        factory: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]  # noqa: SLF001
        factory._basetemp = folder  # noqa: SLF001
        switch.set_mutant_under_test(mutant.id)
        code = 0
        for index, item in enumerate(tests):
            following = tests[index + 1] if index + 1 < len(tests) else None
            reports = runtestprotocol(item, log=False, nextitem=following)
            if any(report.failed for report in reports):
                (folder / "killer").write_text(str(index), "utf-8")
                code = 1
                break
    except BaseException:  # noqa: BLE001 - whatever a mutant does, the child ends here
        (folder / "killer").write_text("0", "utf-8")
        code = 1
    finally:
        os._exit(code)


def watch(modules: Iterable[str], lines: set[tuple[str, int]]) -> None:
    """Have the interpreter note in `lines` which lines of the unchanged functions run."""

    def note(code: CodeType, line: int) -> object:
        lines.add((code.co_filename, line))
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(TOOL, "mutation")
    sys.monitoring.register_callback(TOOL, sys.monitoring.events.LINE, note)
    for name in modules:
        module = importlib.import_module(name)
        places = [vars(module), *(vars(item) for item in vars(module).values() if isinstance(item, type))]
        found = [item.__code__ for place in places for item in place.values() if is_unchanged(item)]
        while found:
            code = found.pop()
            sys.monitoring.set_local_events(TOOL, code, sys.monitoring.events.LINE)
            found += [item for item in code.co_consts if isinstance(item, CodeType)]


def is_unchanged(item: object) -> bool:
    """Tell whether this is a function as it was."""
    return isinstance(item, FunctionType) and item.__name__.endswith("__mutmut_orig")


def statements(code: str) -> dict[int, frozenset[int]]:
    """Return for each line of a module the lines of the innermost statement; of a compound one, its head."""
    found: dict[int, frozenset[int]] = {}
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.stmt | ast.match_case | ast.ExceptHandler):
            continue
        first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else (node.end_lineno or first)
        is_function = isinstance(node, ast.FunctionDef | ast.ClassDef)
        lines = frozenset() if is_function else frozenset(range(first, max(first, last) + 1))
        # `walk` goes from the outside to the inside, so the innermost is set last.
        found |= dict.fromkeys(range(first, max(first, last) + 1), lines)
    return found


def is_sentence(node: libcst.CSTNode) -> bool:
    """Tell whether a node is a text for a reader: a literal with a space. Codes and field names have none."""
    return isinstance(node, libcst.SimpleString) and " " in node.value


def leave_sentences() -> None:
    """Keep mutmut from changing texts for readers; f-strings it leaves alone anyway."""
    place = [operator for _, operator in mutators.mutation_operators].index(mutators.operator_string)

    def other_texts(node: libcst.BaseString) -> Iterable[libcst.BaseString]:
        return () if is_sentence(node) else mutators.operator_string(node)

    mutators.mutation_operators[place] = (libcst.BaseString, other_texts)


def copy_checkout(work: Path) -> None:
    """Copy what the tests need."""
    for name in ("src", "tests", "schema", "docs"):
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "mkdocs.yml"):
        shutil.copy(ROOT / name, work / name)


def prepare(work: Path, modules: Sequence[str]) -> tuple[list[Mutant], Counter[str]]:
    """Put all mutants into the modules of a copy; return them, and how many sentences were left alone."""
    wording: Counter[str] = Counter()
    sources = {module: (work / PACKAGE / module).read_text("utf-8") for module in modules}
    for module, source in sources.items():
        _, found, *_ = create_mutations(module, source)
        wording[module] = sum(is_sentence(mutation.original_node) for mutation in found)
    leave_sentences()
    mutants = []
    for module, source in sources.items():
        made = mutate_file_contents(module, source)
        (work / PACKAGE / module).write_text(made.code, "utf-8")
        lines = made.code.splitlines()
        heads = statements(made.code)
        texts = {
            name: [re.sub(r"__mutmut_(orig|\d+)", "", line) for line in lines[span.start - 1 : span.end]]
            for name, span in made.line_span_by_function_name.items()
        }
        dotted = f"pytest_prodml.{module.removesuffix('.py').replace('/', '.')}"
        for name in made.mutant_names:
            mangled, _, number = name.rpartition("__mutmut_")
            mangled = mangled.rpartition(".")[2]
            function = mangled.removeprefix("x_").replace("xǁ", "").replace("ǁ", ".")
            before, after = texts[f"{mangled}__mutmut_orig"], texts[f"{mangled}__mutmut_{number}"]
            change = "\n".join(_difference(before, after))
            start = made.line_span_by_function_name[f"{mangled}__mutmut_orig"].start
            touched = [start + index for index in _changed_lines(before, after)]
            mutants.append(
                Mutant(
                    id=f"{dotted}.{mangled}__mutmut_{number}",
                    module=module,
                    function=function,
                    change=change,
                    file=str(work / PACKAGE / module),
                    lines=frozenset[int]()
                    if any(not heads.get(line) for line in touched)
                    else frozenset[int]().union(*(heads[line] for line in touched)),
                )
            )
    return mutants, wording


def _difference(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    for line in difflib.unified_diff(before, after, lineterm="", n=0):
        if line[0] in "+-" and not line.startswith(("+++", "---")):
            yield f"{line[0]} {line[1:].strip()}"


def _changed_lines(before: Sequence[str], after: Sequence[str]) -> Iterator[int]:
    for kind, first, last, *_ in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from range(first, max(last, first + 1))


def explanation(mutant: Mutant) -> str | None:
    """Return why a mutant may survive."""
    for module, function, pattern, why in EXPLAINED:
        if (module, function) == (mutant.module, mutant.function) and re.search(pattern, mutant.change):
            return why
    return None


def is_settled(mutant: Mutant, known: Mapping[str, str]) -> bool:
    """Tell whether an earlier run says enough: one that is explained would run into every test again."""
    before = known.get(mutant.key)
    return before == KILLED or (before is not None and explanation(mutant) is not None)


def report(
    mutants: Sequence[Mutant], results: Mapping[str, str], wording: Mapping[str, int]
) -> Iterator[str]:
    """Yield the page's figures in Markdown."""
    yield (f"{datetime.now(UTC):%Y-%m-%d}, mutmut {version('mutmut')}, Python {platform.python_version()}.\n")
    yield "| Module | Mutants | Killed | Timed out | Survived | Killed in % | Sentences, not run |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        rows[mutant.module][results[mutant.id]] += 1
    total: Counter[str] = Counter()
    for module, counts in rows.items():
        total += counts
        yield _row(f"`{module}`", counts, wording[module])
    yield _row("all", total, sum(wording[module] for module in rows))
    left = [mutant for mutant in mutants if results[mutant.id] in {SURVIVED, UNREACHED}]
    groups: defaultdict[tuple[str, str, str], list[Mutant]] = defaultdict(list)
    for mutant in left:
        groups[mutant.module, mutant.function, explanation(mutant) or "not explained"].append(mutant)
    yield "\n| Survivors in | Number | For example | Why |\n|---|---:|---|---|"
    for (module, function, why), found in groups.items():
        lines = found[0].change.splitlines()
        shown = next((line[2:] for line in lines if line.startswith("+")), lines[0] if lines else "")
        text = shown.replace("|", "\\|").replace("`", "'")
        yield f"| `{module}` `{function}` | {len(found)} | `{text[:110]}` | {why} |"


def _row(name: str, counts: Counter[str], sentences: int) -> str:
    survived = counts[SURVIVED] + counts[UNREACHED]
    return (
        f"| {name} | {counts.total()} | {counts[KILLED]} | {counts[TIMED_OUT]} | {survived} "
        f"| {100 * share(counts):.1f} | {sentences} |"
    )


def share(counts: Counter[str]) -> float:
    """Return the part of mutants that did not survive."""
    return (counts[KILLED] + counts[TIMED_OUT]) / max(counts.total(), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", default=MODULES, help="like policy/decide.py; default all")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--least", type=float, default=95.0, help="per cent that must be killed")
    parser.add_argument("--write", type=Path, help="Markdown file to put the figures into")
    parser.add_argument("--results", type=Path, help="JSON file for every mutant and what became of it")
    parser.add_argument(
        "--since", type=Path, help="earlier --results: what was killed, or is explained, is not run"
    )
    parser.add_argument("--tests", nargs="*", default=TESTS, help="files and folders of tests")
    options = parser.parse_args()
    known = json.loads(options.since.read_text("utf-8")) if options.since else {}
    results_path = options.results.resolve() if options.results else None
    write_path = options.write.resolve() if options.write else None
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        work, scratch = Path(name) / "checkout", Path(name) / "scratch"
        copy_checkout(work)
        scratch.mkdir()
        with chdir(work):  # mutmut reads its own configuration from where it stands
            mutants, wording = prepare(work, options.modules)
        print(f"{len(mutants)} mutants", file=sys.stderr)
        runner = Runner(mutants=mutants, jobs=options.jobs, scratch=scratch, known=known, path=results_path)
        # What pytest loads as its plugins has to be the copy as well.
        sys.path[:0] = [str(work / "src"), str(work / "tests")]
        skip = " and ".join(f"not {test}" for test in SLOW)
        arguments = ["-q", "-p", "no:cacheprovider", "-k", skip, "--ignore=tests/verify/test_fuzz.py"]
        # A failure is only counted: to show it, pytest would parse the mutated file each time, for a second.
        arguments += ["--tb=native", "--assert=plain"]
        code: int | None = None
        if all(is_settled(mutant, known) for mutant in mutants):
            runner.results = {mutant.id: known[mutant.key] for mutant in mutants}
        else:
            with chdir(work):
                code = pytest.main([*arguments, *options.tests], plugins=[runner])
    if runner.broken or not runner.results:
        sys.exit(
            "\n".join(["the tests fail without a mutant", *runner.broken]) or f"pytest ended with {code}"
        )
    runner.save()
    text = "\n".join(report(mutants, runner.results, wording))
    print(text)
    if write_path:
        put(write_path, "benchmarks/mutation.py", text)
    sys.exit(verdict(mutants, runner.results, options.least))


def verdict(mutants: Sequence[Mutant], results: Mapping[str, str], least: float) -> int:
    """Return the exit status."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        counts[mutant.module][results[mutant.id]] += 1
        counts["all"][results[mutant.id]] += 1
    low = [name for name, found in counts.items() if 100 * share(found) < least]
    for name in low:
        print(f"{name}: {100 * share(counts[name]):.1f} % killed, less than {least:g} %", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    main()
