"""Settings at their bounds, where they are taken, and beyond, where they are refused by name."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tav_core.denoisers.config import FlowConfig
from tav_core.denoisers.windows import ContextWindows
from tav_core.errors import ConfigError
from tav_core.sampling.config import EditConfig
from tav_core.tuning.config import TuneConfig
from tav_core.video.config import ClipConfig
from tests.faults.checks import refused

CLASSES = (TuneConfig, EditConfig, ContextWindows, FlowConfig, ClipConfig)
FIELDS = [(cls, field) for cls in CLASSES for field in dataclasses.fields(cls)]
# Nothing on the left must be taken for a number, on the right for a choice, or for anything at all.
NO_NUMBER = (float("nan"), "1", None, True, [1], 1j)
# What goes with a value at its bound, so that the settings do not contradict each other.
BESIDE = {
    ("TuneConfig", "warmup_steps"): {"num_steps": 100_000},
    ("ContextWindows", "length"): {"overlap": 0},
}


def beyond() -> list[tuple[type, str, object]]:
    """Each setting with every value that it must not have."""
    cases: list[tuple[type, str, object]] = []
    for cls, field in FIELDS:
        low, high, default = field.metadata["low"], field.metadata["high"], field.default
        if isinstance(default, bool):
            values: list[object] = [0, 1, "yes", None]
        elif isinstance(default, tuple):
            values = [(), None, 5, "text", (None, None)]
        elif isinstance(default, str):
            values = ["", default.upper(), default + " ", None, 0, [default], "x" * 500]
        else:
            step = 1 if isinstance(default, int) else max(abs(low) * 1e-6, 1e-12)
            values = [low - step] * math.isfinite(low) + [high + max(step, high * 1e-6)] * math.isfinite(high)
            values += [*NO_NUMBER, *([0.5, float("inf"), 1e30] if isinstance(default, int) else [])]
        cases += [(cls, field.name, value) for value in values]
    return cases


@pytest.mark.parametrize(("cls", "name", "value"), beyond(), ids=lambda x: getattr(x, "__name__", None) or repr(x)[:20])
def test_beyond_the_bounds(tmp_path, cls, name, value):
    with refused(ConfigError, name, "Use" if name != "modules" else "", folder=tmp_path):
        cls(**{name: value})


def at_the_bounds() -> list[tuple[type, str, object]]:
    numbers = [(cls, field) for cls, field in FIELDS if type(field.default) in (int, float)]
    bounds = [(c, f.name, type(f.default)(b)) for c, f in numbers for b in (f.metadata["low"], f.metadata["high"])
              if math.isfinite(b)]  # fmt: skip
    return bounds + [(cls, f.name, choice) for cls, f in FIELDS for choice in f.metadata["choices"]]


@pytest.mark.parametrize(
    ("cls", "name", "value"), at_the_bounds(), ids=lambda x: getattr(x, "__name__", None) or str(x)
)
def test_at_the_bounds(cls, name, value):
    assert getattr(cls(**{name: value, **BESIDE.get((cls.__name__, name), {})}), name) == value


@pytest.mark.parametrize(
    ("cls", "settings", "word"),
    [
        (TuneConfig, {"betas": (0.9, 1.0)}, "betas"),
        (TuneConfig, {"betas": (0.9,)}, "betas"),
        (TuneConfig, {"betas": ("0.9", "0.999")}, "betas"),
        (TuneConfig, {"betas": (float("nan"), 0.9)}, "betas"),
        (TuneConfig, {"modules": ("attn_temp", "")}, "modules"),
        (TuneConfig, {"modules": ("attn_temp", 3)}, "modules"),
        (TuneConfig, {"num_steps": 10, "warmup_steps": 11}, "warmup_steps 11"),
        (TuneConfig, {"window": 1}, "window of 1"),
        (ContextWindows, {"length": 8, "overlap": 8}, "overlap by 8"),
        (ContextWindows, {"length": 8, "overlap": 9}, "overlap by 9"),
    ],
)
def test_settings_that_contradict_each_other(tmp_path, cls, settings, word):
    with refused(ConfigError, word, folder=tmp_path):
        cls(**settings)
