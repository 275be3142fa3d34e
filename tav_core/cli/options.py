"""Groups of the command line's options; the defaults and help texts of settings come from their dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..denoisers.config import ControlConfig
from ..denoisers.windows import ContextWindows
from ..sampling.config import EditConfig, InjectionConfig, InvertConfig, LocalEditConfig
from ..sampling.presets import PRESETS, Preset
from ..video.config import ClipConfig

DEFAULT_TEXT = "TAV"

if TYPE_CHECKING:
    from ..tuning.motion_info import MotionInfo


def add_model(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "--model", "--sd", type=Path, required=required, help="checkpoint: a diffusers folder or a single file"
    )
    add_device(parser)
    add_vae(parser)
    parser.add_argument("--tokenizer", type=Path, help="folder with vocab.json and merges.txt, if the model has none")
    parser.add_argument(
        "--prediction-type",
        choices=("epsilon", "v_prediction"),
        help="what the UNet predicts, if the checkpoint does not say",
    )
    parser.add_argument(
        "--long-prompts",
        action="store_true",
        help="take prompts of more than 75 tokens, in parts of 75 as ComfyUI does",
    )


def add_lora(parser: argparse.ArgumentParser) -> None:
    """The option of LoRAs; invert and edit need those that tune had."""
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:SCALE]",
        help="a LoRA to put on the model, in kohya's, ComfyUI's, diffusers' or peft's layout, and how strong (default: "
        "1); may be given several times, and belongs to invert and edit as it does to tune",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where to compute, and in which precision."""
    parser.add_argument(
        "--dtype", choices=("fp32", "fp16", "bf16"), help="dtype of the weights (default: fp32 on a CPU)"
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best available)")
    parser.add_argument("--backend", choices=("sdpa", "xformers"), default="sdpa", help="attention implementation")


def add_vae(parser: argparse.ArgumentParser) -> None:
    """The option of a VAE of its own."""
    parser.add_argument(
        "--vae", type=Path, help="a VAE, as a file or folder, if the checkpoint has none or in place of its own"
    )


