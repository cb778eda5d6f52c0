"""The kinds of faults by name, with the limits that hold where a project gives none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_prodml.checks.data.quality import categories, columns, dates, labels, numbers, rows, texts
from pytest_prodml.checks.data.quality.request import Fault

#: None is measured, and not judged.
KINDS: Mapping[str, Fault] = MappingProxyType(
    {
        # How much may be missing only the project knows; that it changed, the reference tells.
        "missing_share": Fault(limit=None, measure=columns.missing_share),
        "missing_share_change": Fault(limit=0.05, measure=columns.missing_share_change),
        "missing_columns": Fault(limit=0, measure=columns.missing_columns),
        "retyped_columns": Fault(limit=0, measure=columns.retyped_columns),
        "constant_columns": Fault(limit=0, measure=columns.constant_columns, ask=columns.ask_dominant),
        "near_constant_columns": Fault(
            limit=0, measure=columns.near_constant_columns, ask=columns.ask_dominant
        ),
        "duplicate_rows": Fault(limit=0.02, measure=rows.duplicate_rows),
        "duplicate_keys": Fault(limit=0, measure=rows.duplicate_keys),
        "near_duplicate_rows": Fault(limit=0.02, measure=rows.near_duplicate_rows),
        "conflicting_labels": Fault(limit=0.01, measure=rows.conflicting_labels),
        "out_of_range_share": Fault(limit=0.01, measure=numbers.out_of_range_share, ask=numbers.ask_range),
        "mixed_type_columns": Fault(limit=0, measure=columns.mixed_type_columns),
        "category_variants": Fault(limit=0, measure=categories.category_variants),
        "unit_error_columns": Fault(limit=0, measure=numbers.unit_error_columns),
        # Rows in another unit are few and far off: they ruin means and fits before they are one in a hundred.
        "unit_error_share": Fault(limit=0.001, measure=numbers.unit_error_share, ask=numbers.ask_units),
        "outlier_share": Fault(limit=0.02, measure=numbers.outlier_share, ask=numbers.ask_outliers),
        "new_category_share": Fault(limit=0.01, measure=categories.new_category_share),
        # It depends on how many rows there are.
        "singleton_share": Fault(limit=None, measure=categories.singleton_share),
        **{
            kind: Fault(limit=0, measure=texts.counts(kind), ask=texts.asks_for(kind))
            for kind in ("empty_texts", "replacement_characters", "mojibake", "control_characters")
        },
        "text_length_share": Fault(limit=0.01, measure=texts.text_length_share, ask=texts.ask_lengths),
        "sentinel_dates": Fault(limit=0, measure=dates.sentinel_dates, ask=dates.ask_sentinels),
        "future_dates": Fault(limit=0, measure=dates.future_dates, ask=dates.ask_future),
        "swapped_date_columns": Fault(limit=0, measure=dates.swapped_date_columns),
        "class_share_change": Fault(limit=0.05, measure=categories.class_share_change),
        # Every share of wrong labels is wrong for some model; what can be borne the project knows.
        "label_noise_share": Fault(limit=None, measure=labels.label_noise_share),
    }
)
