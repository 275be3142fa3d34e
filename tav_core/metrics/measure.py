"""All scores of a video in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..errors import ConfigError, InputError
from ..layouts import all_finite
from ..video.sizes import check_frames
from .flicker import second_differences
from .flow import measure_flow
from .motion import angle_entropy, angle_histogram, flow_magnitudes, warp_errors
from .scores import PAIRS, SCORES
from .similarity import consecutive_similarity, frame_consistency, matched_similarity, text_similarity

if TYPE_CHECKING:
    from .clip import ClipEncoder, ImageEncoder

FEWEST_FRAMES = 3
# By how much what resizes a picture may go beyond black and white.
SLACK = 0.5
Curve = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """The scores of one video; their names are the keys of `scores.SCORES`, which explains each.

    Args:
        values: one number per score; nan if it is undefined, like the warp error of a video in which every frame is a
        cut.
        curves: the scores frame by frame; the first value belongs to the frame `ScoreName.first_frame`.
    """

    values: dict[str, float]
    curves: dict[str, Curve]


def measure_video(
    frames: Tensor,
    *,
    source: Tensor | None = None,
    prompt: str | None = None,
    clip: ClipEncoder | None = None,
    dino: ImageEncoder | None = None,
    motion: bool = True,
    pairs: str = "all",
    on_step: Callable[[str], None] = lambda step: None,
) -> VideoScores:
    """Scores a video. Scores that need an encoder or the source are left out if it is not given.

    Args:
        frames: `f h w 3` in [0, 1] (or uint8), three frames or more.
        source: the clip that the video was made from, with the same number of frames, of any size.
        prompt: what the video should show; it needs a `clip` that can encode text, as `load_clip_model` returns.
        clip: for frame consistency, and likeness to the source.
        dino: for the same scores, as `load_dino_model` returns.
        motion: whether to measure the flow, which needs OpenCV.
        pairs: which pairs of frames the consistency compares; see `frame_consistency`.
        on_step: called with "frames", "clip", "dino" or "motion" before each part.

    Raises:
        ConfigError: a prompt without a CLIP, or unknown pairs.
        InputError: the frames have the wrong shape, are too few, differ in number from the source, or there is no
        OpenCV.
        PromptError: the prompt is too long.
    """
    if pairs not in PAIRS:
        raise ConfigError(got=f"pairs {pairs!r}", expected=f"one of {', '.join(PAIRS)}", mend="Use 'all', the default.")
    if prompt is not None and clip is None:
        raise ConfigError(
            got="a prompt but no CLIP", expected="a CLIP to score it with", mend="Give a CLIP, or leave the prompt out."
        )
    frames = as_floats(frames)
    source = None if source is None else match_source(as_floats(source), frames)
    on_step("frames")
    curves: dict[str, Tensor] = {"second_difference": second_differences(frames)}
    values: dict[str, Tensor] = {}
    for name, encoder in {"clip": clip, "dino": dino}.items():
        if encoder is not None:
            on_step(name)
            embeddings = encoder.encode_images(frames)
            curves |= compare_embeddings(name, embeddings, source, encoder)
            values[f"{name}_frames"] = frame_consistency(embeddings, pairs)
            if name == "clip" and clip is not None and prompt is not None:
                curves["clip_text"] = text_similarity(embeddings, clip.encode_text(prompt))
    if motion:
        on_step("motion")
        flow = measure_flow(frames)
        curves |= {"warp_error": warp_errors(frames, flow), "motion_magnitude": flow_magnitudes(flow.forward)}
        values["motion_entropy"] = angle_entropy(angle_histogram(flow.forward))
        if source is not None:
            curves["source_warp_error"] = warp_errors(frames, measure_flow(source))
    return summarise(values, curves)


def compare_embeddings(
    name: str, embeddings: Tensor, source: Tensor | None, encoder: ImageEncoder
) -> dict[str, Tensor]:
    """The curves of one encoder."""
    curves = {f"{name}_frames": consecutive_similarity(embeddings)}
    if source is not None:
        curves[f"{name}_source"] = matched_similarity(embeddings, encoder.encode_images(source))
    return curves


def summarise(values: dict[str, Tensor], curves: dict[str, Tensor]) -> VideoScores:
    """Collects the scores: each has its given value, or else the mean of its curve."""
    means = {name: curve.nanmean() for name, curve in curves.items()} | values
    return VideoScores(
        values={name: float(means[name]) for name in SCORES if name in means},
        curves={name: tuple(curves[name].tolist()) for name in SCORES if name in curves},
    )


def as_floats(frames: Tensor) -> Tensor:
    """Frames `f h w 3` as float32 in [0, 1] on the CPU.

    Raises:
        InputError: the frames have the wrong shape or number type, are too few, or hold values that are not finite or
            far from [0, 1].
    """
    tensor = check_frames(frames, channels=3)
    if len(tensor) < FEWEST_FRAMES:
        raise InputError(
            got=f"{len(tensor)} frame{'s' * (len(tensor) != 1)}",
            expected=f"{FEWEST_FRAMES} or more, for the second difference",
            mend="Measure a longer video.",
        )
    floats = tensor.detach().cpu().float()
    floats = floats / 255 if tensor.dtype == torch.uint8 else floats
    if not all_finite(floats):
        raise InputError(
            got="frames with values that are not finite numbers",
            expected="values in [0, 1]",
            mend="Run the model in float32 or bfloat16: in float16 some VAEs overflow.",
        )
    low, high = float(floats.min()), float(floats.max())
    if low < -SLACK or high > 1 + SLACK:
        raise InputError(
            got=f"frames with values from {low:g} to {high:g}",
            expected="values in [0, 1]",
            mend="Divide bytes by 255; add 1 to what is in [-1, 1], and halve it.",
        )
    return floats


def match_source(source: Tensor, frames: Tensor) -> Tensor:
    """The source, resized to the size of the frames.

    Raises:
        InputError: the numbers of frames differ.
    """
    if len(source) != len(frames):
        raise InputError(
            got=f"a source of {len(source)} frames for a video of {len(frames)}",
            expected="the same number of frames in both",
            mend="Read the source as it was read for the video: with the same start, stride and number of frames.",
        )
    if source.shape == frames.shape:
        return source
    images = rearrange(source, "f h w c -> f c h w")
    resized = F.interpolate(images, frames.shape[1:3], mode="bilinear", antialias=True, align_corners=False)
    return rearrange(resized, "f c h w -> f h w c")
