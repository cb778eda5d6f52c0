"""The table in README.md: what each release gives on the test split, and what it costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import brier_score_loss, roc_auc_score

import credit
import train


def report() -> str:
    """Return a Markdown table with one column a release. Point estimates; the gates add the bounds."""
    columns = {name: measure(release) for name, release in credit.RELEASES.items()}
    names = list(columns)
    lines = [f"| test split | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [f"| {row} | {' | '.join(columns[name][row] for name in names)} |" for row in columns[names[0]]]
    return "\n".join(lines)


def measure(release: credit.Release) -> dict[str, str]:
    """Return the numbers of one release, formatted."""
    splits = train.load(release)
    model = train.fit(release, splits)
    rows = splits.test
    defaults = rows[credit.TARGET].to_numpy()

    def risk(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        return model.predict_proba(frame)[:, 1]

    score = risk(rows)
    approved = score < credit.THRESHOLD
    by_age = _rates(approved, credit.age_band(rows["age"]))
    bad_by_age = _rates(defaults[approved] == 1, credit.age_band(rows["age"])[approved])
    by_sex = _rates(approved, rows["sex"])
    good = defaults == 0
    good_by_age = _rates(approved[good], credit.age_band(rows["age"])[good])
    later = rows.assign(pay_status_sep=np.minimum(rows["pay_status_sep"] + 1, credit.PAY_STATUS_RANGE[1]))
    other_sex = rows.assign(sex=rows["sex"].map({"male": "female", "female": "male"}))
    flips = np.mean((risk(other_sex) < credit.THRESHOLD) != approved)
    everybody = pd.concat([splits.train, splits.validation, splits.test])
    undocumented = sum(int((~everybody[name].isin(codes)).sum()) for name, codes in credit.CODES.items())
    return {
        "AUC": f"{roc_auc_score(defaults, score):.3f}",
        "Brier score": f"{brier_score_loss(defaults, score):.4f}",
        "calibration error (10 bins)": f"{_calibration_error(score, defaults):.3f}",
        "approved": f"{approved.mean():.1%}",
        "bad rate among the approved": f"{defaults[approved].mean():.1%}",
        **{f"approved, {band}": f"{by_age[band]:.1%}" for band in credit.AGE_BANDS},
        **{f"bad rate, {band}": f"{bad_by_age[band]:.1%}" for band in credit.AGE_BANDS},
        "approval gap by age band": f"{_gap(by_age):.3f}",
        "the same, good payers only": f"{_gap(good_by_age):.3f}",
        "approval gap by sex": f"{_gap(by_sex):.3f}",
        "decisions that change with the sex": f"{flips:.2%}",
        "risk falls when a payment is later": f"{np.mean(risk(later) < score - 1e-9):.1%}",
        "undocumented codes (all 30,000 rows)": f"{undocumented}",
    }


def _rates(approved: npt.NDArray[np.bool_], groups: npt.ArrayLike) -> dict[str, float]:
    return {
        str(group): float(rate)
        for group, rate in pd.Series(approved).groupby(np.asarray(groups)).mean().items()
    }


def _gap(rates: dict[str, float]) -> float:
    return max(rates.values()) - min(rates.values())


def _calibration_error(score: npt.NDArray[np.float64], defaults: npt.NDArray[np.int64]) -> float:
    """Return the mean distance between risk and default rate over ten bins of equal size."""
    bins = np.argsort(np.argsort(score, kind="stable")) * 10 // len(score)
    return sum(
        float(np.mean(bins == k)) * abs(float(np.mean(score[bins == k]) - np.mean(defaults[bins == k])))
        for k in range(10)
    )
