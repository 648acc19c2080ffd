"""Tests of what an extra brings are skipped where it is not installed."""

import importlib.util

import pytest


def needs(*modules: str) -> None:
    """Skips the test where a module is missing, without importing those present."""
    missing = [name for name in modules if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
