"""What all gates of one process share: settings, policy, waivers, and each prediction made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin import options
from pytest_prodml.plugin.settings import Settings, load_settings
from pytest_prodml.records import Environment, Evidence, HardwareTarget, Look, Policy, Waiver

if TYPE_CHECKING:
    from pytest_prodml.adapters.predictor import Predictor
    from pytest_prodml.adapters.tables import Dataset
    from pytest_prodml.policy.hardware import Standing

_DEFAULT_LEVEL = 0.95

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What the deciding process tells every process that runs tests, before they start."""

    run_id: str
    policy: Policy
    waivers: tuple[Waiver, ...] = ()
    look: Look | None = None


class Context:
    """The state behind the fixtures, one a process; `brief` is None in a run without ``--prodml``."""

    def __init__(self, config: pytest.Config, settings: Settings, brief: Brief | None) -> None:
        self.config = config
        self.settings = settings
        self.brief = brief
        self.waivers: Mapping[str, Waiver] = {w.gate_id: w for w in brief.waivers} if brief else {}
        self._environment: tuple[str, Environment] | None = None
        self._computed: dict[tuple[object, ...], tuple[Any, tuple[object, ...]]] = {}

    @property
    def policy(self) -> Policy | None:
        """The policy of the run; None without ``--prodml``."""
        return self.brief.policy if self.brief else None

    @property
    def confidence_level(self) -> float:
        """The one-sided level of every bound: what this look at the test set leaves, where looks are planned.

        Else the project's own, else the policy's, else 0.95.
        """
        if self.brief is not None and self.brief.look is not None:
            return self.brief.look.confidence_level
        return planned_level(self.settings, self.policy)

    def environment(self) -> tuple[str, Environment]:
        """Return the environment of this process with its digest."""
        if self._environment is None:
            from pytest_prodml.environment import capture, environment_digest

            captured = capture()
            self._environment = environment_digest(captured), captured
        return self._environment

    def standing(self, evidence: Evidence) -> Standing | None:
        """Return for which hardware target evidence from this process can count; None: none is claimed."""
        from pytest_prodml.policy.hardware import standing_on

        return standing_on(
            self.settings.target, self.environment()[1], evidence, self.settings.targets, self.policy
        )

    def target_definition(self) -> HardwareTarget | None:
        """Return what the declared target is: as the policy says, else as the project does."""
        from pytest_prodml.policy.hardware import defined_target

        name = self.settings.target
        return None if name is None else defined_target(name, self.settings.targets, self.policy)

    def predictor(self, model: object) -> Predictor:
        """Return the `Predictor` of whatever a model fixture returned."""
        return self.once("predictor", self._adapt, model)

    def dataset(self, source: object, name: str) -> Dataset:
        """Return the `Dataset` of whatever a data fixture returned."""
        from pytest_prodml.adapters.tables import load_dataset

        def load(source: object) -> Dataset:
            return load_dataset(
                source,
                name=name,
                target=self.settings.data.target,
                base=self.settings.root,
                needs_target=name == "test",
                lazy=True,
            )

        return self.once(f"dataset {name}", load, source)

    def once(self, what: str, compute: Callable[..., _T], *arguments: object) -> _T:
        """Return ``compute(*arguments)``, computed once per session for the same objects."""
        key = (what, *map(id, arguments))
        if key not in self._computed:
            # The arguments are kept, so that their ids stay theirs.
            self._computed[key] = compute(*arguments), arguments
        value: _T = self._computed[key][0]
        return value

    def _adapt(self, model: object) -> Predictor:
        from pathlib import Path

        from pytest_prodml.adapters import as_predictor, load_model, model_options
        from pytest_prodml.adapters.entry import is_entry

        adapted: Predictor | None = self.config.hook.pytest_prodml_adapt_model(
            model=model, config=self.config
        )
        if adapted is not None:
            return adapted
        if not isinstance(model, (str, Path)):
            return as_predictor(model, positive_label=self.settings.model.positive_label)
        own = self.settings.model
        path = self.settings.at(str(model))
        if isinstance(model, str) and is_entry(model) and not path.exists():
            return load_model(model)
        options = model_options(
            path,
            adapter=own.adapter,
            positive_label=own.positive_label,
            allow_pickle=own.allow_pickle,
            allow=own.allow,
        )
        # What is said of the model under test holds for others of its kind, such as its predecessor.
        if path.suffix == Path(own.path or "").suffix:
            options |= own.options
        return load_model(path, adapter=own.adapter, **options)


CONTEXT = pytest.StashKey[Context]()


def context_of(config: pytest.Config) -> Context:
    """Return the context of this process; without ``--prodml`` it is made when a fixture first asks."""
    if CONTEXT not in config.stash:
        settings = load_settings(config.rootpath, options.given(config))
        config.stash[CONTEXT] = Context(config, settings, None)
    return config.stash[CONTEXT]


def planned_level(settings: Settings, policy: Policy | None) -> float:
    """Return the one-sided level that all looks at a test set share."""
    if settings.confidence_level is not None:
        return settings.confidence_level
    return policy.confidence_level if policy else _DEFAULT_LEVEL


def check_level(settings: Settings, policy: Policy) -> None:
    """Refuse a project whose bounds could never satisfy the policy.

    Raises
    ------
    ConfigurationError
        If the project's confidence level is below the policy's.
    """
    level = settings.confidence_level
    if level is not None and level < policy.confidence_level:
        raise ConfigurationError(
            f"confidence_level is {level}, below the policy's {policy.confidence_level}",
            where=settings.source,
            hint="leave it out to measure at the policy's level",
        )
