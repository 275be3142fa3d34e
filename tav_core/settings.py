"""Settings as frozen dataclasses: each field holds its default, bounds and help in one place.

The checks, the command line's options and the nodes' widgets all read them from here.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .errors import ConfigError


def setting(
    default: Any,
    help: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field.

    Args:
        help: one sentence for users; where the default comes from, if it is not plain.
        low, high: bounds of a number, both included.
        choices: the allowed words of a string.
    """
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def check_settings(config: Any) -> None:
    """Checks every field of a settings dataclass against its bounds and choices; NaN is out of every bound.

    Raises:
        ConfigError: names the first field that does not fit.
    """
    for field in dataclasses.fields(config):
        value, allowed = getattr(config, field.name), field.metadata
        mend = f"Use {field.default!r}, the default. {allowed['help']}"
        if allowed["choices"] and value not in allowed["choices"]:
            expected = f"one of {', '.join(allowed['choices'])}"
            raise ConfigError(got=f"{field.name} {value!r}", expected=expected, mend=mend)
        bounded = isinstance(value, int | float) and not isinstance(value, bool)
        if bounded and not allowed["low"] <= value <= allowed["high"]:
            raise ConfigError(got=f"{field.name} {value}", expected=describe_bounds(allowed), mend=mend)


def describe_bounds(allowed: Any) -> str:
    """The bounds of a number in words."""
    low, high = allowed["low"], allowed["high"]
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
