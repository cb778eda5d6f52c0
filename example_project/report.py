"""The tables in README.md: what each release gives on the test split, and what the mitigation costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import brier_score_loss, roc_auc_score

import credit
import train

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A release with its scores of the test split."""

    model: train.Model
    splits: train.Splits
    risk: train.Scores

    @property
    def approved(self) -> Mask:
        """Whom the release approves."""
        return self.risk < credit.THRESHOLD


def report() -> str:
    """Return two Markdown tables. Point estimates; the gates add the bounds."""
    releases = {name: _score(release) for name, release in credit.RELEASES.items()}
    columns = [_measure(scored) for scored in releases.values()]
    lines = [f"| test split | {' | '.join(releases)} |", "|---|" + "---|" * len(releases)]
    lines += [f"| {row} | {' | '.join(column[row] for column in columns)} |" for row in columns[0]]
    return "\n".join([*lines, "", *_price(releases["2"], releases["mitigated"])])


def _score(release: credit.Release) -> Scored:
    splits = train.load(release)
    model = train.fit(release, splits)
    return Scored(model=model, splits=splits, risk=model.predict_proba(splits.test)[:, 1])


def _measure(scored: Scored) -> dict[str, str]:
    rows, risk, approved = scored.splits.test, scored.risk, scored.approved
    defaults = rows[credit.TARGET].to_numpy()
    bands = credit.age_band(rows["age"])
    good = defaults == 0
    later = rows.assign(pay_status_sep=np.minimum(rows["pay_status_sep"] + 1, credit.PAY_STATUS_RANGE[1]))
    other_sex = rows.assign(sex=rows["sex"].map({"male": "female", "female": "male"}))
    moved = scored.model.predict_proba(later)[:, 1] - risk
    flips = (scored.model.predict_proba(other_sex)[:, 1] < credit.THRESHOLD) != approved
    everybody = pd.concat([scored.splits.train, scored.splits.validation, scored.splits.test])
    undocumented = sum(int((~everybody[name].isin(codes)).sum()) for name, codes in credit.CODES.items())
    return {
        "AUC": f"{roc_auc_score(defaults, risk):.3f}",
        "Brier score": f"{brier_score_loss(defaults, risk):.4f}",
        "approved": f"{approved.mean():.1%}",
        "bad rate among the approved": f"{defaults[approved].mean():.1%}",
        **{f"approved, {band}": f"{approved[bands == band].mean():.1%}" for band in credit.AGE_BANDS},
        "approval gap by age band": f"{_gap(approved, bands):.3f}",
        "the same among good payers": f"{_gap(approved[good], bands[good]):.3f}",
        "approval gap by sex": f"{_gap(approved, rows['sex'].to_numpy()):.3f}",
        "decisions that change with the sex": f"{flips.mean():.2%}",
        "risk falls when a payment is a month later": f"{np.mean(moved < 0):.1%}",
        "undocumented codes in all 30,000 rows": f"{undocumented}",
    }


def _gap(approved: Mask, groups: npt.NDArray[np.str_]) -> float:
    rates = [float(approved[groups == group].mean()) for group in np.unique(groups)]
    return max(rates) - min(rates)


def _price(before: Scored, after: Scored) -> list[str]:
    """Compare, band by band, who is treated differently and what the shifted score is worth."""
    defaults = before.splits.test[credit.TARGET].to_numpy()
    bands = credit.age_band(before.splits.test["age"])
    lines = [
        "| age band | declined from | newly approved (bad rate) | newly declined (bad rate) | score bias |",
        "|---|---|---|---|---|",
    ]
    odds = credit.THRESHOLD / (1 - credit.THRESHOLD)
    for band in credit.AGE_BANDS:
        edge = 1 / (1 + np.exp(after.model.age_offsets[band]) / odds)
        here = bands == band
        gained = here & after.approved & ~before.approved
        lost = here & before.approved & ~after.approved
        told = [
            f"{mask.sum()} ({defaults[mask].mean():.0%})" if mask.any() else "0" for mask in (gained, lost)
        ]
        bias = [float(np.mean(scored.risk[here]) - np.mean(defaults[here])) for scored in (before, after)]
        lines.append(f"| {band} | {edge:.3f} | {told[0]} | {told[1]} | {bias[0]:+.3f}, now {bias[1]:+.3f} |")
    return lines
