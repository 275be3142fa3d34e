"""Options that are settings: their defaults, choices and help texts come from the settings' dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ...video.config import ClipConfig

if TYPE_CHECKING:
    from ...sampling.trajectory import Trajectory
    from ...tuning.motion_info import MotionInfo

    ReadAs: TypeAlias = MotionInfo | Trajectory


def add_clip_settings(parser: argparse._ActionsContainer, *names: str, of: str = "", tuned: bool = True) -> None:
    """Adds the options of `ClipConfig`, for `read_clip_config`. None means: as the motion was tuned, or the default.

    Args:
        names: the settings to add; without any, all of them.
        of: what is read, if it is not the clip.
        tuned: whether there is a motion, which records how its clip was read.
    """
    for field in dataclasses.fields(ClipConfig):
        if names and field.name not in names:
            continue
        whose, else_as = f"of {of}; " if of else "", "as tuned, or " if tuned else ""
        help = f"{field.metadata['help']} ({whose}default: {else_as}{field.default})"
        add_setting(parser, ClipConfig, field.name, default=None, help=help)


def add_settings(
    parser: argparse._ActionsContainer, config: type, *, leave_out: Sequence[str] = (), **how: Any
) -> None:
    """Adds one option per field of a settings dataclass, except for those left out; see `add_setting`."""
    for field in dataclasses.fields(config):
        if field.name not in leave_out:
            add_setting(parser, config, field.name, **how)


def add_setting(
    parser: argparse._ActionsContainer, config: type, name: str, *, prefix: str = "", **changes: Any
) -> None:
    """Adds the option of one setting, with its default, choices and help.

    Args:
        prefix: the beginning of the option's name.
        changes: arguments of argparse that replace these.
    """
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    # argparse takes a percent sign for a placeholder.
    text = field.metadata["help"].replace("%", "%%")
    about: dict[str, Any] = {"help": f"{text} (default: {field.default})", "default": field.default}
    if isinstance(field.default, bool):
        about["action"] = argparse.BooleanOptionalAction
    elif isinstance(field.default, tuple):
        about |= {"nargs": "+", "type": type(field.default[0])}
    else:
        about |= {"type": type(field.default), "choices": field.metadata["choices"] or None}
    parser.add_argument(f"--{prefix}{name.replace('_', '-')}", **{**about, **changes})


def take_negative_points(parser: argparse.ArgumentParser) -> None:
    """Lets values begin as the point -0.1,0.5 does, which argparse takes for an option otherwise."""
    parser._negative_number_matcher = re.compile(r"-\d*\.?\d+(,.*)?$")


def read_clip_config(args: argparse.Namespace, read_as: ReadAs | None = None, **known: Any) -> ClipConfig:
    """How to read a clip: from the known settings, else the options, else as another clip was read, else the defaults.

    Args:
        read_as: a trajectory, or the information of a motion; 0 and "" mean that it is not recorded.
        known: settings that override the options; None for settings that are not known.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(ClipConfig):
        name = field.name
        said = (known.get(name), getattr(args, name, None), getattr(read_as, name, None) or None, field.default)
        found[name] = next(value for value in said if value is not None)
    return ClipConfig(**found)


def fit_overlap(args: argparse.Namespace, length: str, overlap: str, *, lowest: int = 0) -> None:
    """Makes an overlap that nobody asked for a quarter of a length that leaves no room for the default."""
    if overlap not in args.given and getattr(args, overlap) >= getattr(args, length) > 0:
        setattr(args, overlap, max(getattr(args, length) // 4, lowest))


def read_settings(args: argparse.Namespace, config: type, *, prefix: str = "") -> Any:
    """Builds a settings dataclass from parsed options. An option that is None has the setting's default."""
    start = prefix.replace("-", "_")
    values = {field.name: getattr(args, start + field.name) for field in dataclasses.fields(config)}
    given = {name: value for name, value in values.items() if value is not None}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
