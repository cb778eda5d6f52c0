"""Where the code of a run came from: recorded, shown, and something that a policy can ask for."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from certificate_factory import RUN, Desk
from plugin.project import GATES, Project
from pytest_prodml.certificate.forms import page_problem, read_form
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin import provenance as module
from pytest_prodml.plugin.provenance import automation, code_files, without_credentials
from pytest_prodml.policy.load import parse_policy, policy_digest
from pytest_prodml.records import ContinuousIntegration, Provenance, Readiness

CLEAN = Provenance(
    revision="a" * 40,
    is_dirty=False,
    automation=ContinuousIntegration(provider="github-actions", project="org/credit"),
)
PROVIDERS = ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "TF_BUILD", "JENKINS_URL")
STRICT = "\n[provenance]\nallow_dirty = false\n"


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in PROVIDERS:
        monkeypatch.delenv(name, raising=False)
    project.write(".gitignore", "prodml-report/\n__pycache__/\nhidden/\n")
    git(project.root, "init", "-q")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "all")
    git(
        project.root, "remote", "add", "origin", "https://user:secret@example.com/org/credit.git?token=secret"
    )
    return project


def recorded(project: Project) -> Provenance:
    made = project.issued().run.provenance
    assert made is not None
    return made


def test_clean_revision_is_recorded_and_shown(repository: Project) -> None:
    assert repository.run().ret == 0
    made = recorded(repository)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository.root, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert (made.revision, made.is_dirty, made.problem) == (head, False, None)
    assert made.repository == "https://example.com/org/credit.git"
    assert made.automation is None
    assert {file.name: file.digest["sha256"] for file in made.files} == {
        "test_gates.py": sha256_hex((repository.root / "test_gates.py").read_bytes())
    }
    for name in ("certificate.html", "summary.md"):
        assert head in (repository.out / name).read_text(encoding="utf-8")
    assert b"secret" not in repository.envelope().payload


@pytest.mark.parametrize(
    ("path", "dirty"),
    [
        ("policy.toml", True),
        ("test_more.py", True),
        ("sub/conftest.py", True),
        ("hidden/conftest.py", False),
        ("notes.txt", False),
        ("prodml-report/test_x.py", False),
    ],
)
def test_what_makes_a_run_dirty(repository: Project, path: str, dirty: bool) -> None:
    file = repository.root / path
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    repository.write(path, old + "\n# changed\n")
    assert repository.run().ret == 0
    assert recorded(repository).is_dirty is dirty


def test_ignored_test_code_is_dirty_where_it_is_used(repository: Project) -> None:
    repository.write(
        "hidden/test_three.py", GATES.replace("test_one", "test_three").replace("test_two", "test_four")
    )
    repository.run()
    made = recorded(repository)
    assert "hidden/test_three.py" in {file.name for file in made.files}
    assert made.is_dirty is True


def test_earlier_certificate_that_is_tracked_makes_nothing_dirty(repository: Project) -> None:
    repository.run()
    git(repository.root, "add", "-f", "prodml-report")
    git(repository.root, "commit", "-qm", "certificate")
    repository.run()
    assert recorded(repository).is_dirty is False


def test_without_a_repository_it_is_unknown(project: Project) -> None:
    assert project.run().ret == 0
    made = recorded(project)
    assert (made.revision, made.is_dirty) == (None, None)
    assert made.problem == "not a git repository with a commit"


def test_without_git_it_is_unknown(repository: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    revision = module._revision(repository.root, set(), "out")
    assert revision == (None, None, None, "git is not installed")


def test_git_that_hangs_is_left(repository: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = repository.write("bin/git", "#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _name: str(slow))
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    assert module._revision(repository.root, set(), "out")[3] == "git did not answer: TimeoutExpired"


def test_file_system_monitor_of_the_repository_is_not_started(repository: Project) -> None:
    hook = repository.write("monitor.sh", "#!/bin/sh\ntouch started\n")
    hook.chmod(0o755)
    git(repository.root, "config", "core.fsmonitor", str(hook))
    repository.run()
    assert recorded(repository).revision is not None
    assert not (repository.root / "started").exists()


def test_selection_has_a_digest(repository: Project) -> None:
    digests = []
    for arguments in ([], ["-k", "one or two"], ["-m", "not slow"], []):
        repository.run(*arguments)
        digests.append(recorded(repository).selection_digest)
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_conftests_above_a_gate_are_named(project: Project) -> None:
    project.write("conftest.py", "")
    project.write("a/conftest.py", "x = 1\n")
    project.write("b/conftest.py", "")
    project.write("a/test_one.py", "")
    files = code_files(project.root, ["a/test_one.py::test_x[1]", "../outside.py::y", "/etc/passwd::z"])
    assert [file.name for file in files] == ["a/conftest.py", "a/test_one.py", "conftest.py"]


def test_workers_give_the_same(repository: Project) -> None:
    repository.run()
    alone = recorded(repository)
    repository.run("-n", "2", sub=True)
    together = recorded(repository)
    assert replace(together, selection_digest=None) == replace(alone, selection_digest=None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"GITHUB_ACTIONS": "false", "GITHUB_REPOSITORY": "a/b"}, None),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_REPOSITORY": "org/credit",
                "GITHUB_RUN_ID": "7",
                "GITHUB_ACTOR": "alice",
                "GITHUB_TOKEN": "secret",
            },
            ContinuousIntegration(provider="github-actions", project="org/credit", run="7"),
        ),
        (
            {
                "GITLAB_CI": "true",
                "CI_PROJECT_PATH": "org/credit",
                "CI_JOB_TOKEN": "secret",
                "CI_JOB_ID": "8",
            },
            ContinuousIntegration(provider="gitlab-ci", project="org/credit", run="8"),
        ),
        (
            {"JENKINS_URL": "https://ci.internal/", "JOB_NAME": "credit", "BUILD_NUMBER": "9"},
            ContinuousIntegration(provider="jenkins", project="credit", run="9"),
        ),
        ({"BUILDKITE": "true"}, ContinuousIntegration(provider="buildkite")),
        (
            {"CIRCLECI": "true", "CIRCLE_BRANCH": "a\u202eb\x1b"},
            ContinuousIntegration(provider="circleci", ref="a\\u202eb\\x1b"),
        ),
    ],
)
def test_automation(environment: dict[str, str], expected: ContinuousIntegration | None) -> None:
    assert automation(environment) == expected


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:token@example.com:8443/a/b.git?x=1#y", "https://example.com:8443/a/b.git"),
        ("git@example.com:org/repo.git", "ssh://example.com/org/repo.git"),
        ("ssh://git@example.com/org/repo", "ssh://example.com/org/repo"),
        ("/home/alice/repo", None),
        ("file:///home/alice/repo", None),
        ("C:/Users/alice/repo", None),
        ("https://[bad", None),
        ("https://x:y@", None),
        ("ext::sh -c touch", None),
    ],
)
def test_addresses_lose_their_credentials(address: str, shown: str | None) -> None:
    assert without_credentials(address) == shown


@pytest.mark.parametrize(
    ("rule", "provenance", "told"),
    [
        (STRICT, CLEAN, None),
        (STRICT, None, "the revision of the tested code is unknown (not recorded)"),
        (STRICT, replace(CLEAN, is_dirty=True), "files differ from the revision aaaaaaaaaaaa"),
        (STRICT, replace(CLEAN, is_dirty=None, problem="git did not answer"), "(git did not answer)"),
        (STRICT, replace(CLEAN, revision=None), "unknown"),
        ("\n[provenance]\nallow_dirty = true\n", None, None),
        ('\n[provenance]\nautomation = ["github-actions:org/*"]\n', CLEAN, None),
        ('\n[provenance]\nautomation = ["gitlab-ci:*"]\n', CLEAN, "ran in 'github-actions:org/credit'"),
        (
            '\n[provenance]\nautomation = ["*"]\n',
            replace(CLEAN, automation=None),
            "outside of any automation",
        ),
        ('\n[provenance]\nautomation = ["*"]\n', None, "outside of any automation"),
    ],
)
def test_policy_can_ask_for_it(
    tmp_path: Path, rule: str, provenance: Provenance | None, told: str | None
) -> None:
    desk = Desk(tmp_path)
    strict = parse_policy((desk.policy.read_text() + rule).encode(), where="policy.toml")
    run = replace(RUN, provenance=provenance)
    made = desk.build(policy=strict, run=run)
    assert (made.decision.outcome is Readiness.READY) == (told is None)
    assert told is None or told in made.decision.reasons[0]
    # The gate's own policy is judged as well, on a certificate that was issued under a lenient one.
    desk.certify(desk.build(run=run))
    report = desk.verify(policy=strict)
    assert report.accepted == (told is None)
    assert told is None or any(told in reason.message for reason in report.reasons)


def test_older_policies_keep_their_digest(tmp_path: Path) -> None:
    policy = parse_policy((Desk(tmp_path).policy).read_bytes(), where="policy.toml")
    assert policy.allow_dirty is None
    assert policy.required_automation is None
    assert policy_digest(policy) != policy_digest(replace(policy, allow_dirty=False))
    with pytest.raises(ConfigurationError, match="met by nothing"):
        parse_policy(
            (Desk(tmp_path).policy.read_text() + "\n[provenance]\nautomation = []\n").encode(), where="p"
        )


def test_page_of_a_real_run_is_bound(project: Project) -> None:
    assert project.run().ret == 0
    page = (project.out / "certificate.html").read_bytes()
    form = read_form(page)
    assert form.envelope == project.envelope()
    assert page_problem(form, project.issued()) is None
    changed = read_form(page.replace(b"</body>", b"<p>approved</p></body>"))
    assert page_problem(changed, project.issued()) is not None
