"""deepchecks in an interpreter of its own: the program it runs, the packages locked for it, its home.

The package deepchecks (AGPL-3.0-or-later) is neither imported nor required by pytest-prodml: `worker.py` is
started as a process of its own.
"""
