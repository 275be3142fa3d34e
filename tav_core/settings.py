"""Settings as frozen dataclasses: each field holds its default, bounds and help in one place.

The checks, the command line's options and the nodes' widgets all read them from here.
"""

from __future__ import annotations

import dataclasses
import json
import math
from numbers import Integral, Real
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
    """A field of a settings dataclass.

    Args:
        help: one sentence for users; it also says where the default comes from, if that is not obvious.
        low, high: bounds of a number, both included.
        choices: the allowed words of a string.
    """
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def check_settings(config: Any) -> None:
    """Checks every field of a settings dataclass against its choices, the kind of its default, and its bounds.

    NaN is outside any bounds. Numbers of numpy become Python's, in place, because files and generators take no others.

    Raises:
        ConfigError: a field does not fit; the first such field is named.
    """
    for field in dataclasses.fields(config):
        value, allowed = getattr(config, field.name), field.metadata
        mend = f"Use {field.default!r}, the default. {allowed['help']}"
        if allowed["choices"] and value not in allowed["choices"]:
            expected = f"one of {', '.join(allowed['choices'])}"
            raise ConfigError(got=f"{field.name} {value!r}", expected=expected, mend=mend)
        kind = describe_kind(field.default)
        if kind and not KINDS[kind](value):
            raise ConfigError(got=f"{field.name} {value!r}", expected=kind, mend=mend)
        if is_number(value) and not allowed["low"] <= value <= allowed["high"]:
            raise ConfigError(got=f"{field.name} {value}", expected=describe_bounds(allowed), mend=mend)
        object.__setattr__(config, field.name, plain(value))


def plain(value: Any) -> Any:
    """A value with Python's numbers in place of numpy's."""
    if isinstance(value, tuple | list):
        return type(value)(plain(each) for each in value)
    if is_number(value) and not isinstance(value, int | float):
        return int(value) if isinstance(value, Integral) else float(value)
    return value


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of Python or numpy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a number, including NaN and infinities."""
    return isinstance(value, Real) and not isinstance(value, bool)


def as_json(value: Any) -> Any:
    """A value as it would be read from a file: tuples become lists."""
    return json.loads(json.dumps(value))


KINDS = {
    "a whole number": is_whole,
    "a number": is_number,
    "true or false": lambda value: isinstance(value, bool),
    "several values": lambda value: isinstance(value, tuple | list),
}


def describe_kind(default: Any) -> str:
    """What a setting with this default must be, in words; "" for text."""
    return next((kind for kind, fits in KINDS.items() if fits(default)), "")


def describe_bounds(allowed: Any) -> str:
    """The bounds of a number in words."""
    low, high = allowed["low"], allowed["high"]
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
