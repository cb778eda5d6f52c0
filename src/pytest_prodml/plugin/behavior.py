"""What the `ml_behavior` fixture returns."""

from __future__ import annotations

from pytest_prodml.plugin.behavior_relations import RelationChecks
from pytest_prodml.plugin.behavior_robustness import RobustnessChecks
from pytest_prodml.records import Evidence


class BehaviorGate(RelationChecks, RobustnessChecks):
    """Rules about related inputs, hostile inputs, noise, attacks, privacy, and the model file itself."""

    def finite_on_generated(
        self,
        *,
        schema: object = None,
        max_examples: int = 1000,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        at_most: float = 0.0,
    ) -> Evidence:
        """Show that every valid row gets a finite score; see `checks.behavior.finite_on_generated`.

        Rows are made from those of `prodml_test` and, if given, a pandera schema.
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
                **self._session.tail,
            )
        )
