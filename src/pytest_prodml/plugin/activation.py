"""The start of a run with ``--prodml``: what is registered in which process."""

from __future__ import annotations

import uuid

import pytest

from pytest_prodml.codec import dumps, loads
from pytest_prodml.plugin import options
from pytest_prodml.plugin.context import CONTEXT, Brief, Context
from pytest_prodml.plugin.recorder import Recorder
from pytest_prodml.plugin.settings import Settings, load_settings
from pytest_prodml.publication import remove_certificate


def clear(config: pytest.Config) -> None:
    """Remove the certificate of an earlier run, unless this process is a worker or runs no tests.

    Raises
    ------
    pytest.UsageError
        If it is there and can not be removed: it would be taken for the result of this run.
    """
    if hasattr(config, "workerinput") or options.only_collects(config):
        return
    directory = options.output_directory(config)
    try:
        remove_certificate(directory)
    except OSError as error:
        raise pytest.UsageError(
            f"{directory}: the certificate of an earlier run can not be removed: {error.strerror}"
        ) from None


def activate(config: pytest.Config) -> None:
    """Register recorder and controller.

    Every process gets a recorder, because any may run tests; only the one that the user started gets a
    controller. A run that only collects checks the gates and decides nothing.
    """
    if options.only_collects(config):
        config.pluginmanager.register(Recorder(None), "prodml-recorder")
        return
    if hasattr(config, "workerinput"):
        from pytest_prodml.plugin.controller import BRIEF_NAME

        settings = load_settings(config.rootpath, options.given(config))
        brief = loads(Brief, config.workerinput[BRIEF_NAME], where="brief")
    else:
        settings, brief = _control(config)
    config.stash[CONTEXT] = context = Context(config, settings, brief)
    config.pluginmanager.register(Recorder(context), "prodml-recorder")


def _control(config: pytest.Config) -> tuple[Settings, Brief]:
    from pytest_prodml.plugin.controller import Controller
    from pytest_prodml.plugin.preparation import look_of, prepare

    clear(config)
    plan = prepare(config)
    run_id = uuid.uuid4().hex
    brief = Brief(run_id=run_id, policy=plan.policy, waivers=plan.waivers, look=look_of(plan, run_id=run_id))
    controller = Controller(config, plan, run_id=run_id, look=brief.look, brief=dumps(brief))
    config.pluginmanager.register(controller, "prodml-controller")
    return plan.settings, brief
