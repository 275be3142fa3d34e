"""The command `python -m tav_core report`: measures videos and writes a page."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..errors import ConfigError
from ..evaluation.report import ReportVideo, write_report
from ..metrics.measure import VideoScores, measure_video
from ..paths import new_name
from ..video.clip import VideoClip, read_clip
from .options.settings import read_clip_config
from .whole_clip import read_whole

if TYPE_CHECKING:
    from torch import Tensor

    from ..tuning.motion_info import MotionInfo


def make_report(args: argparse.Namespace, device: str) -> tuple[list[ReportVideo], Path]:
    """Measures the videos and writes the page; returns the videos with their scores, and the page's path.

    Raises:
        ConfigError: labels or prompts must be given once per video, or not at all.
    """
    labels = label_videos(args)
    prompts: list[str | None] = [*one_per_video(args, args.prompt, "prompt")] or [None] * len(args.video)
    tuned, losses = read_tuned(args), read_run(args)
    clips = [read_whole(path, num_frames=args.num_frames) for path in args.video]
    source = read_source(args, tuned, clips[0])
    judges = load_judges(args, device)
    videos = [] if source is None else [measure_source(args, source, judges)]
    for clip, label, prompt in zip(clips, labels, prompts, strict=True):
        scores = measure(args, clip.frames, label, judges, prompt=prompt, source=source)
        videos.append(ReportVideo(label=label, frames=clip.frames, scores=scores, fps=clip.fps))
    settings = describe_settings(args, clips, labels, prompts, tuned)
    return videos, write_report(args.out, videos, fps=clips[0].fps, losses=losses, settings=settings)


def label_videos(args: argparse.Namespace) -> list[str]:
    """A label for each video: the given one, else its file's name, with its folder's if two files have one name. What
    is still the same gets a number.

    Raises:
        ConfigError: the number of labels differs from the number of videos.
    """
    names = [path.stem for path in args.video]
    whole = [f"{path.absolute().parent.name}/{path.stem}" for path in args.video]
    default = [long if names.count(name) > 1 else name for name, long in zip(names, whole, strict=True)]
    labels: list[str] = []
    for label in one_per_video(args, args.label, "label") or default:
        labels.append(new_name(label, labels))
    return labels


def one_per_video(args: argparse.Namespace, given: list[str], what: str) -> list[str]:
    """The values of an option that takes one per video; an empty list if it was not given.

    Raises:
        ConfigError: the number of values differs from the number of videos.
    """
    if given and len(given) != len(args.video):
        raise ConfigError(
            got=f"{len(given)} --{what} for {len(args.video)} --video",
            expected="one for each video, in the same order, or none",
            mend=f"Give --{what} {len(args.video)} times, or leave it out.",
        )
    return given


def read_tuned(args: argparse.Namespace) -> MotionInfo | None:
    """The information in the motion file, if one was given."""
    from ..tuning.motion import Motion

    return Motion.load(args.motion).info if args.motion else None


def read_source(args: argparse.Namespace, tuned: MotionInfo | None, video: VideoClip) -> Tensor | None:
    """The frames of the source that a video was made from: as the options say, else as in tuning."""
    if args.source is None:
        return None
    height, width = video.frames.shape[1:3]
    size = {"num_frames": video.num_frames, "width": width, "height": height}
    return read_clip(args.source, read_clip_config(args, tuned, **size)).frames


def load_judges(args: argparse.Namespace, device: str) -> dict[str, Any]:
    """Loads CLIP and DINO, if their weights were given."""
    from ..metrics.clip import load_clip_model
    from ..metrics.dino import load_dino_model

    return {
        "clip": load_clip_model(args.clip_model, device=device) if args.clip_model else None,
        "dino": load_dino_model(args.dino, device=device) if args.dino else None,
    }


def measure_source(args: argparse.Namespace, source: Tensor, judges: dict[str, Any]) -> ReportVideo:
    """The source, measured, as a video of the report."""
    prompt = args.source_prompt
    return ReportVideo(label="source", frames=source, scores=measure(args, source, "source", judges, prompt=prompt))


def measure(args: argparse.Namespace, frames: Tensor, label: str, judges: dict[str, Any], **about: Any) -> VideoScores:
    """Measures one video; a progress line says which part is running. Without a CLIP, the prompt is ignored."""
    if judges["clip"] is None:
        about["prompt"] = None
    with tqdm(total=None, desc=label, bar_format="{desc} {elapsed}") as bar:
        return measure_video(
            frames,
            **judges,
            **about,
            motion=measures_flow(args),
            pairs=args.pairs,
            on_step=lambda step: bar.set_description(f"{label}: {step}"),
        )


def measures_flow(args: argparse.Namespace) -> bool:
    """Whether to measure the motion: as the option says, else if OpenCV is installed and loads."""
    from ..opencv import has_opencv

    return has_opencv() if args.flow is None else args.flow


def read_run(args: argparse.Namespace) -> list[float]:
    """The losses of the tuning run, if its state was given.

    Raises:
        ConfigError: it is no state of a run.
    """
    from ..tuning.state import read_losses

    try:
        return read_losses(args.state) if args.state else []
    except ConfigError as error:
        mend = "Give the state.safetensors that tune wrote beside the motion, or leave --state out."
        raise ConfigError(got=error.got, expected=error.expected, mend=mend) from error


def describe_settings(
    args: argparse.Namespace,
    clips: list[VideoClip],
    labels: list[str],
    prompts: list[str | None],
    tuned: MotionInfo | None,
) -> dict[str, dict[str, Any]]:
    """The tables under the charts of the page."""
    tables: dict[str, dict[str, Any]] = {}
    for clip, label, prompt in zip(clips, labels, prompts, strict=True):
        height, width = clip.frames.shape[1:3]
        shown = f"{clip.num_frames} frames, {width}x{height}, {clip.fps:g} frames per second"
        tables[f"Video: {label}"] = {"file": clip.path.name, "shown": shown} | ({"prompt": prompt} if prompt else {})
    weights = {"CLIP": args.clip_model, "DINO": args.dino, "source": args.source, "pairs of frames": args.pairs}
    tables["Measured with"] = {name: value for name, value in weights.items() if value is not None}
    if not measures_flow(args):
        tables["Measured with"]["motion"] = "not measured: left out, or OpenCV is not installed or does not load"
    if tuned is not None:
        tables["Motion"] = dataclasses.asdict(tuned)
    return tables
