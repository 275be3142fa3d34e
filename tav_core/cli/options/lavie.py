"""The options of LaVie's commands; the defaults and help texts of settings come from their dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ...sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig
from ...tuning.video_layers.config import VideoLayersConfig
from .groups import add_device, add_model, add_output
from .settings import add_clip_settings, add_setting, add_settings


class UseLaVie(argparse.Action):
    """Makes LaVie's settings the defaults of the command, from the next parse on."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        setattr(namespace, self.dest, values)
        parser.set_defaults(**lavie_defaults())


def lavie_defaults() -> dict[str, Any]:
    """The settings of `generate` with LaVie's base; read without building them, which would import PyTorch."""
    return {field.name: field.default for field in dataclasses.fields(TextToVideoConfig)}


def add_lavie(parser: argparse.ArgumentParser) -> None:
    """The options of `generate` with LaVie's base, whose settings have other defaults."""
    defaults = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in lavie_defaults().items())
    lavie = parser.add_argument_group("LaVie", "a video model of its own, on the VAE and text encoder of --model")
    lavie.add_argument(
        "--lavie", type=Path, action=UseLaVie, help=f"lavie_base.pt, or converted; the defaults are then {defaults}"
    )
    add_setting(lavie, TextToVideoConfig, "sampler", default=None)


def add_interpolate(parser: argparse.ArgumentParser) -> None:
    """The options of three new frames between each two."""
    add_model(parser)
    parser.add_argument("--lavie", type=Path, required=True, help="lavie_interpolation.pt, or converted")
    add_whole_clip(parser, InterpolateConfig, fps="four times the clip's, so that it takes as long")


def add_upscale(parser: argparse.ArgumentParser) -> None:
    """The options of a video four times as wide and high."""
    parser.add_argument("--lavie", type=Path, required=True, help="lavie_vsr.pt, or converted")
    parser.add_argument(
        "--upscaler",
        type=Path,
        required=True,
        help="stable-diffusion-x4-upscaler, a folder or x4-upscaler-ema.safetensors, for its VAE and text encoder",
    )
    add_device(parser)
    add_whole_clip(parser, UpscaleConfig, fps="the clip's")
    parser.add_argument(
        "--model-colors", action="store_true", help="leave colors as the model draws them; by default the clip's stay"
    )


def add_train_video(parser: argparse.ArgumentParser) -> None:
    """The options of a training of LaVie's base on clips and pictures."""
    add_model(parser)
    parser.add_argument("--lavie", type=Path, required=True, help="lavie_base.pt, or converted: where to start from")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of clips and pictures, each beside its caption NAME.txt, or with metadata.jsonl",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for lavie_base.safetensors and the training's state"
    )
    add_settings(parser, VideoLayersConfig)


def add_convert(parser: argparse.ArgumentParser) -> None:
    """The options of a conversion to safetensors."""
    parser.add_argument("path", type=Path, help="lavie_base.pt, lavie_interpolation.pt or lavie_vsr.pt")
    parser.add_argument("--out", type=Path, required=True, help="the new file, .safetensors")
    parser.add_argument(
        "--dtype", choices=("fp32", "fp16", "bf16"), help="dtype of the weights (default: as in the file)"
    )


def add_whole_clip(parser: argparse.ArgumentParser, config: type, *, fps: str) -> None:
    """The clip, at its own size and length unless told otherwise, and what is made of it.

    Args:
        config: the settings of how.
        fps: see `add_output`.
    """
    parser.add_argument("--clip", type=Path, required=True, help="a video, GIF, WebP or a folder of pictures")
    parser.add_argument("--prompt", help="what it shows (default: its file's name, as in the original)")
    parser.add_argument("--num-frames", type=int, help="frames to take (default: all)")
    for side in ("width", "height"):
        parser.add_argument(f"--{side}", type=int, help=f"{side} to read it at, a multiple of 8 (default: its own)")
    add_clip_settings(parser, "start", "stride", "fit", tuned=False)
    add_settings(parser, config)
    add_output(parser, fps=fps, what="video, which is named after the clip")
