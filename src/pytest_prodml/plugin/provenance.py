"""Where the code of a run came from: revision, automation, what selected the tests, digests of test code.

All of it is what the issuing process sees and says. It makes an honest run reproducible and lets a policy
refuse a careless one; somebody who holds the signing key can write anything here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest

from pytest_prodml.certificate.digest import file_subject
from pytest_prodml.codec import canonical_json, sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.plugin.gates import clean
from pytest_prodml.records import ContinuousIntegration, JsonValue, Provenance, Subject

_SECONDS = 10.0
_MAX_TEXT = 300
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_TEST_FILE = re.compile(r"(.*/)?(conftest|test_[^/]*|[^/]*_test)\.py")
#: What the ini file may say about which tests run and how.
_INI = ("addopts", "testpaths", "norecursedirs", "python_files", "python_classes", "python_functions")
_OPTIONS = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "maxfail", "lf")
#: Provider -> the variable that says "it is me", and field -> variable. Users, hosts and tokens are not read.
_PROVIDERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "github-actions": (
        "GITHUB_ACTIONS",
        {
            "project": "GITHUB_REPOSITORY",
            "pipeline": "GITHUB_WORKFLOW",
            "run": "GITHUB_RUN_ID",
            "job": "GITHUB_JOB",
            "ref": "GITHUB_REF",
            "revision": "GITHUB_SHA",
        },
    ),
    "gitlab-ci": (
        "GITLAB_CI",
        {
            "project": "CI_PROJECT_PATH",
            "pipeline": "CI_PIPELINE_ID",
            "run": "CI_JOB_ID",
            "job": "CI_JOB_NAME",
            "ref": "CI_COMMIT_REF_NAME",
            "revision": "CI_COMMIT_SHA",
        },
    ),
    "buildkite": (
        "BUILDKITE",
        {
            "project": "BUILDKITE_PIPELINE_SLUG",
            "run": "BUILDKITE_BUILD_NUMBER",
            "job": "BUILDKITE_JOB_ID",
            "ref": "BUILDKITE_BRANCH",
            "revision": "BUILDKITE_COMMIT",
        },
    ),
    "circleci": (
        "CIRCLECI",
        {
            "project": "CIRCLE_PROJECT_REPONAME",
            "pipeline": "CIRCLE_WORKFLOW_ID",
            "run": "CIRCLE_BUILD_NUM",
            "job": "CIRCLE_JOB",
            "ref": "CIRCLE_BRANCH",
            "revision": "CIRCLE_SHA1",
        },
    ),
    "azure-pipelines": (
        "TF_BUILD",
        {
            "project": "SYSTEM_TEAMPROJECT",
            "pipeline": "BUILD_DEFINITIONNAME",
            "run": "BUILD_BUILDID",
            "job": "SYSTEM_JOBNAME",
            "ref": "BUILD_SOURCEBRANCH",
            "revision": "BUILD_SOURCEVERSION",
        },
    ),
    "jenkins": (
        "JENKINS_URL",
        {"project": "JOB_NAME", "run": "BUILD_NUMBER", "ref": "BRANCH_NAME", "revision": "GIT_COMMIT"},
    ),
}


def provenance(config: pytest.Config, locations: Iterable[str], *, out: str) -> Provenance:
    """Gather the provenance of a run.

    Parameters
    ----------
    config : pytest.Config
        The session's.
    locations : iterable of str
        Node ids of the gates; their modules, and every ``conftest.py`` above them, are named by digest.
    out : str
        The directory of the certificate, as seen from the rootdir; what changes in it is this run's own.
    """
    root = config.rootpath
    files = code_files(root, locations)
    revision, is_dirty, repository, problem = _revision(root, {file.name for file in files}, out)
    return Provenance(
        revision=revision,
        is_dirty=is_dirty,
        repository=repository,
        problem=problem,
        automation=automation(os.environ),
        selection_digest=_selection_digest(config),
        files=files,
    )


def revision_of(root: Path) -> str | None:
    """Return the commit that is checked out; None where that can not be told."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        answer = (_git(git, root, ["rev-parse", "HEAD"]) or "").strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer if _COMMIT.fullmatch(answer) else None


def automation(environment: Mapping[str, str]) -> ContinuousIntegration | None:
    """Return which automation the variables of `environment` speak of; None if of none."""
    for provider, (marker, names) in _PROVIDERS.items():
        if environment.get(marker, "").strip().lower() in {"", "0", "false"}:
            continue
        found = {
            name: clean(environment[variable].strip())[:_MAX_TEXT]
            for name, variable in names.items()
            if environment.get(variable, "").strip()
        }
        return ContinuousIntegration(provider=provider, **found)
    return None


