"""Mutants of good files are read, or refused with one error of the package."""

import pytest

from tests.fuzz.mutants import FAULTS, outcomes
from tests.fuzz.readers import GOLDENS, READERS

COUNT = 300


@pytest.mark.parametrize("name", READERS)
def test_mutants(name, tmp_path):
    if not GOLDENS.get(name, tmp_path).is_dir():
        pytest.skip(f"{GOLDENS[name]} is not there")
    found = list(outcomes(name, range(COUNT), tmp_path))
    faults = [outcome for outcome in found if outcome.kind in FAULTS]
    assert not faults, "\n".join(f"{n} {kind}: {what}" for n, kind, what in faults[:5])
    assert any(outcome.kind == "refused" for outcome in found)  # files are changed
