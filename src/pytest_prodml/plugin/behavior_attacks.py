"""Attacks on decisions, and radii within which none can succeed: a part of what `ml_behavior` offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_prodml.plugin.behavior_base import BehaviorBound
from pytest_prodml.records import Evidence


class AttackChecks(BehaviorBound):
    """The checks that look for the nearest inputs that are decided otherwise."""

    def adversarial(
        self,
        *,
        budget: float,
        at_most: float,
        norm: str = "l2",
        features: Sequence[str] | None = None,
        immutable: Iterable[str] = (),
        increase_only: Iterable[str] = (),
        decrease_only: Iterable[str] = (),
        cost: Mapping[str, float] | None = None,
        schema: Any = None,  # noqa: ANN401 - pandera has no types for us
        bounds: tuple[float, float] | None = None,
        threshold: float | None = None,
        max_queries: int = 1_000,
        rows: int = 200,
        engine: str = "prodml",
        white_box: object = None,
        data: object = None,
        redact: bool = False,
        level: float | None = None,
    ) -> Evidence:
        """Show that few decisions can be turned by small changes; see `checks.behavior.adversarial`.

        Parameters
        ----------
        budget : float
            How far an input may be changed, in units of the spread of each column.
        at_most : float
            The share of inputs that may be turned.
        norm : str
            "l2", "linf", "l1" or "l0".
        features, immutable : sequence of str
            The columns that an attacker can change; that nobody can. The configured entity, weight, query and
            timestamp stay, unless they are named as features.
        increase_only, decrease_only : sequence of str
            Columns that go one way.
        cost : mapping, optional
            Column -> how much of its own unit counts as 1.
        schema : pandera schema, optional
            Limits of columns.
        bounds : (float, float), optional
            Of the elements of an array.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        max_queries : int
            How many inputs the model may be asked about for each attacked one.
        rows : int
            How many inputs are attacked.
        engine : str
            "prodml" or "art".
        white_box : torch.nn.Module, optional
            The module behind the model, whose gradients ART follows.
        data : frame, array, or path, optional
            Other inputs than `prodml_test`.
        redact : bool
            Leave inputs out of the evidence.
        level : float, optional
            Of the one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import adversarial

        inputs, tail = self._inputs(data), self._tail(level)
        known = self._context.settings.data
        own = data is None and inputs.is_frame
        roles = (known.entity, known.sample_weight, known.query, known.timestamp)
        fixed = [name for name in roles if name is not None and inputs.is_frame and name in inputs.frame]
        kept = [*immutable, *(name for name in fixed if name not in (features or ()))]
        return self._settle(
            lambda: adversarial(
                self._predictor,
                inputs,
                budget=budget,
                at_most=at_most,
                norm=norm,
                features=features,
                immutable=kept,
                increase_only=increase_only,
                decrease_only=decrease_only,
                cost=cost,
                schema=schema,
                bounds=bounds,
                threshold=self._settings.threshold if threshold is None else threshold,
                max_queries=max_queries,
                rows=rows,
                engine=engine,
                white_box=white_box,
                redact=redact,
                sample_weight=self._column(inputs, "sample_weight") if own else None,
                clusters=self._column(inputs, "entity") if own else None,
                gate_id=tail["gate_id"],
                confidence_level=tail["confidence_level"],
                seed=self._seed(),
            )
        )

    def certified_radius(
        self,
        *,
        sigma: float,
        radius: float,
        at_least: float,
        deployed_is_smoothed: bool = False,
        features: Sequence[str] | None = None,
        threshold: float | None = None,
        n_draws: int = 1_000,
        alpha: float = 0.001,
        rows: int = 200,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that a vote over noisy copies holds nearby; see `checks.behavior.certified_radius`.

        Parameters
        ----------
        sigma : float
            Standard deviation of the noise, in units of the spread of each column.
        radius : float
            The distance within which no change may turn the vote.
        at_least : float
            The share of inputs that must be decided rightly and certified for it.
        deployed_is_smoothed : bool
            Say that the service decides by this vote; else the claim is about a smoothed twin.
        features : sequence of str, optional
            Columns that get noise; default all with fractions.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        n_draws : int
            Noisy copies of each input.
        alpha : float
            The chance that the radius of one input is overstated.
        rows : int
            How many inputs are certified.
        data : frame, array, path, or (X, y), optional
            Other inputs than `prodml_test`.
        level : float, optional
            Of the one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import certified_radius

        inputs, tail = self._inputs(data), self._tail(level)
        own = data is None and inputs.is_frame
        return self._settle(
            lambda: certified_radius(
                self._predictor,
                inputs,
                sigma=sigma,
                radius=radius,
                at_least=at_least,
                deployed_is_smoothed=deployed_is_smoothed,
                features=features,
                threshold=self._settings.threshold if threshold is None else threshold,
                positive_label=self._settings.positive,
                n_draws=n_draws,
                alpha=alpha,
                rows=rows,
                sample_weight=self._column(inputs, "sample_weight") if own else None,
                clusters=self._column(inputs, "entity") if own else None,
                gate_id=tail["gate_id"],
                confidence_level=tail["confidence_level"],
                seed=self._seed(),
            )
        )

    def robust_trees(
        self,
        model: object,
        *,
        budget: float,
        at_least: float,
        features: Sequence[str] | None = None,
        threshold: float | None = None,
        seconds: float = 2.0,
        rows: int = 200,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that no change nearby turns decisions of trees; see `checks.behavior.robust_trees`.

        Parameters
        ----------
        model : estimator
            The trees that are deployed as `prodml_model`.
        budget : float
            Largest change of each feature, in units of its spread.
        at_least : float
            The share of rows that must be proven.
        features : sequence of str, optional
            Which features change; default all.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        seconds : float
            For the search of one row.
        rows : int
            How many rows are searched.
        data : frame or path, optional
            Other rows than `prodml_test`.
        level : float, optional
            Of the one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import robust_trees

        inputs, tail = self._inputs(data), self._tail(level)
        configured = self._settings.threshold
        at = threshold if threshold is not None else configured if configured is not None else 0.5
        return self._settle(
            lambda: robust_trees(
                model,
                self._predictor,
                inputs,
                budget=budget,
                at_least=at_least,
                features=features,
                threshold=at,
                seconds=seconds,
                rows=rows,
                gate_id=tail["gate_id"],
                confidence_level=tail["confidence_level"],
                seed=self._seed(),
            )
        )