def without_credentials(address: str) -> str | None:
    """Return a repository's address without user, password and query; None for one that is local."""
    address = address.strip()
    if "://" in address:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if parts.scheme not in {"https", "http", "ssh", "git"} or not host:
            return None
        where = f"{host}:{port}" if port else host
        return clean(f"{parts.scheme}://{where}{parts.path}")[:_MAX_TEXT]
    short = re.fullmatch(r"(?:[^@/\s]+@)?([A-Za-z0-9.-]+):([^\s:?#@]+)", address)
    # One letter before a colon is a drive.
    return (
        clean(f"ssh://{short[1]}/{short[2].lstrip('/')}")[:_MAX_TEXT] if short and len(short[1]) > 1 else None
    )


def code_files(root: Path, locations: Iterable[str]) -> tuple[Subject, ...]:
    """Identify the modules of `locations` and every ``conftest.py`` from the rootdir down to them."""
    paths: set[str] = set()
    for location in locations:
        module = PurePosixPath(location.partition("::")[0])
        if module.is_absolute() or ".." in module.parts:
            continue
        paths.add(str(module))
        paths.update(str(parent / "conftest.py") for parent in module.parents)
    found = []
    for path in sorted(paths):
        if (root / path).is_file():
            try:
                found.append(file_subject(root / path, clean(path)))
            except InputError:
                continue
    return tuple(found)


def _selection_digest(config: pytest.Config) -> str:
    """Digest what selects the tests, whichever way it was said."""
    selected: dict[str, JsonValue] = {
        # Below the rootdir, so that the digest is the same on every machine and for every number of workers.
        "arguments": [clean(item.removeprefix(f"{config.rootpath}").lstrip("/")) for item in config.args],
        "blocked": [clean(item) for item in config.option.plugins if item.startswith("no:")],
    }
    for name in _OPTIONS:
        selected[name] = _plain(getattr(config.option, name, None))
    for name in _INI:
        selected[f"ini:{name}"] = _plain(config.getini(name))
    return sha256_hex(canonical_json(selected))


def _plain(value: object) -> JsonValue:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return clean(str(value))


def _revision(
    root: Path, tests: set[str], out: str
) -> tuple[str | None, bool | None, str | None, str | None]:
    """Ask git; return revision, whether something differs from it, address, and why it is unknown."""
    git = shutil.which("git")
    if git is None:
        return None, None, None, "git is not installed"
    try:
        answer = _git(git, root, ["rev-parse", "HEAD"])
        if answer is None or not _COMMIT.fullmatch(answer.strip()):
            return None, None, None, "not a git repository with a commit"
        prefix = (_git(git, root, ["rev-parse", "--show-prefix"]) or "").strip("\n")
        status = _git(git, root, ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"])
        tracked = _git(git, root, ["ls-files", "-z"])
        address = _git(git, root, ["config", "--get", "remote.origin.url"])
    except (OSError, subprocess.SubprocessError) as error:
        return None, None, None, f"git did not answer: {type(error).__name__}"
    repository = without_credentials(address) if address else None
    if status is None or tracked is None:
        return answer.strip(), None, repository, "git can not tell what was changed"
    # Test code that git ignores is in no status, and in no revision.
    unknown = tests - set(tracked.split("\0"))
    own = f"{prefix}{PurePosixPath(out)}/"
    return answer.strip(), bool(unknown) or any(_differs(status, own)), repository, None


def _differs(status: str, own: str) -> Iterator[bool]:
    """Yield whether each entry matters: any change of a tracked file, and a new file that is test code."""
    for entry in filter(None, status.split("\0")):
        state, path = entry[:2], entry[3:]
        if not path.startswith(own):
            yield state not in {"??", "!!"} or _TEST_FILE.fullmatch(path) is not None


def _git(git: str, root: Path, arguments: Sequence[str]) -> str | None:
    # Neither a file-system monitor nor a pager or prompt of the repository's own may run or wait here.
    result = subprocess.run(  # noqa: S603 - a fixed command of git's own
        [git, "-c", "core.fsmonitor=false", "-C", str(root), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
    )
    if result.returncode != 0:
        return None
    return result.stdout.decode("utf-8", "surrogateescape")
