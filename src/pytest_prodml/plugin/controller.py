"""Where the run is decided: reports in, certificate out.

There is one of these, in the process that the user started; with xdist that process runs no tests itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_prodml.certificate.runlog import LogHead, RunLog
from pytest_prodml.certificate.statement import PRODUCER
from pytest_prodml.errors import ProdmlError
from pytest_prodml.plugin.certification import Conclusion, certify, check_unchanged
from pytest_prodml.plugin.gates import clean
from pytest_prodml.plugin.outputs import EVIDENCE, now
from pytest_prodml.plugin.preparation import Plan
from pytest_prodml.plugin.provenance import provenance, revision_of
from pytest_prodml.plugin.recorder import INVENTORY, INVENTORY_NAME
from pytest_prodml.plugin.runs import RunMerger
from pytest_prodml.plugin.summary import write_summary
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.publication import remove_certificate
from pytest_prodml.records import GateRun, Look, RunSummary

#: Name of the `Brief` in xdist's `workerinput`.
BRIEF_NAME = "prodml_brief"


class Worker(Protocol):
    """A worker of xdist, as its controller sees it. `workeroutput` is missing on one that died."""

    workerinput: dict[str, Any]
    gateway: Any


class Controller:
    """Merges what the tests told, decides when they are done, and answers for the exit status."""

    def __init__(
        self, config: pytest.Config, plan: Plan, *, run_id: str, look: Look | None, brief: str
    ) -> None:
        self.config = config
        self.plan = plan
        self.run_id = run_id
        self.look = look
        self.brief = brief
        self.started_at = now()
        self.merger = RunMerger()
        self.conclusion = Conclusion(problem="the run did not get as far as its tests")
        self._workers: set[str] = set()
        self._collection_errors = 0
        self._told = False
        self._log: RunLog | None = None
        self._inventory_logged = False
        self._log_problem: Exception | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Worker) -> None:
        """Give a worker of xdist the policy and the waivers."""
        node.workerinput[BRIEF_NAME] = self.brief

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Worker) -> None:
        """Count a worker of xdist."""
        self._workers.add(str(node.gateway.id))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Worker, error: object) -> None:  # noqa: ARG002
        """Take the inventory of a worker of xdist; one that died has none."""
        inventory = getattr(node, "workeroutput", {}).get(INVENTORY_NAME)
        if inventory is not None:
            self.merger.add_inventory(inventory)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count what could not be collected: nobody knows which gates were in it."""
        self._collection_errors += report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Merge one report, and log the gate runs that it completes."""
        runs = self.merger.add(report)
        if self._log_problem is not None:
            # What was written last may be half a line, and nothing must follow it.
            return
        try:
            self._write_log(runs)
        except (OSError, ProdmlError) as error:
            # A full disk must not end the session as an internal error; without its log no run is certified.
            self._log_problem = error

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Decide after the last test, so that exit status and summary agree."""
        try:
            result = yield
        except BaseException as error:
            self.conclusion = Conclusion(problem=f"the run did not finish: {_why(error)}")
            raise
        self._conclude(session)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """See to it that the status 0 stands for a certificate that says ready."""
        try:
            yield
        except BaseException:
            remove_certificate(self.plan.settings.at(self.plan.settings.out))
            raise
        finally:
            if not self.conclusion.may_succeed and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        # Before pytest 9.2, --no-summary leaves out the hook below; a verdict is more than a summary.
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if not self._told and reporter is not None and self.config.option.no_summary:
            write_summary(reporter, self.conclusion, self.plan)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Show the verdict below everything else."""
        yield
        self._told = True
        write_summary(terminalreporter, self.conclusion, self.plan)

    def _conclude(self, session: pytest.Session) -> None:
        self._take_own_inventory()
        try:
            left_undone = self.merger.finish()
            if self._log_problem is None:
                self._write_log(left_undone)
            if self._log_problem is not None:
                problem = f"the run log can not be written: {self._log_problem}"
                self.conclusion = Conclusion(problem=problem)
            elif self._collection_errors:
                noun = "error" if self._collection_errors == 1 else "errors"
                problem = f"{self._collection_errors} {noun} during collection"
                self.conclusion = Conclusion(problem=problem)
            else:
                check_unchanged(self.plan)
                summary = self._run_summary(session)
                path = self._seal_log(summary)
                if self.plan.settings.shard is not None:
                    self.conclusion = Conclusion(shard_log=path)
                else:
                    self.conclusion = certify(self.plan, self.merger, summary, started_at=self.started_at)
        except (ProdmlError, OSError) as error:
            self.conclusion = Conclusion(problem=str(error))
        if not self.conclusion.may_succeed and not session.testsfailed:
            session.testsfailed = 1

    def _take_own_inventory(self) -> None:
        """Take the inventory of this process, once; workers of xdist tell theirs."""
        if INVENTORY in self.config.stash and not self.merger.inventories:
            self.merger.add_inventory(self.config.stash[INVENTORY])

    def _run_summary(self, session: pytest.Session) -> RunSummary:
        if session.testsfailed:
            status = pytest.ExitCode.TESTS_FAILED
        elif not session.testscollected:
            status = pytest.ExitCode.NO_TESTS_COLLECTED
        else:
            status = pytest.ExitCode.OK
        distributions = self.config.pluginmanager.list_plugin_distinfo()
        return RunSummary(
            id=self.run_id,
            arguments=self._arguments(),
            exit_status=int(status),
            workers=len(self._workers),
            target=self.plan.settings.target,
            look=self.look,
            inventory_complete=self.merger.inventories > 0,
            ordinary_tests=self.merger.ordinary_tests(),
            # A distribution that is being replaced while the tests run has neither name nor version.
            plugins={item.project_name or "unknown": item.version or "unknown" for _, item in distributions},
            provenance=provenance(
                self.config,
                [gate.location for gate in self.merger.gates],
                out=self.plan.settings.out,
            ),
            targets=self.plan.settings.targets or None,
        )

    def _write_log(self, runs: Sequence[GateRun]) -> None:
        for run in runs:
            self._open_log().add(self.merger.gate_of(run), run, self.merger.environments)

    def _open_log(self) -> RunLog:
        if self._log is None:
            self._log = RunLog(self.plan.settings.at(self.plan.settings.out) / EVIDENCE, self._log_head())
            self._take_own_inventory()
            if self.merger.inventories:
                self._log.add_inventory(self.merger.inventory())
                self._inventory_logged = True
        return self._log

    def _log_head(self) -> LogHead:
        settings = self.plan.settings
        return LogHead(
            run_id=self.run_id,
            started_at=self.started_at,
            producer=PRODUCER,
            model_name=self.plan.model_name,
            model_version=settings.model.version,
            subjects=(self.plan.subject,),
            policy_digest=policy_digest(self.plan.policy),
            configuration_digest=settings.configuration_digest,
            shard=settings.shard,
            target=settings.target,
            revision=revision_of(self.config.rootpath),
            look=self.look,
            arguments=self._arguments(),
        )

    def _arguments(self) -> tuple[str, ...]:
        return tuple(clean(str(argument)) for argument in self.config.invocation_params.args)

    def _seal_log(self, summary: RunSummary) -> Path:
        log = self._open_log()
        if not self._inventory_logged:
            log.add_inventory(self.merger.inventory())
        log.seal(summary, self.plan.signers)
        return log.path


def _why(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, pytest.Session.Failed)):
        # pytest and xdist stop a session by kinds of KeyboardInterrupt that say why.
        return str(error) or "it was interrupted from the keyboard"
    if isinstance(error, pytest.exit.Exception):
        return f"pytest.exit: {error.msg}"
    return f"{type(error).__name__}: {error}"
