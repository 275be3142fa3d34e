"""Which figures a command asks for: every combination of the values given for each setting, and the defaults.

To add a setting, add a field to `Case` and use it where the workload is built (workload.py). The option `--name`, which
takes one or more values, is made from the field.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any

import torch

from tav_core.settings import check_settings, setting
from tav_core.tuning.config import RECOMPUTE

from .sizes import SIZES

# The optional settings that a stage's time depends on. The others have no effect on it.
UNET = frozenset({"backend", "compile"})
TUNING = frozenset({"recompute", *UNET})
USES = {
    "forward": UNET,
    "guided-step": UNET,
    "tune-step": TUNING,
    "invert": UNET | {"num_steps"},
    "edit": UNET | {"num_steps"},
    "encode": frozenset(),
    "decode": frozenset(),
    "job": TUNING | {"num_steps", "tune_steps"},
}
OPTIONAL = frozenset().union(*USES.values())


@dataclass(frozen=True, kw_only=True)
class Case:
    """One figure: what is timed, and under which settings.

    Raises:
        ConfigError: a setting is out of its range; the first such setting is named.
    """

    size: str = setting("demo", "The model.", choices=tuple(SIZES))
    stage: str = setting("forward", "What is timed.", choices=tuple(USES))
    device: str = setting("cpu", "The device. Default: the GPU if there is one.", choices=("cpu", "cuda"))
    dtype: str = setting(
        "fp32", "The weights' dtype. Default: fp32 on a CPU, else bf16.", choices=("fp32", "fp16", "bf16")
    )
    num_frames: int = setting(8, "Frames in the clip. Default: the model size's own.", low=1)
    pixels: int = setting(512, "Width and height of the clip. Default: the model size's own.", low=8)
    num_steps: int = setting(50, "Steps of inversion and edit. Default: 5 on a CPU, 50 on a GPU.", low=1, high=999)
    tune_steps: int = setting(500, "Tuning steps of the job. Default: 5 on a CPU, 500 on a GPU.", low=1)
    backend: str = setting("sdpa", "The attention backend.", choices=("sdpa", "xformers"))
    recompute: str = setting(
        "auto",
        "Which activations tuning recomputes instead of storing; nothing means no checkpointing, auto decides by the "
        "free memory. Default: a tuning step is timed with nothing and with blocks, a job with auto.",
        choices=("auto", *RECOMPUTE),
    )
    compile: bool = setting(False, "Compile the UNet with torch.compile: on, off. The warm-up is reported separately.")
    channels_last: bool = setting(False, "Keep weights in the channels-last memory format: on, off.")
    limit_gb: int = setting(0, "GPU memory the process may use, in GB; 0 means all of it.", low=0)
    threads: int = setting(1, "CPU threads. Default: as many as PyTorch uses.", low=1)
    runs: int = setting(3, "Timed runs after a warm-up; 1 means no warm-up, unless compiled.", low=1)

    def __post_init__(self) -> None:
        check_settings(self)

    def describe(self) -> str:
        """The settings that differ from the plain ones, in short form for the table."""
        words = [self.dtype] if self.dtype != "fp32" else []
        words += [self.backend] if self.backend != "sdpa" else []
        words += [name for name in ("compile", "channels_last") if getattr(self, name)]
        words += [f"{self.limit_gb} GB at most"] if self.limit_gb else []
        words += [f"recompute {self.recompute}"] if "recompute" in USES[self.stage] else []
        return ", ".join([*words, f"{self.threads} thread{'s' * (self.threads > 1)}"])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds one option per setting; each takes several values, and every combination is timed."""
    for field in fields(Case):
        kind = {"int": int, "bool": on_or_off}.get(field.type, str)
        names = ["--" + field.name.replace("_", "-")]
        if field.name in ("size", "stage"):
            names.append(names[0] + "s")
        parser.add_argument(
            *names,
            nargs="+",
            type=kind,
            dest=field.name,
            choices=field.metadata["choices"] or None,
            metavar=None if field.metadata["choices"] else field.name.upper(),
            help=field.metadata["help"],
        )


def on_or_off(word: str) -> bool:
    """Parses a command-line switch."""
    if word not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither on nor off")
    return word == "on"


def list_cases(options: dict[str, Sequence[Any] | None]) -> list[Case]:
    """Every combination of the given values, each once; None means the default for the size, stage and device."""
    gpu = torch.cuda.is_available()
    sizes = options.get("size") or (list(SIZES) if gpu else ["demo", "small"])
    found = []
    for size, stage, device in product(
        sizes, options.get("stage") or list(USES), options.get("device") or ["cuda" if gpu else "cpu"]
    ):
        found += combine(size, stage, device, options)
    return list(dict.fromkeys(found))


def combine(size: str, stage: str, device: str, options: dict[str, Sequence[Any] | None]) -> Iterator[Case]:
    """The combinations of one size, stage and device. What the stage does not use keeps one value."""
    values = {}
    for name, default in defaults(size, stage, device).items():
        unused = name in OPTIONAL - USES[stage]
        values[name] = default if unused or not options.get(name) else options[name]
    for chosen in product(*values.values()):
        yield Case(size=size, stage=stage, device=device, **dict(zip(values, chosen, strict=True)))


def defaults(size: str, stage: str, device: str) -> dict[str, list]:
    """The values timed when the command gives none; each value makes a figure of its own."""
    cpu, own = device == "cpu", SIZES[size]
    return {
        "dtype": ["fp32" if cpu else "bf16"],
        "num_frames": [own.num_frames[not cpu]],
        "pixels": [own.pixels],
        "num_steps": [5 if cpu else 50],
        "tune_steps": [5 if cpu else 500],
        "backend": ["sdpa"],
        "recompute": ["nothing", "blocks"] if stage == "tune-step" else ["auto"],
        "compile": [False],
        "channels_last": [False],
        "limit_gb": [0],
        "threads": [torch.get_num_threads()],
        "runs": [own.runs if cpu else 5],
    }


def as_record(case: Case) -> dict[str, Any]:
    """The settings to record with a figure, without those that its stage does not use."""
    return {name: value for name, value in asdict(case).items() if name not in OPTIONAL - USES[case.stage]}


def from_record(record: dict[str, Any]) -> Case:
    """A case from its record."""
    return replace(Case(), **record)