def add_motion(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--motion", type=Path, required=required, help="the motion file that tune wrote")
    parser.add_argument("--strength", type=float, default=1.0, help="strength of the tuned queries")
    parser.add_argument("--temporal-strength", type=float, default=1.0, help="strength of the temporal attention")


def add_clip(parser: argparse.ArgumentParser, *, tuned: bool = True) -> None:
    """The clip and how it is read."""
    parser.add_argument("--clip", type=Path, required=True, help="a video, GIF, WebP or a folder of pictures")
    add_clip_settings(parser, tuned=tuned)


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


def add_windows(parser: argparse.ArgumentParser) -> None:
    """The options for clips that are longer than the tuned one. Invert and edit need the same values."""
    parser.add_argument(
        "--context-length",
        type=int,
        default=0,
        help="frames in a context window, for example 16 (default: 0, no windows)",
    )
    add_setting(parser, ContextWindows, "overlap", prefix="context-")


def add_provenance(parser: argparse.ArgumentParser, *, noted: bool) -> None:
    """What the videos tell of how they were made.

    Args:
        noted: whether their settings are written into them unless the option says otherwise.
    """
    parser.add_argument(
        "--metadata",
        action=argparse.BooleanOptionalAction,
        default=noted,
        help=f"write prompt, settings and names of files into the videos, for info to read (default: {noted})",
    )
    parser.add_argument(
        "--watermark",
        nargs="?",
        const=DEFAULT_TEXT,
        default="",
        metavar="TEXT",
        help=f"hide a text of up to 6 letters in every frame, for info to read (default: none; without a TEXT, "
        f"{DEFAULT_TEXT})",
    )


def add_inversion(parser: argparse.ArgumentParser) -> None:
    """The options of an inversion: its prompt and its steps."""
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", default="", help="the prompt to invert under (default: the empty one)")
    prompt.add_argument(
        "--source-prompt", action="store_true", help="invert under the prompt that the motion was tuned with"
    )
    parser.add_argument(
        "--num-steps", type=int, default=EditConfig().num_steps, help="inversion steps; edit must use as many"
    )
    add_setting(parser, InvertConfig, "iterations")


class UsePreset(argparse.Action):
    """Makes a preset's settings the defaults of the command, from the next parse on."""

    def __init__(self, *args: Any, settings: Callable[[Preset], dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        setattr(namespace, self.dest, values)
        parser.set_defaults(**self.settings(PRESETS[values]))


def add_preset(parser: argparse.ArgumentParser, settings: Callable[[Preset], dict[str, Any]]) -> None:
    """The option --preset, which other options override."""
    sets = "; ".join(f"{goal}: {describe(settings(preset))}" for goal, preset in PRESETS.items())
    parser.add_argument(
        "--preset", choices=PRESETS, action=UsePreset, settings=settings, help=f"settings for a goal ({sets})"
    )


def describe(settings: dict[str, Any]) -> str:
    """Settings as they are written on the command line."""
    given = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
    words = {name: f" {value:g}" if isinstance(value, float) else f" {value}" for name, value in given.items()}
    return " ".join(name if given[name] is True else name + words[name] for name in given)


def add_early_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stop-early",
        metavar="PROMPT",
        help="stop when previews under this other prompt no longer improve; keep the best",
    )
    parser.add_argument("--clip-model", type=Path, help="CLIP weights that score previews: a folder or one file")
    parser.add_argument("--score-every", type=int, default=50, help="steps between scored previews (default: 50)")
    parser.add_argument(
        "--patience", type=int, default=2, help="scores without improvement before tuning stops (default: 2)"
    )


def add_local_edit(parser: argparse.ArgumentParser) -> None:
    """The options of editing a part of the clip. The source must be read as it was read for invert."""
    local = parser.add_argument_group("local edits", "what --mask and --frames leave out is restored from the source")
    local.add_argument("--mask", type=Path, help="where to edit, in white: a picture, a video or a folder of pictures")
    local.add_argument("--frames", help="first and last frame to edit, such as 4:12; counted from 0")
    for name in ("feather", "ramp"):
        add_setting(local, LocalEditConfig, name)
    local.add_argument(
        "--local-prompt",
        nargs=2,
        action="append",
        default=[],
        metavar=("PROMPT", "MASK"),
        help="a prompt for what is white in a mask, in place of --prompt there; may be given several times, one for "
        "each object, and each costs one more prediction per step",
    )
    local.add_argument("--source", type=Path, help="the clip that was inverted")
    add_clip_settings(local, "start", "stride", "fit", of="the source")


def add_control(parser: argparse.ArgumentParser) -> None:
    """The options of ControlNets and T2I-Adapters; the first values belong to the first net, and so on."""
    parser.add_argument(
        "--control",
        type=Path,
        action="append",
        default=[],
        help="ControlNet or T2I-Adapter, a folder or one file; may be given several times, with its video and settings",
    )
    parser.add_argument(
        "--control-video", type=Path, action="append", default=[], help="its video of depth, edges, poses ..."
    )
    add_settings(parser, ControlConfig, prefix="control-", action="append", default=[])
    parser.add_argument(
        "--control-first-frame", type=int, help="first frame of the control videos (default: the clip's)"
    )
    parser.add_argument("--control-stride", type=int, help="step between their frames (default: the clip's)")


def add_injection(parser: argparse._ActionsContainer) -> None:
    """The options of injection: `--inject`, and each setting's name after `--inject-`."""
    parser.add_argument(
        "--inject",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="keep the source's layout (Plug-and-Play); sampling takes up to 50 %% longer",
    )
    add_settings(parser, InjectionConfig, prefix="inject-")


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


def read_clip_config(args: argparse.Namespace, tuned: MotionInfo | None = None, **known: Any) -> ClipConfig:
    """How to read a clip: from the known settings, else the options, else the motion, else the defaults.

    Args:
        tuned: the motion's information; 0 and "" mean that it is not recorded.
        known: settings that override the options; None for settings that are not known.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(ClipConfig):
        name = field.name
        said = (known.get(name), getattr(args, name, None), getattr(tuned, name, None) or None, field.default)
        found[name] = next(value for value in said if value is not None)
    return ClipConfig(**found)


def read_settings(args: argparse.Namespace, config: type, *, prefix: str = "") -> Any:
    """Builds a settings dataclass from parsed options. An option that is None has the setting's default."""
    start = prefix.replace("-", "_")
    values = {field.name: getattr(args, start + field.name) for field in dataclasses.fields(config)}
    given = {name: value for name, value in values.items() if value is not None}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
