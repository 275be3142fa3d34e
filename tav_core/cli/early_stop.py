"""What `python -m tav_core tune --stop-early` scores by: previews of the clip under another prompt, and a CLIP."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..errors import ConfigError
from ..evaluation.preview import preview_score, render_preview
from ..metrics.clip import load_clip
from ..models.latents import decode_latents
from ..models.text import encode_prompt
from ..tuning.early_stop import EarlyStop

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoints.load import Checkpoint
    from ..tuning.motion import Motion


def read_early_stop(args: argparse.Namespace, checkpoint: Checkpoint, latents: Tensor) -> EarlyStop | None:
    """The early stopping that was asked for.

    Raises:
        ConfigError: a preview prompt without CLIP weights to judge by, or the weights without a prompt.
        CheckpointError: the weights are no CLIP.
    """
    if args.stop_early is None:
        if args.clip_model is not None:
            raise ConfigError(
                got="--clip-model without --stop-early",
                expected="the prompt whose previews it is to score",
                mend="Add --stop-early with another prompt, or leave --clip-model out.",
            )
        return None
    if args.clip_model is None:
        raise ConfigError(
            got="--stop-early without --clip-model",
            expected="the CLIP that previews are scored by",
            mend="Give its folder or file, with both its towers; any CLIP will do.",
        )
    score = score_previews(args, checkpoint, latents)
    by = f"{args.stop_early} | {args.clip_model}"
    return EarlyStop(score=score, every=args.score_every, patience=args.patience, by=by)


def score_previews(args: argparse.Namespace, checkpoint: Checkpoint, latents: Tensor) -> Callable[[Motion], float]:
    """A score of motions: of a preview of each.

    Args:
        latents: the clip, `1 c f h w`; of a long clip its first window.
    """
    judge = load_clip(args.clip_model, device=checkpoint.unet.device)
    judge.encode_text(args.stop_early)
    texts = {"source": args.prompt, "shown": args.stop_early, "negative": ""}
    prompts = {name: encode_prompt(checkpoint, text) for name, text in texts.items()}
    latents = latents[:, :, : args.window or None]

    def score(motion: Motion) -> float:
        with torch.no_grad():
            preview = render_preview(motion, checkpoint.unet, checkpoint.schedule, latents, **prompts)
            frames = decode_latents(checkpoint.vae, preview)[0]
        return preview_score(frames, judge, prompt=args.stop_early, source_prompt=args.prompt)

    return score
