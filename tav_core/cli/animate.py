"""The command `animate`, and edits that start from what it writes."""

from __future__ import annotations

import argparse
import json

from einops import repeat
from torch import Tensor

from ..checkpoints.load import Checkpoint
from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..errors import ClipError, ConfigError
from ..metrics.drift import measure_drift
from ..models.unet import InflatedUNet
from ..sampling.config import AnimationConfig, EditConfig
from ..sampling.from_animation import edit_animation
from ..sampling.step_time import count_animation
from ..tuning.motion import Motion
from ..version import __version__
from ..video.animate import animate
from ..video.clip import VideoClip, open_source
from ..video.config import AnimateConfig, CameraConfig
from ..video.mask import read_mask
from ..video.motion_path import check_path, parse_path
from ..video.write import check_video, write_video
from .controls import add_named_controls
from .inputs import check_room, encode, encode_clip, in_windows, load_denoiser, load_model, source_prompt, tell_time
from .needs import ANIMATE_NEEDS, check_edit_needs, check_needs
from .options.settings import read_settings
from .options.zero_shot import FPS
from .progress import counted_by, progress_bar, tell
from .video_files import edit_settings, prepare_videos, write_videos
from .whole_clip import read_whole

# Options of `edit` that say where else it should start, or what else it should restore.
OTHER_STARTS = (
    "trajectory",
    "blend",
    "free_noise",
    "scheduler",
    "inject",
    "flow_guided",
    "mask",
    "frames",
    "source",
    "local_prompt",
)


def run_animate(args: argparse.Namespace) -> None:
    """Moves an object of a picture or clip along a path, and the camera, and writes the frames."""
    check_needs(args, ANIMATE_NEEDS)
    points = parse_path(" ".join(args.path))
    path = check_path(points) if args.path else points
    camera = read_settings(args, CameraConfig)
    clip, config = read_scene(args)
    own = clip.fps if len(clip.frames) > 1 else FPS
    fps = own if args.fps is None else args.fps
    for file in filter(None, (args.out, args.out_mask)):
        check_video(file, fps=fps)
    mask = None if args.mask is None else read_mask(args.mask, clip)
    made = animate(clip.frames, mask, path, config=config, camera=camera, measure=measure_drift)
    about = {"animation of": args.clip.name, "path": path, **vars(config), **vars(camera)}
    about |= {"num_frames": len(made.frames), "tav_core": __version__}
    print(write_video(args.out, made.frames, fps=fps, comment=json.dumps(about, ensure_ascii=False)))
    if args.out_mask:
        print(write_video(args.out_mask, repeat(made.mask, "f h w -> f h w 3"), fps=fps))


def read_scene(args: argparse.Namespace) -> tuple[VideoClip, AnimateConfig]:
    """The picture or clip, and how to animate it: `--num-frames` are those of a clip, or those to make of a picture."""
    made = AnimateConfig().num_frames if args.num_frames is None else args.num_frames
    args.num_frames = 1 if args.still or len(open_source(args.clip).timeline) == 1 else args.num_frames
    clip = read_whole(args.clip, args)
    args.num_frames = made
    return clip, read_settings(args, AnimateConfig)


def run_edit_animation(args: argparse.Namespace) -> None:
    """Renders one video per prompt that moves as an animation does."""
    check_start(args)
    config, start = read_settings(args, EditConfig), read_settings(args, AnimationConfig, prefix="animation-")
    check_edit_needs(args)
    motion = Motion.load(args.motion) if args.motion else None
    clip = read_whole(args.animation, args)
    check_animated(args, clip)
    mask = None if args.animation_mask is None else read_mask(args.animation_mask, clip, may_be_faint=True)
    fps = clip.fps if args.fps is None else args.fps
    paths = prepare_videos(args, fps, height=clip.frames.shape[1], width=clip.frames.shape[2])
    checkpoint = load_model(args)
    negative = source_prompt(motion.info) if args.negative_source and motion else args.negative
    told, avoided = encode(args, checkpoint, args.prompt), encode(args, checkpoint, negative)
    latents = encode_clip(checkpoint, clip).mean
    if motion is None:
        denoiser = load_untuned(args, checkpoint, latents)
    else:
        # An animation is read from its beginning, however the motion's own clip was read.
        denoiser = load_denoiser(args, checkpoint, motion, latents, read_as=None)
    check_room(denoiser, latents, guided=config.guidance_scale > 1)
    tell_time(denoiser, latents, told, count_animation(denoiser, start, config, num_prompts=len(told)))
    if start.begin == "inverted":
        tell(f"inverting {clip.num_frames} frames")
    with progress_bar("edit", start.steps_of(config.num_steps) * len(args.prompt)) as bar:
        videos = edit_animation(
            denoiser, latents, told, avoided, mask=mask, start=start, config=config, on_step=counted_by(bar)
        )
    about = edit_settings(args, config) | {f"animation_{name}": value for name, value in vars(start).items()}
    about |= {"animation": args.animation.name, "negative": negative}
    for path in write_videos(args, paths, checkpoint, videos, fps=fps, about=about):
        print(path)


def load_untuned(args: argparse.Namespace, checkpoint: Checkpoint, latents: Tensor) -> Denoiser:
    """The checkpoint's UNet with attention across frames and nothing tuned, with the controls and windows asked for."""
    unet = InflatedUNet.from_2d(checkpoint.unet, temporal=False, group_norm="frame", backend=args.backend)
    denoiser = add_named_controls(args, UNetDenoiser(unet=unet, schedule=checkpoint.schedule), latents, None)
    return in_windows(args, denoiser)


def check_animated(args: argparse.Namespace, clip: VideoClip) -> None:
    """Raises `ClipError` for a picture in the place of an animation."""
    if len(clip.frames) == 1:
        raise ClipError(
            got=f"an animation of one frame, {args.animation}",
            expected="the frames that animate writes",
            mend="Run animate on the picture first, and give what it wrote.",
        )


def check_start(args: argparse.Namespace) -> None:
    """Raises `ConfigError` if the options name another start beside the animation, or what needs one."""
    given = [name for name in OTHER_STARTS if getattr(args, name)] + ["speed"] * (args.speed != 1)
    if given:
        of_preset = f" of --preset {args.preset}" if given[0] == "inject" and "inject" not in args.given else ""
        raise ConfigError(
            got=f"--{given[0].replace('_', '-')}{of_preset} with --animation",
            expected="one start: the animation, or an inversion, or random noise",
            mend="Leave one out. Masks, local prompts, injection and flow guidance go with an inversion: invert the "
            "animation first." + " --no-inject leaves out the preset's." * bool(of_preset),
        )
    if args.resample > 1:
        raise ConfigError(
            got=f"--resample {args.resample} with --animation",
            expected="1, because it is for the mask of an inverted clip",
            mend="Leave --resample out.",
        )
    if args.animation_mask and args.animation_begin == "inverted":
        raise ConfigError(
            got="--animation-mask with an animation that is inverted",
            expected="one that is noised, which is held inside the mask",
            mend="Leave the mask out, or add --animation-begin noised.",
        )
    if args.negative_source and not args.motion:
        raise ConfigError(
            got="--negative-source without --motion",
            expected="a motion, which knows the prompt of its clip",
            mend="Give the prompt yourself with --negative.",
        )
