"""Groups of the command line's options; the settings' defaults and help come from their dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..denoisers.config import ControlConfig
from ..denoisers.windows import ContextWindows
from ..sampling.config import EditConfig, InjectionConfig, InvertConfig, LocalEditConfig
from ..sampling.presets import PRESETS, Preset
from ..video.config import ClipConfig

if TYPE_CHECKING:
    from ..tuning.motion_info import MotionInfo


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="checkpoint: a diffusers folder or a single file")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), help="of the weights (default: fp32 on a CPU)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with vocab.json and merges.txt, where the model has none"
    )
    parser.add_argument("--prediction-type", choices=("epsilon", "v_prediction"), help="where the model does not say")
    parser.add_argument("--backend", choices=("sdpa", "xformers"), default="sdpa", help="attention implementation")


def add_motion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--motion", type=Path, required=True, help="file written by tune")
    parser.add_argument("--strength", type=float, default=1.0, help="of the tuned queries")
    parser.add_argument("--temporal-strength", type=float, default=1.0, help="of the temporal attention")


def add_clip(parser: argparse.ArgumentParser, *, tuned: bool = True) -> None:
    """The clip and how it is read."""
    parser.add_argument("--clip", type=Path, required=True, help="a video, GIF, WebP or a folder of pictures")
    add_clip_settings(parser, tuned=tuned)


def add_clip_settings(parser: argparse._ActionsContainer, *names: str, of: str = "", tuned: bool = True) -> None:
    """Options of `ClipConfig`, for `read_clip_config`. None means: as the motion was tuned, or the default.

    Args:
        names: of the settings; none for all of them.
        of: what is read, if not the clip.
        tuned: whether there is a motion, which says how its clip was read.
    """
    for field in dataclasses.fields(ClipConfig):
        if names and field.name not in names:
            continue
        whose, else_as = f"of {of}; " if of else "", "as tuned, or " if tuned else ""
        help = f"{field.metadata['help']} ({whose}default: {else_as}{field.default})"
        add_setting(parser, ClipConfig, field.name, default=None, help=help)


def add_windows(parser: argparse.ArgumentParser) -> None:
    """The options of clips that are longer than what was tuned on. Invert and edit must have the same."""
    parser.add_argument(
        "--context-length", type=int, default=0, help="frames of a context window, 16 for example (default: 0, none)"
    )
    add_setting(parser, ContextWindows, "overlap", prefix="context-")


def add_inversion(parser: argparse.ArgumentParser) -> None:
    """What to invert under, and how finely."""
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", default="", help="the prompt to invert under (default: the empty one)")
    prompt.add_argument("--source-prompt", action="store_true", help="the prompt the motion was tuned under")
    parser.add_argument("--num-steps", type=int, default=EditConfig().num_steps, help="as many as edit will use")
    add_setting(parser, InvertConfig, "iterations")


class UsePreset(argparse.Action):
    """Makes what a preset sets the command's defaults. They hold from the next parse on."""

    def __init__(self, *args: Any, settings: Callable[[Preset], dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        setattr(namespace, self.dest, values)
        parser.set_defaults(**self.settings(PRESETS[values]))


def add_preset(parser: argparse.ArgumentParser, settings: Callable[[Preset], dict[str, Any]]) -> None:
    """The option of a preset, which other options overrule."""
    sets = "; ".join(f"{goal}: {describe(settings(preset))}" for goal, preset in PRESETS.items())
    parser.add_argument("--preset", choices=PRESETS, action=UsePreset, settings=settings, help=f"by goal ({sets})")


def describe(settings: dict[str, Any]) -> str:
    """Options as they are written."""
    given = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
    return " ".join(name if value is True else f"{name} {value:g}" for name, value in given.items())


def add_early_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stop-early", metavar="PROMPT", help="end when previews under this other prompt get no better; the best stays"
    )
    parser.add_argument("--clip-model", type=Path, help="CLIP weights that score previews: a folder or one file")
    parser.add_argument("--score-every", type=int, default=50, help="steps between scored previews (default: 50)")
    parser.add_argument("--patience", type=int, default=2, help="scores that may be no better (default: 2)")


def add_local_edit(parser: argparse.ArgumentParser) -> None:
    """The options of editing a part of the clip. Those of the source are as invert had them."""
    local = parser.add_argument_group("local edits", "what is left out comes back from the source")
    local.add_argument("--mask", type=Path, help="where to edit, in white: a picture, or a video or folder of them")
    local.add_argument("--frames", help="first and last frame to edit, as in 4:12; counted from 0")
    for name in ("feather", "ramp"):
        add_setting(local, LocalEditConfig, name)
    local.add_argument("--source", type=Path, help="the clip that was inverted")
    add_clip_settings(local, "start", "stride", "fit", of="the source")


def add_control(parser: argparse.ArgumentParser) -> None:
    """The options of ControlNets and T2I-Adapters: the first of each belong together, then the second."""
    parser.add_argument(
        "--control",
        type=Path,
        action="append",
        default=[],
        help="ControlNet or T2I-Adapter, a folder or one file; may be given several times, as what follows",
    )
    parser.add_argument("--control-video", type=Path, action="append", default=[], help="depth, edges, poses ...")
    add_settings(parser, ControlConfig, prefix="control-", action="append", default=[])
    parser.add_argument("--control-first-frame", type=int, help="of the control videos (default: the clip's)")
    parser.add_argument("--control-stride", type=int, help="between frames of the control videos (default: the clip's)")


def add_injection(parser: argparse.ArgumentParser) -> None:
    """The options of injection, `--inject-` before each setting's name."""
    parser.add_argument(
        "--inject",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="keep the source's layout (Plug-and-Play); takes up to half as long again",
    )
    parser.add_argument(
        "--inject-prompt", default="", help="the prompt that the clip was inverted under (default: the empty one)"
    )
    add_settings(parser, InjectionConfig, prefix="inject-")


def add_settings(parser: argparse._ActionsContainer, config: type, **how: Any) -> None:
    """One option for each field of a settings dataclass; see `add_setting`."""
    for field in dataclasses.fields(config):
        add_setting(parser, config, field.name, **how)


def add_setting(
    parser: argparse._ActionsContainer, config: type, name: str, *, prefix: str = "", **changes: Any
) -> None:
    """The option of one setting, with its default, choices and help.

    Args:
        prefix: of the option's name.
        changes: anything to tell argparse otherwise.
    """
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    about: dict[str, Any] = {"help": f"{field.metadata['help']} (default: {field.default})", "default": field.default}
    if isinstance(field.default, bool):
        about["action"] = argparse.BooleanOptionalAction
    elif isinstance(field.default, tuple):
        about |= {"nargs": "+", "type": type(field.default[0])}
    else:
        about |= {"type": type(field.default), "choices": field.metadata["choices"] or None}
    parser.add_argument(f"--{prefix}{name.replace('_', '-')}", **{**about, **changes})


def read_clip_config(args: argparse.Namespace, tuned: MotionInfo | None = None, **known: Any) -> ClipConfig:
    """How to read a clip: as is known, else by the options, else as a motion was tuned, else by the defaults.

    Args:
        tuned: what the motion says of itself; 0 and "" are what it does not know.
        known: settings that go before the options; None for those that are not known.
    """
    found = {}
    for field in dataclasses.fields(ClipConfig):
        name = field.name
        said = (known.get(name), getattr(args, name, None), getattr(tuned, name, None) or None, field.default)
        found[name] = next(value for value in said if value is not None)
    return ClipConfig(**found)


def read_settings(args: argparse.Namespace, config: type, *, prefix: str = "") -> Any:
    """A settings dataclass from parsed options."""
    start = prefix.replace("-", "_")
    values = {field.name: getattr(args, start + field.name) for field in dataclasses.fields(config)}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
