"""What a client is and what we decide: one file, shared by train.py, deploy.py and the tests.

No pandas in here: the service cleans and checks single requests, and a one-row frame costs a hundred times
the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

KEY = "client_id"
TARGET = "default_next_month"
MONTHS = ("sep", "aug", "jul", "jun", "may", "apr")

#: The codes of the code book. The bank's extract holds others, see `CLEANED`.
CODES: dict[str, tuple[str, ...]] = {
    "sex": ("female", "male"),
    "education": ("graduate_school", "university", "high_school", "other"),
    "marital_status": ("married", "single", "other"),
}
#: What release 2 on makes of codes that are in no code book: the bank's own word for "none of these".
CLEANED: dict[str, dict[str, str]] = {
    "education": {"undocumented_0": "other", "undocumented_5": "other", "undocumented_6": "other"},
    "marital_status": {"undocumented_0": "other"},
}
#: -2 no use, -1 paid in full, 0 revolving, 1..8 months late.
PAY_STATUS_RANGE = (-2, 8)
LARGEST_AMOUNT = 10_000_000

CATEGORICAL = tuple(CODES)
NUMERIC = (
    "credit_limit",
    "age",
    *(f"pay_status_{month}" for month in MONTHS),
    *(f"bill_{month}" for month in MONTHS),
    *(f"paid_{month}" for month in MONTHS),
)
FEATURES = (*CATEGORICAL, *NUMERIC)

#: Decline from this risk on. Finance reckons that one default costs what 3.5 good clients earn, so a client
#: pays for the risk up to 1 / (1 + 3.5) = 0.22; that is the average risk of our clients too, and approves
#: about 7 in 10. A constant, not a quantile of one split, so that releases stay comparable.
THRESHOLD = 0.22

#: The age groups that fair-lending review looks at; the last edge is open.
AGE_EDGES = (25, 40)
AGE_BANDS = ("25 or younger", "26 to 40", "41 or older")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What distinguishes one release of the model from another."""

    name: str
    #: Undocumented codes become "other", in training and in service alike.
    maps_codes: bool
    #: A worse payment status never lowers the risk, a larger payment never raises it.
    is_monotone: bool
    #: Every age band gets the approval rate of all; needs legal sign-off, see README.md.
    equalizes_age_bands: bool


RELEASES = {
    release.name: release
    for release in (
        Release(name="1", maps_codes=False, is_monotone=False, equalizes_age_bands=False),
        Release(name="2", maps_codes=True, is_monotone=True, equalizes_age_bands=False),
        Release(name="mitigated", maps_codes=True, is_monotone=True, equalizes_age_bands=True),
    )
}


def age_band(age: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Return the band of each age, one of `AGE_BANDS`."""
    return np.array(AGE_BANDS)[np.searchsorted(AGE_EDGES, np.asarray(age), side="left")]


def clean(record: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """Return the record as the model of this release knows it."""
    if not release.maps_codes:
        return dict(record)
    return {
        name: CLEANED.get(name, {}).get(value, value) if isinstance(value, str) else value
        for name, value in record.items()
    }


def problems(record: Mapping[str, Any], release: Release) -> list[str]:
    """Tell what keeps a record from being scored: the model would score it silently."""
    found = [f"{name} is missing" for name in FEATURES if record.get(name) is None]
    for name in CATEGORICAL:
        known = [*CODES[name], *(() if release.maps_codes else CLEANED.get(name, ()))]
        if record.get(name) is not None and record[name] not in known:
            found.append(f"{name} is {record[name]!r}, expected one of {', '.join(known)}")
    for name in NUMERIC:
        value = record.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # Written so that NaN does not slip through: no comparison with it is true.
        if value is not None and not (number and abs(value) <= LARGEST_AMOUNT):
            found.append(f"{name} is not a number up to {LARGEST_AMOUNT:,}")
    return found
