"""The model file itself: the part of what `ml_behavior` offers about what loading a model would do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.behavior_base import BehaviorBound
from pytest_prodml.records import Evidence


class ArtifactChecks(BehaviorBound):
    """The check of the file from which the model is loaded."""

    def safe_artifact(self, *, path: Path | str | None = None, allow: Iterable[str] = ()) -> Evidence:
        """Show that loading the model file makes data and runs nothing; see `checks.behavior`.

        The file is read and never loaded. A part that can not be read makes the gate inconclusive.

        Parameters
        ----------
        path : Path or str, optional
            The model file, or a directory with all that belongs to the model; default ``path`` of
            ``[tool.prodml.model]``. Relative to the project's root.
        allow : iterable of str
            What you answer for, written into the evidence: ``"package.module.Class"`` for names in pickles,
            ``"domain:NAME"`` for operators of ONNX, ``"format:NAME"`` for formats that are not read.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.artifact import safe_artifact

        given = self._settings.path if path is None else path
        if given is None:
            raise InputError(
                "no model file is configured",
                where="[tool.prodml.model] path",
                hint="set it, or say safe_artifact(path=...)",
            )
        file = self._context.settings.at(str(given))
        return self._settle(
            lambda: safe_artifact(
                self._predictor,
                file,
                allow=allow,
                gate_id=self._session.gate_id,
                confidence_level=self._session.confidence_level,
                seed=self._session.seed,
            )
        )
