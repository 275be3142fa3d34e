"""Attention modes: the frames that each frame attends to; and how frames know their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..errors import ConfigError

MODES = ("spatial", "first", "sparse_causal", "sparse_causal_k", "causal", "full")
# What the group norms take their statistics over. The original spans the clip; each frame by itself scores higher.
GROUP_NORMS = ("frame", "clip")
# Position encodings of the temporal attention. The original has none: it sees the frames, but not their order.
POSITIONS = ("none", "rotary")
# LaVie's are for its checkpoints, and for training such ones.
ALL_POSITIONS = (*POSITIONS, "lavie_rotary", "lavie")
# Which transformer blocks get temporal attention: all as in the original, or the last of each Transformer2D as in
# AnimateDiff; they differ in Stable Diffusion XL, whose transformers have up to ten blocks.
TEMPORAL_BLOCKS = ("all", "last")
# What the tokens of a path are compared by in attention along the flow, see along_paths.py.
PATH_MATCHES = ("output", "queries")
# Where in a transformer block the temporal attention stands: at its end as in the original, or as in LaVie.
PLACES = ("end", "before_feed_forward")


def visible_frames(mode: str, num_frames: int, k: int = 2) -> tuple[tuple[int, ...], ...]:
    """For each frame, the frames whose keys and values it attends to, each listed once.

    In `sparse_causal`, the original concatenates frame 0 twice for frames 0 and 1. It is listed once here, because
    softmax over keys that all occur twice gives the same result.

    Args:
        mode: one of `MODES`. "sparse_causal" is Tune-A-Video's (arXiv 2212.11565, eq. 5), "first" is
            Text2Video-Zero's (arXiv 2303.13439, eq. 8).
        k: how far back "sparse_causal_k" also attends, in frames.

    Raises:
        ConfigError: an unknown mode, or k below 1.
    """
    if k < 1:
        raise ConfigError(got=f"attention_k {k}", expected="1 or more", mend="Give the number of frames to look back.")
    rules = {
        "spatial": lambda i: (i,),
        "first": lambda i: (0,),
        "sparse_causal": lambda i: (0, max(i - 1, 0)),
        "sparse_causal_k": lambda i: (0, max(i - 1, 0), max(i - k, 0)),
        "causal": lambda i: tuple(range(i + 1)),
        "full": lambda i: tuple(range(num_frames)),
    }
    if mode not in rules:
        raise ConfigError(got=f"attention mode {mode!r}", expected=f"one of {', '.join(MODES)}", mend="Choose one.")
    return tuple(tuple(dict.fromkeys(rules[mode](i))) for i in range(num_frames))


@lru_cache(maxsize=256)
def group_frames(mode: str, num_frames: int, k: int) -> tuple[tuple[slice, tuple[tuple[int, ...], ...]], ...]:
    """Groups of neighbouring frames that attend to equally many frames, so that each group is one batched attention."""
    visible = visible_frames(mode, num_frames, k)
    starts = [i for i in range(num_frames) if i == 0 or len(visible[i]) != len(visible[i - 1])]
    ends = [*starts[1:], num_frames]
    return tuple((slice(start, end), visible[start:end]) for start, end in zip(starts, ends, strict=True))


def check_positions(positions: str, among: Sequence[str] = POSITIONS) -> None:
    """Checks the temporal attention's positions; a motion has one of `POSITIONS`.

    Raises:
        ConfigError: the positions are unknown.
    """
    if positions not in among:
        raise ConfigError(
            got=f"positions {positions!r}",
            expected=f"one of {', '.join(among)}",
            mend="Use 'none', the original's; a motion that asks for others needs a later version of this pack.",
        )


def recorded_modes(modes: Mapping[str, Any]) -> dict[str, Any]:
    """The modes that a motion and a run record.

    The backend is left out because it does not change results. Positions and the blocks that have temporal attention
    are recorded only if they are not the original's, so that versions without these options can still read the file and
    continue the run.
    """
    unsaid = {"positions": "none", "temporal": "all"}
    return {name: value for name, value in modes.items() if name != "backend" and unsaid.get(name) != value}
