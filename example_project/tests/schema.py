"""What a row must look like before the model may see it."""

from __future__ import annotations

import pandera.pandas as pa

import credit


def schema() -> pa.DataFrameSchema:
    """Return the schema of cleaned rows: the code book, plus what the amounts can be at all."""
    low, high = credit.PAY_STATUS_RANGE
    columns = {name: pa.Column(str, pa.Check.isin(codes)) for name, codes in credit.CODES.items()}
    columns |= {
        credit.KEY: pa.Column(int, unique=True),
        "credit_limit": pa.Column(int, pa.Check.in_range(10_000, 1_000_000)),
        "age": pa.Column(int, pa.Check.in_range(18, 100)),
    }
    for month in credit.MONTHS:
        columns[f"pay_status_{month}"] = pa.Column(int, pa.Check.in_range(low, high))
        # Negative: the client has a credit balance.
        columns[f"bill_{month}"] = pa.Column(int, pa.Check.in_range(-1_000_000, credit.LARGEST_AMOUNT))
        columns[f"paid_{month}"] = pa.Column(int, pa.Check.in_range(0, credit.LARGEST_AMOUNT))
    return pa.DataFrameSchema(columns)
