"""Options of `tune`, `edit`, `animate` and `generate` that do something beside another option alone; without it, they
are refused and not ignored."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import ConfigError


class Need(NamedTuple):
    """What an option needs.

    Args:
        options: names of options, one of which must be given.
        why: what the option is for, as what was expected.
    """

    options: tuple[str, ...]
    why: str


WINDOWS = Need(("context_length",), "context windows, which overlap")
INJECTION = Need(("inject",), "an injection, which it is a setting of")
FLOW = Need(("flow_guided",), "flow guidance, which it is a setting of")
CONTROL = Need(("control",), "a control, whose video it is read for")
CLIP = Need(("source", "animation", "control"), "a clip to read")
MOTION = Need(("motion",), "a motion, whose strength it is")
ANIMATION = Need(("animation",), "an animation to start from")
NEEDS = {
    "blend_weight": Need(("blend",), "a second trajectory, which it weighs"),
    "feather": Need(("mask",), "a mask, whose edge it softens"),
    "ramp": Need(("frames",), "a range of frames, at whose ends it fades"),
    **dict.fromkeys(("start", "stride", "fit"), CLIP),
    "context_overlap": WINDOWS,
    **dict.fromkeys(("inject_attention", "inject_features", "inject_first_layer", "inject_prompt"), INJECTION),
    **dict.fromkeys(("flow_levels", "flow_match", "flow_until", "flow_weights"), FLOW),
    **dict.fromkeys(("control_first_frame", "control_stride"), CONTROL),
    **dict.fromkeys(("strength", "temporal_strength"), MOTION),
    **dict.fromkeys(("animation_begin", "animation_strength"), ANIMATION),
    "animation_hold": Need(("animation_mask",), "a mask, inside which the animation is held"),
}
OBJECT = Need(("mask",), "a mask of the object, of which it says how it is moved")
# The same of `animate`.
ANIMATE_NEEDS = {
    "out_mask": Need(("mask",), "an object, whose place in each frame is written"),
    **dict.fromkeys(("scale", "margin", "feather", "follows"), OBJECT),
    "begin": Need(("path",), "a path, of which it says where it begins"),
}
STOP = Need(("stop_early",), "a prompt whose previews are scored")
# The same of `tune`.
TUNE_NEEDS = {"score_every": STOP, "patience": STOP}
CAMERA = Need(("move", "zoom", "turn", "path"), "a camera, by which frames are moved between the two")
# The same of `generate`.
GENERATE_NEEDS = {
    **dict.fromkeys(("t0", "t1"), CAMERA),
    **dict.fromkeys(("strength", "temporal_strength"), MOTION),
    "smoothing": Need(("foreground",), "a mask of what moves by itself, behind which it smooths"),
    **dict.fromkeys(("control_first_frame", "control_stride"), CONTROL),
}
# Settings of an animation that is noised.
NOISED = ("animation_strength", "animation_hold")


def check_needs(args: argparse.Namespace, needs: Mapping[str, Need]) -> None:
    """Raises `ConfigError` for the first option on the command line that does nothing where it stands."""
    for name, need in needs.items():
        if name in args.given and not any(getattr(args, other) for other in need.options):
            raise ConfigError(
                got=f"{flag(name)} without {listed(need.options)}",
                expected=need.why,
                mend=f"Add {listed(need.options)}, or leave {flag(name)} out.",
            )


def check_edit_needs(args: argparse.Namespace) -> None:
    """The same for `edit`, which may start from an animation."""
    check_needs(args, NEEDS)
    for name in NOISED:
        if name in args.given and args.animation_begin == "inverted":
            raise ConfigError(
                got=f"{flag(name)} with an animation that is inverted",
                expected="one that is noised, which it is a setting of",
                mend=f"Add --animation-begin noised, or leave {flag(name)} out.",
            )


def flag(name: str) -> str:
    """An option as it is written."""
    return f"--{name.replace('_', '-')}"


def listed(names: tuple[str, ...]) -> str:
    """Options in words: --a, --b or --c."""
    *first, last = map(flag, names)
    return f"{', '.join(first)} or {last}" if first else last
