"""Command line, environment and ini: what a run was told, before any of it is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

DEFAULT_OUT = "prodml-report"

#: Setting -> what it is. Option ``--prodml-key``, environment ``PRODML_KEY``, ini ``prodml_key``, and so on.
_PATHS = {
    "model": "the model file or directory to certify",
    "policy": "the policy that decides what is required",
    "out": f"the directory for certificate and evidence (default: {DEFAULT_OUT})",
    "key": "the private key that signs the certificate",
    "baseline": "the model to compare with, for the fixture prodml_baseline",
}
_NAMES = {
    "model_version": "the version of the model, as the certificate calls it",
    "target": "what this machine stands for; a policy can ask for it (require.targets)",
    "shard": "this run is one of several, such as 1/3 or gpu: leave the decision to `prodml merge`",
    "serial": "the certificate's serial, such as the number of the build (default: the seconds since 1970)",
}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})
#: Runs of pytest that list something and run no test.
_LISTINGS = (
    "help",
    "version",
    "markers",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
    "prodml_hardware",
)


def declare(parser: pytest.Parser) -> None:
    """Declare options and their ini twins."""
    group = parser.getgroup("prodml", "production-readiness certificate (pytest-prodml)")
    group.addoption(
        "--prodml",
        action="store_true",
        default=False,
        help="Run the gates, decide by the policy and write a certificate.",
    )
    for name, what in _PATHS.items():
        group.addoption(
            f"--prodml-{name}",
            metavar="PATH",
            default=None,
            help=f"With --prodml: {what}. A relative path starts at the rootdir; "
            "join an absolute one by '=', or pytest looks for the rootdir there.",
        )
        parser.addini(f"prodml_{name}", f"{what} (like --prodml-{name})", default="")
    for name, what in _NAMES.items():
        option = f"--prodml-{name.replace('_', '-')}"
        metavar = "N" if name == "serial" else "NAME"
        group.addoption(option, metavar=metavar, default=None, help=f"With --prodml: {what}.")
        parser.addini(f"prodml_{name}", f"{what} (like {option})", default="")
    group.addoption(
        "--prodml-update-golden",
        action="store_true",
        default=False,
        help="Freeze golden records anew with the answers of this run, for a person to look at and commit. "
        "Refused in CI (the variable CI), and no gate passes by it.",
    )
    group.addoption(
        "--prodml-no-sign",
        action="store_true",
        default=False,
        help="With --prodml: do not sign. `prodml verify` never accepts an unsigned certificate.",
    )
    group.addoption(
        "--prodml-hardware",
        action="store_true",
        default=False,
        help="Describe this machine as a hardware target, ready to be pasted, and run no test.",
    )
    parser.addini("prodml", "run as with --prodml", type="bool", default=False)
    parser.addini("prodml_no_sign", "do not sign (like --prodml-no-sign)", type="bool", default=False)


def is_active(config: pytest.Config) -> bool:
    """Tell whether this run was asked for a certificate and is going to run tests."""
    asked = _option(config, "prodml") or config.getini("prodml")
    return bool(asked) and not any(_option(config, name) for name in _LISTINGS)


def only_collects(config: pytest.Config) -> bool:
    """Tell whether tests are only collected (``--collect-only``)."""
    return bool(_option(config, "collectonly"))


def given(config: pytest.Config) -> dict[str, str | bool]:
    """Return what was set outside the configuration file: command line, else environment, else ini.

    Raises
    ------
    pytest.UsageError
        If ``PRODML_NO_SIGN`` is neither a yes nor a no.
    """
    found: dict[str, str | bool] = {}
    for name in (*_PATHS, *_NAMES):
        value = (
            _option(config, f"prodml_{name}")
            or os.environ.get(f"PRODML_{name.upper()}")
            or config.getini(f"prodml_{name}")
        )
        if value:
            found[name] = str(value)
    found["sign"] = not (
        _option(config, "prodml_no_sign")
        or _flag(os.environ, "PRODML_NO_SIGN")
        or config.getini("prodml_no_sign")
    )
    return found


def output_directory(config: pytest.Config) -> Path:
    """Return where the certificate goes, as far as it can be known before the configuration is checked.

    The certificate of an earlier run must be gone even if this run fails on a wrong setting.
    """
    out = given(config).get("out")
    if out is None:
        from pytest_prodml.plugin.settings import peek_out

        out = peek_out(config.rootpath)
    return config.rootpath / str(out)


def _option(config: pytest.Config, name: str) -> Any:  # noqa: ANN401 - argparse knows no types
    # Before the arguments are parsed for good, `config.option` holds defaults.
    return getattr(config.option, name, None) or getattr(config.known_args_namespace, name, None)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise pytest.UsageError(f"{name}={text!r} is neither yes nor no; use 1 or 0")
