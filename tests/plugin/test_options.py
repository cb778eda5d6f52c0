from __future__ import annotations

from pathlib import Path

import pytest

from plugin.project import POLICY, Project
from pytest_prodml.certificate.signers.local import generate
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.gates import seed_of
from pytest_prodml.plugin.settings import load_settings
from pytest_prodml.records import Readiness

OPTIONS = ["model", "policy", "out", "key"]


def test_options_are_in_the_help(project: Project) -> None:
    result = project.idle("--help")
    shown = result.stdout.str()
    for name in ("--prodml", *(f"--prodml-{name}" for name in OPTIONS), "--prodml-no-sign"):
        assert name in shown
    for name in ("prodml (bool)", *(f"prodml_{name} (string)" for name in OPTIONS), "prodml_no_sign (bool)"):
        assert name in shown


def test_ini_turns_it_on(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\nprodml = true\n")
    assert project.idle().ret == 0
    assert project.readiness() is Readiness.READY


def test_addopts_turns_it_on(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\naddopts = --prodml --prodml-no-sign\n")
    assert project.idle().ret == 0
    assert not project.envelope().signatures


def test_without_the_option_nothing_happens(project: Project) -> None:
    project.write("prodml.toml", "wrong = 1")
    result = project.idle()
    assert result.ret == 0
    assert not project.out.exists()
    result.stdout.no_fnmatch_line("*production readiness*")


def test_command_line_before_environment_before_ini_before_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> set[str]:
        return {path.parent.name for path in project.root.glob("*/certificate.json")}

    project.configure('out = "from-file"')
    project.run()
    assert names() == {"from-file"}
    project.write("pytest.ini", "[pytest]\nprodml_out = from-ini\n")
    project.run()
    assert names() == {"from-file", "from-ini"}
    monkeypatch.setenv("PRODML_OUT", "from-environment")
    project.run()
    assert names() == {"from-file", "from-ini", "from-environment"}
    project.run("--prodml-out", "from-command-line")
    assert names() == {"from-file", "from-ini", "from-environment", "from-command-line"}


@pytest.mark.parametrize("way", ["option", "environment", "ini"])
@pytest.mark.parametrize("name", ["model", "policy", "key"])
def test_each_path_can_be_given_each_way(
    project: Project, monkeypatch: pytest.MonkeyPatch, way: str, name: str, tmp_path: Path
) -> None:
    files = {
        "model": project.write("other/model.bin", "another model"),
        "policy": project.write("other/policy.toml", POLICY.replace("production", "staging")),
        "key": generate(tmp_path / "other").private,
    }
    project.run()
    before = _what_it_is(project)
    arguments = [f"--prodml-{name}={files[name]}"] if way == "option" else []
    if way == "environment":
        monkeypatch.setenv(f"PRODML_{name.upper()}", str(files[name]))
    if way == "ini":
        project.write("pytest.ini", f"[pytest]\nprodml_{name} = {files[name]}\n")
    project.run(*arguments)
    after = _what_it_is(project)
    assert [key for key in before if before[key] != after[key]] == [name]


def _what_it_is(project: Project) -> dict[str, str]:
    certificate = project.issued()
    return {
        "model": certificate.subjects[0].digest["sha256"],
        "policy": certificate.policy.name,
        "key": project.envelope().signatures[0].keyid,
    }


@pytest.mark.parametrize(("value", "signed"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_no_sign_in_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch, value: str, signed: bool
) -> None:
    monkeypatch.setenv("PRODML_NO_SIGN", value)
    project.run()
    assert bool(project.envelope().signatures) is signed


def test_no_sign_must_be_yes_or_no(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODML_NO_SIGN", "maybe")
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*PRODML_NO_SIGN='maybe' is neither yes nor no*"])


def test_pyproject_toml_does_as_well(project: Project) -> None:
    text = (project.root / "prodml.toml").read_text()
    (project.root / "prodml.toml").unlink()
    project.write("pyproject.toml", "[tool.prodml]\n" + text.replace("[model]", "[tool.prodml.model]"))
    assert project.run().ret == 0
    assert project.readiness() is Readiness.READY


def test_two_configurations_are_one_too_many(project: Project) -> None:
    project.write("pyproject.toml", "[tool.prodml]\nseed = 1\n")
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: *both configure this project*"])


def test_all_errors_of_a_configuration_at_once(project: Project) -> None:
    project.write(
        "prodml.toml",
        """
        polcy = "policy.toml"
        seed = -1.5
        [model]
        pth = "model.bin"
        [data]
        sensitive = "sex"
        """,
    )
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        [
            "ERROR: prodml.toml: is not a valid configuration",
            "*unknown field 'polcy'; did you mean 'policy'? @ $",
            "*expected an integer, got -1.5 @ $.seed",
            "*unknown field 'pth'; did you mean 'path'? @ $.model",
            "*expected a list, got 'sex' @ $.data.sensitive",
        ]
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("confidence_level = 0.4", "expected 0.5 < level < 1, got 0.4"),
        ("confidence_level = 0.9", "below the policy's 0.95"),
        ("seed = -1", "expected 0 <= seed < 2^53"),
        ('out = ""', "expected a directory"),
    ],
)
def test_values_outside_their_range(project: Project, line: str, problem: str) -> None:
    project.configure(line)
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{problem}*"])


def test_everything_that_is_missing_is_told_at_once(project: Project) -> None:
    project.write("prodml.toml", "")
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*needs a policy*", "*needs a model*", "*needs a key*", "*prodml keygen*"])
    result.stdout.no_fnmatch_line("*passed*")


@pytest.mark.parametrize("name", ["model", "policy", "key"])
def test_file_that_is_not_there_stops_before_the_tests(project: Project, name: str) -> None:
    result = project.run(f"--prodml-{name}", "nowhere")
    assert result.ret == 4
    assert project.certificate() is None
    result.stderr.fnmatch_lines([f"ERROR: {project.root}/nowhere: *can not be read*"])


def test_wrong_policy_is_a_usage_error(project: Project) -> None:
    project.write("policy.toml", 'name = "p"\nversion = "1"\n')
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*requires nothing*"])


def test_encrypted_key_takes_its_passphrase_from_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = generate(tmp_path / "locked", passphrase=b"open sesame").private
    assert project.run(f"--prodml-key={key}").ret == 4
    monkeypatch.setenv("PRODML_KEY_PASSPHRASE", "open sesame")
    assert project.run(f"--prodml-key={key}").ret == 0
    assert "open sesame" not in (project.out / "certificate.html").read_text()


def test_paths_start_at_the_rootdir(project: Project) -> None:
    project.pytester.mkdir("below")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root / "below")
        assert project.run("..", "--prodml-model", "model.bin").ret == 0


def test_settings_without_a_file_are_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings.out == "prodml-report"
    assert settings.sign
    assert settings.seed == 0
    assert settings.confidence_level is None


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nprodml = 3"])
def test_table_must_be_a_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    if text == "tool = 3":
        assert load_settings(tmp_path, {}).seed == 0
    else:
        with pytest.raises(ConfigurationError, match="must be a table"):
            load_settings(tmp_path, {})


def test_seed_of_a_gate_is_fixed_by_seed_and_id() -> None:
    # The first four bytes of sha256("0:data.a"), by sha256sum.
    assert seed_of("data.a", 0) == 0x3C05181A
    assert len({seed_of("data.a", 0), seed_of("data.b", 0), seed_of("data.a", 1)}) == 3
    assert all(0 <= seed_of(f"data.{i}", 7) < 2**32 for i in range(100))


def test_installed_distribution_brings_the_plugin(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    assert project.pytester.runpytest_subprocess("--prodml").ret == 0
    assert project.readiness() is Readiness.READY


def test_serial_is_the_number_of_the_build_or_the_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.run().ret == 0
    by_time = project.issued()
    assert by_time.serial == int(by_time.issued_at.timestamp())
    monkeypatch.setenv("PRODML_SERIAL", "41")
    assert project.run().ret == 0
    assert project.issued().serial == 41
    assert project.run("--prodml-serial=9007199254740991").ret == 0
    assert project.issued().serial == 9007199254740991


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "1e3", "build-7", "9007199254740992", "٤٢", "9" * 5000])
def test_serial_is_a_whole_number(project: Project, text: str) -> None:
    result = project.run(f"--prodml-serial={text}")
    assert result.ret == 4
    assert project.certificate() is None
    result.stderr.fnmatch_lines(["*expected a whole number from 1 on*--prodml-serial*"])
