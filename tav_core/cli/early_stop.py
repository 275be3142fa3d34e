"""The scores for `python -m tav_core tune --stop-early`: a CLIP scores previews of the clip under another prompt."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..errors import ConfigError
from ..evaluation.preview import preview_score, render_preview
from ..metrics.clip import load_clip_model
from ..models.latents import decode_latents
from ..tuning.early_stop import EarlyStop
from .inputs import encode

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoints.load import Checkpoint
    from ..tuning.motion import Motion


def read_early_stop(
    args: argparse.Namespace, checkpoint: Checkpoint, latents: Tensor, check: Callable[[], None]
) -> EarlyStop | None:
    """The early stopping that the options ask for; None for none.

    Args:
        latents: the clip, `1 c f h w`; if tuning uses windows, the previews show the first one.
        check: called between the steps of a preview; if it raises, the run ends there.

    Raises:
        ConfigError: there is a preview prompt without CLIP weights to score with, or weights without a prompt.
        CheckpointError: the weights are not those of a CLIP.
    """
    if args.stop_early is None:
        if args.clip_model is not None:
            raise ConfigError(
                got="--clip-model without --stop-early",
                expected="a prompt whose previews it scores",
                mend="Add --stop-early with another prompt, or leave --clip-model out.",
            )
        return None
    if args.clip_model is None:
        raise ConfigError(
            got="--stop-early without --clip-model",
            expected="a CLIP to score the previews with",
            mend="Give the folder or file of any CLIP that has both its image and its text tower.",
        )
    score = score_previews(args, checkpoint, latents, check)
    by = f"{args.stop_early} | {args.clip_model}"
    return EarlyStop(score=score, every=args.score_every, patience=args.patience, by=by)


def score_previews(
    args: argparse.Namespace, checkpoint: Checkpoint, latents: Tensor, check: Callable[[], None]
) -> Callable[[Motion], float]:
    """A function that scores a motion by rendering a preview with it; the arguments are `read_early_stop`'s."""
    judge = load_clip_model(args.clip_model, device=checkpoint.unet.device)
    judge.encode_text(args.stop_early)
    source, shown, negative = (encode(args, checkpoint, text) for text in (args.prompt, args.stop_early, ""))
    latents = latents[:, :, : args.window or None]

    def score(motion: Motion) -> float:
        with torch.no_grad():
            preview = render_preview(
                motion,
                checkpoint.unet,
                checkpoint.schedule,
                latents,
                source=source,
                shown=shown,
                negative=negative,
                on_step=lambda done, total: check(),
            )
            frames = decode_latents(checkpoint.vae, preview)[0]
        return preview_score(frames, judge, prompt=args.stop_early, source_prompt=args.prompt)

    return score
