"""The error tree: every error says what was wrong, where, what was found, and what to do.

Nothing flows in; every other module raises from here. The command line maps the classes to exit codes,
the plugin to usage errors and gate states, so a raw traceback never stands for a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable


class ProdmlError(Exception):
    """Base of all errors that this package raises on purpose.

    Parameters
    ----------
    what : str
        What is wrong, in one sentence.
    where : str, optional
        File, key path, column or gate id.
    hint : str, optional
        What the reader can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text


class ConfigurationError(ProdmlError):
    """The project's configuration, a policy or an option is wrong (a usage error)."""


class MissingDependencyError(ProdmlError):
    """A package that an extra brings is not installed."""


class InputError(ProdmlError):
    """Data or a model given to a check can not be used: the gate has no verdict, never a pass."""


class MalformedError(ProdmlError):
    """Bytes that should be one of our documents are not; carries every problem found."""

    def __init__(self, what: str, problems: Iterable[str] = (), *, where: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__(what, where=where)

    def __str__(self) -> str:
        return "\n  ".join([super().__str__(), *self.problems])


class SigningKeyError(ProdmlError):
    """A signing or verification key can not be used. Never carries key material."""


class CertificateError(ProdmlError):
    """A certificate was refused by :func:`pytest_prodml.guard.load`."""


class UntrustedError(ProdmlError):
    """No key that is trusted for this kind of document signed it."""
