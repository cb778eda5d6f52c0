"""The statistical methods: arrays and counts in, plain numbers out; nothing here knows a model or a gate.

Every bound is one-sided at the confidence level it is given. Two of them together are a two-sided interval at
``2 * confidence_level - 1``; for a two-sided interval at level c ask for ``(1 + c) / 2``.
"""
