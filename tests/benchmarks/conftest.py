"""A case small enough for a second."""

from __future__ import annotations

import pytest

from benchmarks.cases import Case

SMALL = {"size": "demo", "num_frames": 2, "pixels": 32, "num_steps": 2, "tune_steps": 2, "runs": 2}


@pytest.fixture
def small_case():
    """Makes a case of two frames of 32x32: small_case(stage="invert")."""
    return lambda **changes: Case(**{**SMALL, **changes})
