"""Rows of two tables -> what they share: entities, times, equal and nearly equal rows.

Shared by the dimensions that look at splits: neither data nor performance knows the other.
"""
