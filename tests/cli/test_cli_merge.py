"""`prodml merge` on what real runs leave: shards, workers of xdist, hosts, runs that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugin.project import Project
from plugin.test_xdist import POLICY, SUITE, comparable
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.signers.local import generate, load_signing_key
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.certificate.waiver import make_waiver_envelope
from pytest_prodml.cli import main
from pytest_prodml.codec import encode
from pytest_prodml.records import Certificate, Readiness, Waiver

MODULES = """
import sys
from pytest_prodml.cli import main
code = main(sys.argv[1:])
print(sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def shard(project: Project, name: str, *arguments: str, status: int = 0, sub: bool = False) -> Path:
    """Run one shard and return its log."""
    before = set(project.out.glob("evidence/*"))
    # pytester runs under the warning filters of these tests, which make errors of warnings.
    result = project.run("-W", "default", f"--prodml-shard={name}", *arguments, sub=sub)
    assert result.ret == status
    assert not (project.out / "certificate.json").exists()
    result.stdout.fnmatch_lines(
        [f"shard {name}: evidence only*", "run log (signed): prodml-report/evidence/*"]
    )
    [log] = set(project.out.glob("evidence/*")) - before
    return log


def arguments(project: Project, *logs: Path, more: tuple[object, ...] = ()) -> list[str]:
    given: list[object] = ["merge", *logs, "--model", project.root / "model.bin"]
    given += ["--policy", project.root / "policy.toml", "--key", project.key]
    return [str(item) for item in (*given, "--out", project.root / "merged", *more)]


def merge(project: Project, *logs: Path, more: tuple[object, ...] = ()) -> int:
    return main(arguments(project, *logs, more=more))


def merged(project: Project) -> Certificate:
    data = (project.root / "merged" / "certificate.json").read_bytes()
    return read_certificate(parse_envelope(data).payload)


def verify(project: Project, name: str = "certificate.json") -> int:
    given = [project.root / "merged" / name, "--key", project.key.with_suffix(".pub")]
    given += ["--model", project.root / "model.bin", "--policy", project.root / "policy.toml"]
    return main(["verify", *map(str, given)])


def test_two_shards_are_one_certificate(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    logs = [shard(project, "1/2", "-k", "one"), shard(project, "2/2", "-k", "two")]
    capsys.readouterr()
    assert merge(project, *logs) == 0
    said = capsys.readouterr().out
    assert said.startswith("READY  model.bin unspecified\n2 of 2 gates passed.\n")
    assert f"fragment 1/2 (signed): {logs[0]}" in said
    assert sorted(file.name for file in (project.root / "merged").iterdir()) == [
        "certificate.html",
        "certificate.json",
        "summary.md",
    ]
    assert verify(project) == verify(project, "certificate.html") == 0
    certificate = merged(project)
    assert [(run.gate_id, run.state.value, run.worker) for run in certificate.runs] == [
        ("pipeline.one", "passed", "1/2"),
        ("pipeline.two", "passed", "2/2"),
    ]
    fragments = certificate.run.fragments
    assert fragments is not None
    assert [item.name for item in fragments] == ["1/2", "2/2"]
    assert [item.states for item in fragments] == [{"deselected": 1, "passed": 1}] * 2
    assert [item.arguments[-2:] for item in fragments] == [("-k", "one"), ("-k", "two")]
    assert certificate.issued_at >= certificate.started_at == min(item.started_at for item in fragments)
    page = (project.root / "merged" / "certificate.html").read_text(encoding="utf-8")
    assert "Runs that were merged" in page
    assert fragments[0].digest["sha256"] in page


WITHOUT = {"run"}
SELECTIONS = {
    "keywords": (("-k", "not dropped and pipeline"), ("-k", "not dropped and not pipeline")),
    "markers": (("-m", "ml_pipeline"), ("-k", "not dropped", "-m", "not ml_pipeline")),
    "workers": (
        ("-n2", "-k", "test_passes or test_fails"),
        ("-k", "not dropped and not test_passes and not test_fails"),
    ),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_shards_give_what_one_run_gives(project: Project, name: str) -> None:
    """The same gates, evidence and verdicts, in a suite where everything happens that can happen to a gate."""
    project.write("policy.toml", POLICY)
    project.write("test_gates.py", SUITE)
    project.run("-W", "default", "-k", "not dropped")
    alone = project.issued()
    first, second = SELECTIONS[name]
    logs = [shard(project, "1/2", *first, status=1), shard(project, "2/2", *second, status=1)]
    assert merge(project, *logs) == 1
    together = merged(project)
    told, wanted = comparable(encode(together)), comparable(encode(alone))
    assert {key: told[key] for key in told.keys() - WITHOUT} == {
        key: wanted[key] for key in wanted.keys() - WITHOUT
    }
    assert [replace(item, message="") for item in together.decision.verdicts] == [
        replace(item, message="") for item in alone.decision.verdicts
    ]
    assert together.decision.reasons == alone.decision.reasons
    assert together.run.ordinary_tests == alone.run.ordinary_tests
    assert verify(project) == 1


def test_a_gate_that_ran_in_both_shards_ran_twice(project: Project) -> None:
    logs = [shard(project, "cpu"), shard(project, "gpu", "-k", "two")]
    assert merge(project, *logs, more=("--expect", "cpu", "--expect", "gpu")) == 0
    assert [run.worker for run in merged(project).runs] == ["cpu", "cpu", "gpu"]
    project.write("test_gates.py", (project.root / "test_gates.py").read_text().replace("pass", "assert 0"))
    logs.append(shard(project, "again", "-k", "two", status=1))
    # The same file of tests says something else now, and the log knows.
    assert merge(project, *logs) == 17


def test_a_failure_in_one_of_two_runs_blocks(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import os
        import pytest

        @pytest.mark.ml_pipeline
        def test_one(): pass

        @pytest.mark.ml_pipeline
        def test_two(): assert not os.environ.get("SLOW")
        """,
    )
    fast = shard(project, "fast")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOW", "1")
        slow = shard(project, "slow", "-k", "two", status=1)
    for logs in ((fast, slow), (slow, fast)):
        assert merge(project, *logs) == 1
        verdicts = {item.gate_id: item for item in merged(project).decision.verdicts}
        assert verdicts["pipeline.two"].reason == "rerun"


def test_a_whole_run_leaves_a_log_that_can_be_merged(project: Project) -> None:
    assert project.run().ret == 0
    [log] = project.out.glob("evidence/*")
    assert merge(project, log) == 0
    one, again = project.issued(), merged(project)
    assert again.decision.verdicts == one.decision.verdicts
    [fragment] = again.run.fragments or ()
    assert fragment.name == fragment.run_id[:8]


def test_a_shard_without_tests_still_says_what_it_left_out(project: Project) -> None:
    logs = [shard(project, "1/2", "-k", "nothing", status=5), shard(project, "2/2")]
    assert merge(project, *logs) == 0
    first, _ = merged(project).run.fragments or ()
    assert first.states == {"deselected": 2}


def test_the_log_of_a_run_that_was_killed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write(
        "test_gates.py",
        """
        import time
        import pytest

        @pytest.mark.ml_pipeline
        def test_one(): pass

        @pytest.mark.ml_pipeline
        def test_two():
            open("running", "w").close()
            time.sleep(600)
        """,
    )
    command = [sys.executable, "-m", "pytest", "-p", "prodml", "-p", "no:cacheprovider", "--prodml"]
    process = subprocess.Popen(
        command,
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not (project.root / "running").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    [log] = project.out.glob("evidence/*")
    assert merge(project, log) == 10
    assert "its run was interrupted" in capsys.readouterr().err
    assert merge(project, log, more=("--allow-unsigned",)) == 1
    certificate = merged(project)
    assert [(run.gate_id, run.state.value) for run in certificate.runs] == [
        ("pipeline.one", "passed"),
        ("pipeline.two", "not_run"),
    ]
    assert "interrupted before this gate was done" in certificate.runs[1].reason
    assert "INTERRUPTED" in capsys.readouterr().out
    # A second run of what it left undone makes a READY of it as little: run the shard again.
    project.write("test_gates.py", (project.root / "test_gates.py").read_text().replace("600", "0"))
    rest = shard(project, "rest", "-k", "two")
    assert merge(project, log, rest, more=("--allow-unsigned",)) == 1
    assert verify(project) == 1


@pytest.mark.parametrize("how", ["KeyboardInterrupt", "pytest.exit('enough')"])
def test_a_session_that_was_ended_early_has_no_end(project: Project, how: str) -> None:
    stop = f"raise {how}" if how[0] == "K" else how
    project.write(
        "test_gates.py",
        f"""
        import pytest

        @pytest.mark.ml_pipeline
        def test_one(): pass

        @pytest.mark.ml_pipeline
        def test_two(): {stop}
        """,
    )
    project.run("--prodml-shard=1/1", sub=True)
    [log] = project.out.glob("evidence/*")
    assert project.log()[-1]["kind"] == "gate-run"
    assert merge(project, log) == 10


def test_collection_errors_leave_no_end(project: Project) -> None:
    project.write("test_broken.py", "import nothing_of_that_name\n")
    result = project.run("--prodml-shard=1/1", "--continue-on-collection-errors")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NO CERTIFICATE: 1 error during collection"])
    [log] = project.out.glob("evidence/*")
    assert merge(project, log) == 10


def test_a_model_that_changes_while_a_shard_runs(project: Project) -> None:
    project.write(
        "test_gates.py",
        "import pytest\n\n@pytest.mark.ml_pipeline\ndef test_one(): open('model.bin', 'a').write('more')\n",
    )
    result = project.run("--prodml-shard=1/1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NO CERTIFICATE:*changed while the tests ran*"])
    [log] = project.out.glob("evidence/*")
    assert merge(project, log) == 10


TARGETS = """targets = ["gpu-a", "cpu-b"]
[targets.gpu-a]
min_processors = 1
[targets.cpu-b]
min_processors = 1
"""


def test_other_configuration_and_another_target(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    policy = (project.root / "policy.toml").read_text(encoding="utf-8")
    project.write("policy.toml", policy + TARGETS)
    cpu = shard(project, "cpu", "-k", "one", "--prodml-target=cpu-b")
    gpu = shard(project, "gpu", "-k", "two", "--prodml-target=gpu-a")
    assert merge(project, cpu, gpu) == 0
    assert [item.target for item in merged(project).run.fragments or ()] == ["cpu-b", "gpu-a"]
    assert verify(project) == 0
    laptop = shard(project, "laptop", "-k", "two", "--prodml-target=laptop")
    assert merge(project, cpu, laptop) == 1
    # Where a thing lies may differ between hosts, what is measured and how may not.
    (project.root / "elsewhere").mkdir()
    (project.root / "elsewhere" / "model.bin").write_bytes((project.root / "model.bin").read_bytes())
    moved = shard(
        project, "moved", "-k", "two", "--prodml-target=gpu-a", "--prodml-model=elsewhere/model.bin"
    )
    assert merge(project, cpu, moved) == 0
    project.configure("seed = 7")
    seeded = shard(project, "seeded", "-k", "two", "--prodml-target=gpu-a")
    capsys.readouterr()
    assert merge(project, cpu, seeded) == 17
    assert "fragment-configuration" in capsys.readouterr().err


def test_a_waiver_given_at_the_merge(
    project: Project, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = (project.root / "policy.toml").read_text(encoding="utf-8")
    project.write("policy.toml", policy + '[waivers]\ngates = ["pipeline.two"]\nmax = 1\n')
    project.write("test_gates.py", (project.root / "test_gates.py").read_text().replace("pass", "assert 0"))
    logs = (shard(project, "1/2", "-k", "one"), shard(project, "2/2", "-k", "two", status=1))
    keys = generate(tmp_path_factory.mktemp("approver") / "risk")
    issued_at = merged_at(project, logs)
    waiver = Waiver(
        id="w-1",
        gate_id="pipeline.two",
        subject_digest=subject_of(project.root / "model.bin").digest["sha256"],
        reason="known",
        approver="risk",
        issued_at=issued_at,
        expires_at=issued_at.replace(year=issued_at.year + 1, month=1, day=1),
    )
    path = project.root / "waiver.json"
    path.write_bytes(make_waiver_envelope(waiver, load_signing_key(keys.private)))
    assert merge(project, *logs, more=("--waiver", path, "--waiver-key", keys.public)) == 0
    assert merged(project).decision.outcome is Readiness.READY_WITH_WAIVERS
    capsys.readouterr()
    own = ("--waiver", path, "--waiver-key", project.key.with_suffix(".pub"))
    assert merge(project, *logs, more=own) == 1
    assert "a waiver does not count" in capsys.readouterr().err


def merged_at(project: Project, logs: tuple[Path, ...]) -> Any:
    assert merge(project, *logs) == 1
    return merged(project).issued_at


def test_an_unsigned_merge_is_accepted_nowhere(project: Project) -> None:
    log = shard(project, "1/1")
    given = [item for item in arguments(project, log) if item not in {"--key", str(project.key)}]
    public = str(project.key.with_suffix(".pub"))
    assert main([*given, "--no-sign", "--fragment-key", public]) == 0
    assert verify(project) == 10
    assert main(given) == 2
    # Without any key nobody could be believed.
    assert main([*given, "--no-sign"]) == 12


def test_merge_runs_where_nothing_scientific_is_installed(project: Project) -> None:
    log = shard(project, "1/1")
    finished = subprocess.run(
        [sys.executable, "-c", MODULES, *arguments(project, log)], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in finished.stderr.strip("[]\n").replace("'", "").split(", ")}
    assert {"cryptography", "jinja2"} <= loaded, "it really signed and made the page"
    assert not loaded & {"numpy", "pandas", "scipy", "sklearn", "pytest", "_pytest", "hypothesis", "socket"}


def test_usage_errors(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = shard(project, "1/1")
    assert main([*arguments(project, log), "--no-sign"]) == 2
    assert main(arguments(project)) == 2
    assert main(arguments(project, tmp_path / "none.jsonl")) == 2
    blocked = project.write("blocked", "a file")
    assert merge(project, log, more=("--out", blocked / "there")) == 2
    capsys.readouterr()


def test_a_shard_needs_a_name_that_can_be_seen(project: Project) -> None:
    result = project.run("--prodml-shard=\u200b")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*name of the shard*can not be seen*"])


def test_arguments_that_are_no_text_end_neither_run_nor_log(project: Project) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "prodml", "-p", "no:cacheprovider", "--prodml"]
    named = b"--prodml-target=\xff"
    finished = subprocess.run(
        [*map(os.fsencode, command), named], cwd=project.root, capture_output=True, check=False
    )
    assert finished.returncode == 1
    assert b"INTERNALERROR" not in finished.stdout + finished.stderr
    assert b"NO CERTIFICATE: the run log can not be written" in finished.stdout
    finished = subprocess.run(
        [*map(os.fsencode, command), b"-o", b"junit_suite_name=\xff"],
        cwd=project.root,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0
    assert project.issued().run.arguments[-1] == "junit_suite_name=\\udcff"
