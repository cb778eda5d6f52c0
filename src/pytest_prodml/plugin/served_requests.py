"""The checks of what a served model says: to bad requests, while it ends, and about its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.quantities import seconds
from pytest_prodml.plugin.served_base import ServedBound
from pytest_prodml.records import Evidence, JsonValue

if TYPE_CHECKING:
    from pytest_prodml.checks.pipeline.serving.ending import Ending
    from pytest_prodml.checks.pipeline.serving.versions import Switch

_TIMEOUT_SECONDS = 10.0
_BEFORE_SECONDS = 2.0
_LOOK_SECONDS = 0.01


class ServedRequests(ServedBound):
    """What `ml_pipeline` says of the answers of a served model."""

    def rejects_bad_input(
        self,
        *,
        accepts: Sequence[str] = (),
        oversized_bytes: int | None = None,
        timeout: float | str = 10.0,
        server: object = None,
        data: object = None,
    ) -> Evidence:
        """Show that requests which make no sense get 4xx, and harm nothing; see the check of that name.

        A good request is broken in one place at a time: bodies that are no JSON, each member missing, null
        or of another type, numbers that are none, a body that is far too large, another path or method. After
        each of them the good request has to be answered as before.

        Parameters
        ----------
        accepts : sequence of str
            Names of requests that the service may answer, as the record of a first run names them: an
            optional member, a null that means "missing". They are told in the record.
        oversized_bytes : int, optional
            The size of the largest body; default 32 MiB.
        timeout : float or str
            A request without an answer after so long is unanswered.
        server, data
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.serving.asking import ask
        from pytest_prodml.adapters.serving.hostile import OVERSIZED_BYTES, hostile_requests
        from pytest_prodml.checks.pipeline.serving.requests import Refusal, rejects_bad_input

        size = OVERSIZED_BYTES if oversized_bytes is None else oversized_bytes
        wait = seconds(timeout)

        def check() -> Evidence:
            with self._asked(server, data) as asked:
                endpoint, good, is_right = asked.endpoint, asked.requests[0], asked.is_right
                running = endpoint.server

                def is_well() -> bool:
                    said = ask(running.host, running.port, good, seconds=wait)
                    return said.status == 200 and is_right is not None and is_right(0, said.body) is None

                if not is_well():
                    raise InputError(
                        "the good request is not answered as the model does: nothing can be said of bad ones",
                        where=self._session.gate_id,
                        hint="run ml_pipeline.sustains or ml_pipeline.parity first: they show the difference",
                    )
                refusals = []
                for bad in hostile_requests(
                    endpoint.served.protocol.path,
                    endpoint.body(asked.batches[0]),
                    endpoint.host,
                    oversized_bytes=size,
                ):
                    said = ask(running.host, running.port, bad.data, seconds=wait, is_cut=bad.is_cut)
                    status = said.status
                    if bad.is_cut and status is None and running.is_alive():
                        # The rest never came: to close without a word is an answer to that.
                        status = 400
                    refusals.append(
                        Refusal(name=bad.name, status=status, body=said.body, is_well_after=is_well())
                    )
                died = None if running.is_alive() else "the server has ended"
                return rejects_bad_input(refusals, accepts=accepts, died=died, **self._session.tail)

        return self._settle_served(check)

    def drains_on_sigterm(
        self,
        within: float | str = 10.0,
        *,
        rate: float,
        trials: int = 3,
        unread: float | str = "5 ms",
        server: object = None,
        data: object = None,
    ) -> Evidence:
        """Show that the server, asked to end under load, answers what it has accepted; see the check.

        Parameters
        ----------
        within : float or str
            How long ending may take.
        rate : float
            Requests a second. High enough that some are in flight at any moment: else nothing is shown.
        trials : int
            How often; each with a server of its own.
        unread : float or str
            A request written so shortly before the signal may never have been read; see the check.
        server, data
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline.serving.ending import drains_on_sigterm

        limit, shortly = seconds(within), seconds(unread)
        return self._settle_served(
            lambda: drains_on_sigterm(
                limit,
                [self._ended(server, data, rate, limit, number) for number in range(trials)],
                unread_seconds=shortly,
                **self._session.tail,
            ),
            is_compared=False,
        )

    def _ended(self, server: object, data: object, rate: float, limit: float, number: int) -> Ending:
        from pytest_prodml.adapters.serving.load import Phase
        from pytest_prodml.checks.pipeline.serving.ending import Ending

        asked_at: list[float] = []
        with self._asked(server, data, compares=False) as asked:
            running = asked.endpoint.server

            def terminate(started: float) -> None:
                time.sleep(max(started + _BEFORE_SECONDS - time.monotonic(), 0.0))
                asked_at.append(running.terminate() - started)

            answers = asked.run(
                [Phase(rate=rate, seconds=_BEFORE_SECONDS + 0.5)],
                timeout=limit + 1.0,
                seed=self._session.seed + number,
                during=terminate,
            )
            end = running.wait(max(answers.started + asked_at[0] + limit - time.monotonic(), 0.0))
            return Ending(
                answers=answers,
                asked=asked_at[0],
                ended=None if end is None else end[1] - answers.started,
                status=None if end is None else end[0],
            )

    def lineage(
        self,
        expected: Mapping[str, str] | None = None,
        *,
        requests: int = 200,
        rate: float = 100.0,
        server: object = None,
        data: object = None,
    ) -> Evidence:
        """Show that each answer says which model, code and data made it, and says it right.

        Where an answer says it is configured: ``trace = {model = "x-model-digest"}`` under
        [tool.prodml.server].

        Parameters
        ----------
        expected : mapping, optional
            What is right for ``model``, ``code`` and ``data``. Default of ``model`` is the digest of the
            model under test (``sha256:`` and 64 digits), of ``code`` the revision of the project. What
            answers say of `data` has to be given.
        requests : int
            How many answers are looked at.
        rate : float
            Requests a second.
        server, data
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.serving.load import Phase
        from pytest_prodml.checks.pipeline.serving.judged import told_of
        from pytest_prodml.checks.pipeline.serving.versions import traceable

        served = self._served(server)
        if not served.trace:
            raise InputError(
                "nothing says where an answer tells what made it",
                where=self._session.gate_id,
                hint='set trace = {model = "x-model-digest"} under [tool.prodml.server]',
            )
        wanted = {**self._expected(served.trace), **(expected or {})}
        unknown = [name for name in served.trace if name not in wanted]
        if unknown:
            raise InputError(
                f"nothing says what is right for {unknown[0]!r}",
                where=self._session.gate_id,
                hint=f'ml_pipeline.lineage({{"{unknown[0]}": "..."}})',
            )

        def check() -> Evidence:
            with self._asked(served, data) as asked:
                answers = asked.run(
                    [Phase(rate=rate, seconds=requests / rate)],
                    timeout=_TIMEOUT_SECONDS,
                    seed=self._session.seed,
                )
                details: dict[str, JsonValue] = {**told_of(answers), "headers": dict(served.trace)}
                told = asked.endpoint.traced(answers)
                return traceable(
                    told,
                    {name: wanted[name] for name in served.trace},
                    details=details,
                    **self._session.tail,
                )

        return self._settle_served(check)

    def _expected(self, trace: Mapping[str, str]) -> dict[str, str]:
        """Return what is right, as far as this run knows it."""
        from pytest_prodml.plugin.provenance import revision_of

        found = {}
        subject = self._certified().subject
        if "model" in trace and subject is not None:
            found["model"] = f"sha256:{subject.digest['sha256']}"
        if "code" in trace and (revision := revision_of(self._context.settings.root)) is not None:
            found["code"] = revision
        return found

    def updates_within(
        self,
        limit: float | str,
        publish: Callable[[], object],
        *,
        after: str,
        before: str | None = None,
        rate: float = 50.0,
        failures_at_most: float = 0,
        server: object = None,
        data: object = None,
    ) -> Evidence:
        """Show that a version that is published is soon the only one that answers; see the check.

        Parameters
        ----------
        limit : float or str
            From the publication on.
        publish : callable
            Publishes the other version, as a release does. Called once, under load.
        after, before : str
            What answers say of the two (`trace`, ``model``); default of `before` is the model under test.
        rate : float
            Requests a second.
        failures_at_most : float
            Requests that may fail meanwhile.
        server, data
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline.serving.versions import updates_within

        longest = seconds(limit)
        first = self._version(before)

        def check() -> Evidence:
            switch, _ = self._switched(server, data, rate, longest, publish, None, first)
            return updates_within(
                longest, switch, first, after, failures_at_most=failures_at_most, **self._session.tail
            )

        return self._settle_served(check, is_compared=False)

    def rolls_back_within(
        self,
        limit: float | str,
        publish: Callable[[], object],
        current: Callable[[], str],
        *,
        good: str | None = None,
        rate: float = 50.0,
        failures_at_most: float = 0,
        server: object = None,
        data: object = None,
    ) -> Evidence:
        """Show that a version which is not healthy never answers, and that the one before soon stands again.

        Parameters
        ----------
        limit : float or str
            From the publication until the pointer names the good version again.
        publish : callable
            Publishes a version that is not healthy, as a release does. Called once, under load.
        current : callable
            Returns which version the pointer names, as `good` is written.
        good : str, optional
            The version that serves before; default the model under test.
        rate : float
            Requests a second.
        failures_at_most : float
            Requests that may fail meanwhile.
        server, data
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline.serving.versions import rolls_back_within

        longest = seconds(limit)
        first = self._version(good)

        def check() -> Evidence:
            switch, back = self._switched(server, data, rate, longest, publish, current, first)
            return rolls_back_within(
                longest,
                switch,
                first,
                pointer_back=back,
                failures_at_most=failures_at_most,
                **self._session.tail,
            )

        return self._settle_served(check, is_compared=False)

    def _version(self, given: str | None) -> str:
        __tracebackhide__ = True
        if given is not None:
            return given
        subject = self._certified().subject
        if subject is None:
            raise InputError(
                "the model under test is no file, so nothing names its version", where=self._session.gate_id
            )
        return f"sha256:{subject.digest['sha256']}"

    def _switched(
        self,
        server: object,
        data: object,
        rate: float,
        limit: float,
        publish: Callable[[], object],
        current: Callable[[], str] | None,
        good: str,
    ) -> tuple[Switch, float | None]:
        """Publish under load; return the run, and since when the pointer names the good version again."""
        from pytest_prodml.adapters.serving.load import Phase
        from pytest_prodml.checks.pipeline.serving.versions import Switch

        length = _BEFORE_SECONDS + limit + 1.0
        published: list[float] = []
        seen: list[tuple[float, str]] = []

        def change(started: float) -> None:
            time.sleep(max(started + _BEFORE_SECONDS - time.monotonic(), 0.0))
            # From before it: a slow publication takes from the time that it has.
            published.append(time.monotonic() - started)
            publish()
            while current is not None and (now := time.monotonic() - started) < length:
                seen.append((now, current()))
                time.sleep(_LOOK_SECONDS)

        with self._asked(server, data, compares=False) as asked:
            answers = asked.run(
                [Phase(rate=rate, seconds=length)],
                timeout=_TIMEOUT_SECONDS,
                seed=self._session.seed,
                during=change,
            )
            versions = asked.endpoint.versions(answers)
        back = None
        for moment, version in reversed(seen):
            if version != good:
                break
            back = moment
        return Switch(answers=answers, versions=versions, published=published[0]), back
