"""Widgets made from the library's settings, which are the one source of each name, default, bound and tooltip."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from comfy_api.latest import io

# What the front end's number widgets can hold.
LARGEST_INT, LARGEST_FLOAT = 2**53 - 1, 1e6
CATEGORY = "Tune-A-Video"
Motion = io.Custom("TAV_MOTION")
Trajectory = io.Custom("TAV_TRAJECTORY")
TuneOptionsType = io.Custom("TAV_TUNE_OPTIONS")
EarlyStopType = io.Custom("TAV_EARLY_STOP")
MotionFieldType = io.Custom("TAV_MOTION_FIELD")


def widget(config: type, name: str, **changes: Any) -> io.Input:
    """The widget of one setting.

    Args:
        config: a settings class of the library.
        name: the name of its field, which is also the widget's id.
        changes: what should differ from the setting: id, default, bounds, step, tooltip.
    """
    field = next(f for f in dataclasses.fields(config) if f.name == name)
    said, default = field.metadata, field.default
    own = {"id": name, "default": default, "tooltip": said["help"], **changes}
    if said["choices"]:
        return io.Combo.Input(options=list(said["choices"]), **own)
    if isinstance(default, bool):
        return io.Boolean.Input(**own)
    if isinstance(default, str):
        return io.String.Input(**own)
    low, high = said["low"], said["high"]
    if isinstance(default, int):
        bounds = {"min": int(max(low, 0)), "max": int(min(high, LARGEST_INT))}
        return io.Int.Input(**{**bounds, **own})
    bounds = {"min": max(float(low), 0.0), "max": LARGEST_FLOAT if math.isinf(high) else float(high)}
    # Without `round` the front end rounds to `step`, and a learning rate of 3e-5 would become 0.
    own.setdefault("step", 0.05)
    return io.Float.Input(round=False, **{**bounds, **own})


def seed_widget(config: type, name: str, tooltip: str) -> io.Input:
    """The widget of a seed, under an id other than `seed`.

    The front end gives widgets called `seed` a control that draws another number after each run. Here that would start
    a new tuning run each time.
    """
    return widget(config, "seed", id=name, display_name="seed", tooltip=tooltip)


def schema(*, advanced: tuple[str, ...] = (), **about: Any) -> io.Schema:
    """A node's schema. What this ComfyUI does not know is left out: 0.8 has no search aliases and no advanced widgets.

    Args:
        advanced: the widgets that are rarely used, by id. ComfyUI folds them away; their values are saved all the same.
        about: fields of ComfyUI's Schema.
    """
    known = {field.name for field in dataclasses.fields(io.Schema)}
    made = io.Schema(**{name: value for name, value in about.items() if name in known})
    rare = [given for given in made.inputs if given.id in advanced]
    assert len(rare) == len(advanced), f"{made.node_id}: {advanced}"
    for given in rare:
        if hasattr(given, "advanced"):
            given.advanced = True
    return made
