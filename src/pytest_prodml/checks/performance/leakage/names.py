"""Column names and the target's name -> the columns that seem to be made of the target."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

#: What follows the target's name where a column is another form of it.
_FORMS = frozenset(
    {
        "",
        "s",
        "d",
        "ed",
        "id",
        "code",
        "flag",
        "label",
        "class",
        "date",
        "at",
        "time",
        "ind",
        "num",
        "bin",
        "enc",
    }
    | {"encoded", "binary", "value", "status", "reason", "type", "score", "pred", "prediction", "probability"}
)
#: Names that speak of a target whatever it is called.
_TELLING = frozenset(
    {
        "target",
        "y_true",
        "true_y",
        "y_pred",
        "y_score",
        "y_hat",
        "y_test",
        "y_train",
        "ground_truth",
        "true_label",
    }
    | {"label", "labels", "target_encoded", "encoded_target", "label_encoded", "predicted", "prediction"}
    | {"is_target", "target_flag", "class_label", "true_class", "predicted_class", "predicted_label"}
)
#: Words of an earlier value of the target, which is known when the model is asked.
_EARLIER = frozenset(
    {
        "lag",
        "lagged",
        "prev",
        "previous",
        "prior",
        "past",
        "last",
        "before",
        "history",
        "historical",
        "earlier",
    }
)
_LEAST_LETTERS = 3


def tokens(name: object) -> list[str]:
    """Split a column's name into lower-case words: at anything but letters and digits, and at capitals."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(name))
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def named_after_target(
    columns: Iterable[object], target: str | None, *, allowed: Collection[str] = ()
) -> dict[str, str]:
    """Return the columns whose names come from the target, with the reason.

    A name is suspicious if it is one that always speaks of a target (``y_true``, ``label``, ``prediction``),
    or holds all words of the target's name in order, the last of them alone or with one of the usual endings
    (``churned``, ``churn_date``, ``is_churn``). Names with a word for an earlier time (``previous_churn``,
    ``price_lag_7``) are those of honest features. A target of fewer than three letters is looked for only as
    the beginning or the end of the name.
    """
    wanted = tokens(target) if target is not None else []
    found: dict[str, str] = {}
    for column in columns:
        words = tokens(column)
        if str(column) in allowed or _EARLIER & set(words):
            continue
        if "_".join(words) in _TELLING and words != wanted:
            found[str(column)] = "is a usual name of a target or a prediction"
        elif wanted and _holds(words, wanted):
            found[str(column)] = f"holds the target's name {target!r}"
    return found


def _holds(words: list[str], wanted: list[str]) -> bool:
    short = sum(map(len, wanted)) < _LEAST_LETTERS
    for start in range(len(words) - len(wanted) + 1):
        end = start + len(wanted)
        if words[start : end - 1] != wanted[:-1]:
            continue
        last = words[end - 1]
        if last == wanted[-1] and (not short or start == 0 or end == len(words)):
            return True
        if not short and last.startswith(wanted[-1]) and last[len(wanted[-1]) :] in _FORMS:
            return True
    return False
