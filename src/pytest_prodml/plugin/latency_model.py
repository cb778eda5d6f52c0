"""A model in one setting (batch size, threads, provider): its calls, and the proof of what runs it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement

if TYPE_CHECKING:
    from pytest_prodml.adapters.onnx_execution import Execution
    from pytest_prodml.adapters.predictor import Predictor
    from pytest_prodml.plugin.subjects import ModelOnData


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One cell of the matrix; None is the model's own setting."""

    batch_size: int = 1
    threads: int | None = None
    provider: str | None = None
    on_device: bool = False

    @property
    def group(self) -> str:
        """The name that measurements of this setting carry."""
        told = [f"batch_size={self.batch_size}"]
        if self.threads is not None:
            told.append(f"threads={self.threads}")
        if self.provider is not None:
            told.append(f"provider={self.provider}")
        if self.on_device:
            told.append("on the device")
        return ", ".join(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedModel:
    """The calls of a model in a setting.

    `provider` is the execution provider that was asked for, by the setting or the hardware target; None where
    nobody asked. `execution` is what ran; None for a model that is no ONNX file.
    """

    setting: Setting
    calls: Sequence[Callable[[], object]]
    runtime: Mapping[str, JsonValue]
    provider: str | None
    execution: Execution | None
    is_bound_to_one_thread: bool

    @property
    def group(self) -> str:
        """The name that measurements of this setting carry."""
        return self.setting.group

    @property
    def fell_back(self) -> bool:
        """Whether a provider was asked for and executed nothing: nothing can be said about it then."""
        return (
            self.provider is not None
            and self.execution is not None
            and not self.execution.nodes.get(self.provider)
        )

    def proven(self, evidence: Evidence) -> Evidence:
        """Add to evidence that the provider which was asked for executed the graph."""
        from pytest_prodml.checks.latency.provider import execution_details, node_criterion, node_share

        if self.provider is None or self.execution is None:
            return evidence
        kept = self.execution.without(SHAPE_OPERATORS)
        nodes = kept.nodes or self.execution.nodes
        return replace(
            evidence,
            measurements=(
                *evidence.measurements,
                *node_share(self.provider, nodes, self.execution.seconds, group=self.group),
            ),
            criteria=(*evidence.criteria, node_criterion(group=self.group)),
            details={
                **evidence.details,
                "execution": execution_details(self.provider, nodes, self.execution.seconds),
            },
        )

    @staticmethod
    def of(
        model: ModelOnData,
        setting: Setting,
        *,
        seed: int,
        predictor: Predictor | None = None,
        default: str | None = None,
    ) -> TimedModel:
        """Prepare a model in a setting.

        Parameters
        ----------
        model : ModelOnData
            The model under test and its rows.
        setting : Setting
            Batch size, threads, provider.
        seed : int
            Of the rows that are called.
        predictor : Predictor, optional
            Another model, on the same rows.
        default : str, optional
            The provider that the hardware target serves with.

        Raises
        ------
        InputError
            If threads, a provider or the device are asked of a model that is no ONNX file.
        """
        from pytest_prodml.adapters.onnx import CPU, OnnxPredictor

        chosen = model.predictor if predictor is None else predictor
        provider = setting.provider or default
        if not isinstance(chosen, OnnxPredictor):
            return _of_another(model, setting, chosen, seed)
        from pytest_prodml.adapters.onnx_execution import executed, in_session, prepare_on_device

        if setting.threads is not None or provider is not None:
            chosen = in_session(chosen, threads=setting.threads, provider=provider)
        [rows, *_] = batches = model.batches(setting.batch_size, seed=seed)
        prepare = functools.partial(prepare_on_device, chosen) if setting.on_device else chosen.prepare
        # First, as it tells in words what the graph does not take.
        calls = [prepare(frame) for frame in batches]
        execution = None
        if chosen.path is not None:
            execution = executed(chosen, rows, provider=provider, threads=setting.threads)
        elif provider is not None:
            raise InputError("was made from a session, which does not tell what runs it", where=chosen.name)
        options = chosen.session.get_session_options()
        return TimedModel(
            setting=setting,
            calls=calls,
            runtime={**chosen.runtime(), "timed": "on the device" if setting.on_device else "host to host"},
            provider=provider,
            execution=execution,
            is_bound_to_one_thread=(
                options.intra_op_num_threads == 1
                and options.inter_op_num_threads <= 1
                and chosen.session.get_providers() == [CPU]
            ),
        )


#: Arithmetic on shapes, which every provider leaves to the processor.
SHAPE_OPERATORS = ("Shape", "Size", "ConstantOfShape")


def void_evidence(
    metric: str, limit: float, model: TimedModel, gate_id: str, *, at_least: bool = False
) -> Evidence:
    """Return that nothing was timed, because the provider that was asked for does not run the model."""
    found = ", ".join(sorted(model.execution.nodes)) if model.execution is not None else "nothing"
    evidence = Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=None,
                lower=None,
                upper=None,
                confidence_level=0.95,
                method="not measured",
                n_samples=0,
                unit="s",
                group=model.group,
                note=f"{model.provider} was asked for, and the graph runs on {found}: nothing was timed",
            ),
        ),
        criteria=(
            Criterion(
                metric=metric,
                comparison=Comparison.AT_LEAST if at_least else Comparison.AT_MOST,
                limit=limit,
                group=model.group,
            ),
        ),
        details={"runtime": dict(model.runtime)},
    )
    return model.proven(evidence)


def _of_another(model: ModelOnData, setting: Setting, chosen: Predictor, seed: int) -> TimedModel:
    from pytest_prodml.adapters.device import synchronised

    if setting.threads is not None or setting.provider is not None or setting.on_device:
        raise InputError(
            "threads, provider and on_device are settings of an ONNX session",
            where=chosen.description,
            hint="set them where the fixture prodml_model makes the model",
        )
    prepared = [chosen.prepare(frame) for frame in model.batches(setting.batch_size, seed=seed)]
    calls, device = synchronised(prepared)
    runtime = dict(chosen.runtime())
    if device is not None:
        runtime["synchronised"] = device
    return TimedModel(
        setting=setting,
        calls=calls,
        runtime=runtime,
        provider=None,
        execution=None,
        # It may have threads of its own, and nothing tells.
        is_bound_to_one_thread=False,
    )
