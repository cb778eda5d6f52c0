"""What every latency gate knows: the declared hardware, what runs beside it, what goes into the record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.bench import Timed, clock_overhead
from pytest_prodml.plugin.dimensions import ModelBound
from pytest_prodml.plugin.latency_model import Setting, TimedModel
from pytest_prodml.records import Evidence, JsonValue, Measurement

if TYPE_CHECKING:
    from pytest_prodml.adapters.predictor import Predictor
    from pytest_prodml.checks.latency.conditions import Conditions

_REFERENCE_CALLS = 200


class LatencyBound(ModelBound):
    """A latency gate with the declared hardware of its run."""

    def _noise(self) -> tuple[str, ...]:
        """Say what is known to run beside the test."""
        from pytest_prodml.checks.latency.conditions import load_told

        if hasattr(self._context.config, "workerinput"):
            return ("other work ran on this machine: the other workers of pytest-xdist",)
        return load_told()

    def _target_provider(self) -> str | None:
        target = self._context.target_definition()
        return None if target is None else target.provider

    def _price(self) -> tuple[float, str]:
        """Return what an hour of the declared target costs.

        Raises
        ------
        ConfigurationError
            If nobody has said it.
        """
        __tracebackhide__ = True
        target = self._context.target_definition()
        if target is None or target.price_per_hour is None:
            raise ConfigurationError(
                "nobody has said what an hour of this machine costs",
                where=self._session.gate_id,
                hint="declare the target (--prodml-target=NAME) and set price_per_hour and currency in "
                "[tool.prodml.targets.NAME]",
            )
        return target.price_per_hour, target.currency or "currency units"

    def _timed_model(self, setting: Setting, *, predictor: Predictor | None = None) -> TimedModel:
        __tracebackhide__ = True
        return TimedModel.of(
            self._model,
            setting,
            seed=self._session.seed,
            predictor=predictor,
            default=self._target_provider(),
        )

    def _base(self, model: TimedModel) -> Conditions:
        from pytest_prodml.checks.latency.conditions import Conditions

        return Conditions(
            overhead_seconds=clock_overhead(),
            other_work=self._noise(),
            is_bound_to_one_thread=model.is_bound_to_one_thread,
        )

    def _with(self, evidence: Evidence, model: TimedModel, timed: Timed) -> Evidence:
        """Add what is known of the run: what executed it, and how fast this machine is at the references."""
        self._tell_benchmark(evidence)
        details: dict[str, JsonValue] = {
            **evidence.details,
            "warm_up_calls": timed.warmup_calls,
            "discarded_calls": timed.discarded_calls,
            "looks_taken": timed.looks_taken,
        }
        level = evidence.measurements[0].confidence_level
        measurements = (*evidence.measurements, *self._reference_times(level))
        return model.proven(replace(evidence, details=details, measurements=measurements))

    def _reference_times(self, level: float) -> list[Measurement]:
        """Time the workloads by which the declared target knows its machines."""
        target = self._context.target_definition()
        if target is None or not target.reference:
            return []
        from pytest_prodml.checks.latency.blocks import reference_time
        from pytest_prodml.checks.latency.references import reference, time_reference
        from pytest_prodml.checks.timings import checked_samples

        return [
            reference_time(
                checked_samples(time_reference(reference(name).call, calls=_REFERENCE_CALLS)), name, level
            )
            for name in target.reference
        ]

    def _tell_benchmark(self, evidence: Evidence) -> None:
        """Leave the bounds in pytest-benchmark's own record, so that its JSON holds them."""
        told = self._request.getfixturevalue("benchmark").extra_info.setdefault("prodml", {})
        for measured in evidence.measurements:
            told[measured.metric] = {
                "value": measured.value,
                "lower": measured.lower,
                "upper": measured.upper,
                "confidence_level": measured.confidence_level,
                "unit": measured.unit,
            }
