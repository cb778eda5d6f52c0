"""Any table, of any size -> counts and sums by one query, on the engine where its rows are."""
