"""What the `ml_behavior` fixture returns."""

from __future__ import annotations

from pytest_prodml.plugin.behavior_artifact import ArtifactChecks
from pytest_prodml.plugin.behavior_attacks import AttackChecks
from pytest_prodml.plugin.behavior_execution import ExecutionChecks
from pytest_prodml.plugin.behavior_relations import RelationChecks
from pytest_prodml.plugin.behavior_robustness import RobustnessChecks
from pytest_prodml.records import Evidence


class BehaviorGate(RelationChecks, ExecutionChecks, RobustnessChecks, AttackChecks, ArtifactChecks):
    """Rules about related inputs, hostile inputs, noise, attacks, privacy, and the model file itself."""

    def finite_on_generated(
        self,
        *,
        schema: object = None,
        max_examples: int = 10_000,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        at_most: float = 0.0,
    ) -> Evidence:
        """Show that every valid row gets a finite score; see `checks.behavior.finite_on_generated`.

        Rows are made from those of `prodml_test` and, if given, a pandera schema.

        Parameters
        ----------
        schema : pandera schema, optional
            What rows may be.
        max_examples : int
            How many rows to make.
        bounds : (float, float), optional
            Where scores lie; None for scores that are no probabilities.
        at_most : float
            How many rows may fail.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import finite_on_generated

        inputs = self._inputs()
        return self._settle(
            lambda: finite_on_generated(
                self._predictor,
                inputs,
                schema=schema,
                max_examples=max_examples,
                bounds=bounds,
                at_most=at_most,
                gate_id=self._session.gate_id,
                confidence_level=self._session.confidence_level,
                seed=self._seed(),
            )
        )
