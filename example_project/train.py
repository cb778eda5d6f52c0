"""Raw table -> split -> fitted model -> model/credit.onnx, and the splits that the gates read, under build/.

python train.py --release 2      a few seconds, same bytes every time
python train.py --report         what each release gives and costs on the test split, as a table
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

import credit
from onnx_export import export

ROOT = Path(__file__).resolve().parent
RAW = ROOT / "data" / "credit_default.csv.gz"
MODEL = ROOT / "model" / "credit.onnx"
BUILD = ROOT / "build"
SEED = 7

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """60 % to fit, 20 % to choose (age offsets), 20 % that only the gates see; stratified by the label."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The fitted pipeline and, for the mitigated release, the shift of the log-odds of each age band."""

    release: credit.Release
    pipeline: Pipeline
    age_offsets: Mapping[str, float]

    def predict_proba(self, rows: pd.DataFrame) -> Scores:
        """Return (n, 2): probability of repaying and of default."""
        risk = _risk(self.pipeline, rows)
        if self.age_offsets:
            shift = pd.Series(credit.age_band(rows["age"])).map(dict(self.age_offsets)).to_numpy()
            risk = 1 / (1 + np.exp(-(_log_odds(risk) + shift)))
        return np.column_stack([1 - risk, risk])


def load(release: credit.Release) -> Splits:
    """Read the raw table, clean it as the release does and split it."""
    frame = pd.read_csv(RAW)
    if release.maps_codes:
        frame = frame.replace(credit.CLEANED)
    train, rest = train_test_split(frame, test_size=0.4, random_state=SEED, stratify=frame[credit.TARGET])
    validation, test = train_test_split(rest, test_size=0.5, random_state=SEED, stratify=rest[credit.TARGET])
    return Splits(train=train, validation=validation, test=test)


def fit(release: credit.Release, splits: Splits) -> Model:
    """Fit the model of a release."""
    # Categories as numbers, not `categorical_features`: skl2onnx converts those to a model that answers
    # differently (sklearn-onnx issue 1051), which pipeline.parity would catch and nothing else.
    encode = ColumnTransformer(
        [
            (
                "codes",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                list(credit.CATEGORICAL),
            ),
            ("numbers", "passthrough", list(credit.NUMERIC)),
        ]
    )
    # Slow learning and small trees: as good on the validation split as any of a small grid, and steadier:
    # with faster learning more decisions hang on the sex of the client.
    boost = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.03,
        max_leaf_nodes=15,
        early_stopping=False,
        monotonic_cst=_directions() if release.is_monotone else None,
        random_state=SEED,
    )
    pipeline = Pipeline([("encode", encode), ("boost", boost)])
    with one_thread():
        pipeline.fit(splits.train[list(credit.FEATURES)], splits.train[credit.TARGET])
    offsets = _age_offsets(pipeline, splits.validation) if release.equalizes_age_bands else {}
    return Model(release=release, pipeline=pipeline, age_offsets=offsets)


def _directions() -> list[int]:
    """Return what a client may rely on, per feature: +1 never lowers the risk, -1 never raises it.

    Constrained: what the client did, where a client who asks why deserves an answer that makes sense. Being
    later with a payment is never a plus, having paid more is never a minus. Left free: amounts billed (a
    large bill is wealth or trouble), the credit limit (the bank's own earlier opinion, not the client's
    conduct), age, and the codes, whose order means nothing.
    """
    return [
        1 if name.startswith("pay_status_") else -1 if name.startswith("paid_") else 0
        for name in credit.FEATURES
    ]


def _age_offsets(pipeline: Pipeline, validation: pd.DataFrame) -> dict[str, float]:
    """Return the shift of each band that gives it, on the validation split, the approval rate of all."""
    risk = _risk(pipeline, validation)
    bands = credit.age_band(validation["age"])
    approved = float(np.mean(risk < credit.THRESHOLD))
    return {
        band: float(_log_odds(credit.THRESHOLD) - _log_odds(np.quantile(risk[bands == band], approved)))
        for band in credit.AGE_BANDS
    }


def _risk(pipeline: Pipeline, rows: pd.DataFrame) -> Scores:
    with one_thread():
        risk: Scores = pipeline.predict_proba(rows[list(credit.FEATURES)])[:, 1]
    return risk


def one_thread() -> AbstractContextManager[object]:
    """Keep OpenMP to one thread: a fit takes half a second, and more of them wait for busy cores."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def _log_odds(risk: npt.ArrayLike) -> Scores:
    values = np.asarray(risk, dtype=np.float64)
    odds: Scores = np.log(values / (1 - values))
    return odds


def save(model: Model, splits: Splits, root: Path = ROOT) -> None:
    """Write the ONNX file and the splits under `root`, byte for byte the same each time."""
    build, path = root / BUILD.relative_to(ROOT), root / MODEL.relative_to(ROOT)
    build.mkdir(exist_ok=True)
    for name, frame in (("train", splits.train), ("test", splits.test)):
        groups = frame.assign(
            age_band=credit.age_band(frame["age"]),
            over_60=np.where(frame["age"] > 60, "yes", "no"),
        )
        # A fixed time in the gzip header: the digest of the file goes into the certificate.
        groups.to_csv(build / f"{name}.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    metadata = {
        "release": model.release.name,
        "threshold": str(credit.THRESHOLD),
        "seed": str(SEED),
        "training_data_sha256": hashlib.sha256((build / "train.csv.gz").read_bytes()).hexdigest(),
    }
    data = export(model.pipeline, model.age_offsets, metadata)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    print(f"release {model.release.name}: {path.relative_to(root)}, {len(data):,} bytes")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train and export one release of the credit model.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--release", choices=credit.RELEASES, help="train it and write model/credit.onnx")
    wanted.add_argument("--report", action="store_true", help="compare all releases on the test split")
    parsed = parser.parse_args(arguments)
    if parsed.report:
        from report import report

        print(report())
        return 0
    release = credit.RELEASES[parsed.release]
    splits = load(release)
    save(fit(release, splits), splits)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
