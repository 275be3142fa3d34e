"""What the option `--local-prompt` names: prompts for parts of the picture, and their masks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..checkpoints.load import Checkpoint
from ..denoisers.local_prompts import LocalPrompt
from ..errors import ConfigError
from ..sampling.trajectory import Trajectory
from ..video.mask import read_mask
from .inputs import encode
from .local_edit import load_source

if TYPE_CHECKING:
    from torch import Tensor

    from ..video.clip import VideoClip
    from .options.settings import ReadAs


def load_local_prompts(
    args: argparse.Namespace,
    read_as: ReadAs,
    start: Trajectory | Tensor,
    checkpoint: Checkpoint,
    *,
    source: VideoClip | None = None,
) -> list[LocalPrompt]:
    """Reads the masks and encodes the prompts.

    Args:
        source: the clip that was inverted, if it has been read already.

    Raises:
        ConfigError: the options do not go together.
        ClipError: the source is not the clip that was inverted, or a mask does not fit it.
    """
    if not args.local_prompt:
        return []
    if not isinstance(start, Trajectory) or args.blend or args.speed != 1:
        other = "--blend" if args.blend else f"--speed {args.speed:g}" if args.speed != 1 else "a random start"
        raise ConfigError(
            got=f"--local-prompt with {other}",
            expected="the inversion of one clip as it is, from whose frames the masks were made",
            mend="Give --trajectory alone, or leave --local-prompt out.",
        )
    clip = source or load_source(args, read_as, start.latents[0], checkpoint.vae)
    return [
        LocalPrompt(context=encode(args, checkpoint, prompt), mask=read_mask(mask, clip))
        for prompt, mask in args.local_prompt
    ]
