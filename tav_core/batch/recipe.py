"""How every clip of a batch is tuned, inverted, edited and scored: all settings but those that the list has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from ..metrics.scores import PAIRS
from ..models.attention_modes import GROUP_NORMS, MODES, POSITIONS, TEMPORAL_BLOCKS
from ..sampling.config import EditConfig, InjectionConfig, InvertConfig, LocalEditConfig
from ..settings import as_json, check_settings, setting
from ..tuning.config import TuneConfig

FORMATS = ("mp4", "png")
MODE_NAMES = ("attention", "attention_k", "positions", "temporal", "group_norm")
CONFIGS = {"tuning": TuneConfig, "inversion": InvertConfig, "sampling": EditConfig, "local": LocalEditConfig}


@dataclass(frozen=True, kw_only=True)
class Modes:
    """How the model is inflated, and in what it is computed. The defaults are those of the command `tune`.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    attention: str = setting("sparse_causal", "Which frames a frame attends to.", choices=MODES)
    attention_k: int = setting(2, "How far back sparse_causal_k also attends, in frames.", low=1)
    positions: str = setting("none", "Position encoding of frames in temporal attention.", choices=POSITIONS)
    temporal: str = setting(
        "auto",
        "The transformer blocks that get temporal attention; auto is the last of each transformer for SDXL.",
        choices=("auto", *TEMPORAL_BLOCKS),
    )
    group_norm: str = setting(
        "frame", "What group norms take their statistics over; clip is the original's.", choices=GROUP_NORMS
    )
    context_length: int = setting(0, "Frames in a context window, for long clips; 0 for none.", low=0)
    context_overlap: int = setting(4, "Frames that neighbouring windows share.", low=0)
    format: str = setting("mp4", "Format of the videos; png makes a folder of pictures each.", choices=FORMATS)
    pairs: str = setting("all", "Pairs of frames that frame consistency compares.", choices=PAIRS)
    threads: int = setting(
        0, "Threads of PyTorch on a CPU in each job; 0 leaves it to PyTorch. Equal numbers give equal bytes.", low=0
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a batch.

    Args:
        model: the checkpoint, a folder or a file.
        loras: files of the LoRAs on it, with how strong each is.
        start_from: a motion that every tuning starts from; "" for zero.
        vae, tokenizer, prediction_type: see `load_checkpoint`; "" for the checkpoint's own.
        device, dtype: where to compute, and in which dtype; "" for the best.
        backend: the attention's implementation.
        long_prompts: see `encode_prompt`.
        source_prompt: whether to invert under the clip's prompt, in place of the empty one.
        modes: see `Modes`.
        tuning, inversion, sampling, local: of the stages. The number of inversion steps is that of the sampling.
        injection: how edits keep the source's layout; None for edits that need not.
        clip_model, dino, pick_score: weights of judges; "" for none.
        flow: whether to measure the motion.
        low_memory: whether memory ran out before.
    """

    model: str
    loras: Mapping[str, float] = field(default_factory=dict)
    start_from: str = ""
    vae: str = ""
    tokenizer: str = ""
    prediction_type: str = ""
    device: str = ""
    dtype: str = ""
    backend: str = "sdpa"
    long_prompts: bool = False
    source_prompt: bool = False
    modes: Modes = field(default_factory=Modes)
    tuning: TuneConfig = field(default_factory=TuneConfig)
    inversion: InvertConfig = field(default_factory=InvertConfig)
    sampling: EditConfig = field(default_factory=EditConfig)
    local: LocalEditConfig = field(default_factory=LocalEditConfig)
    injection: InjectionConfig | None = None
    clip_model: str = ""
    dino: str = ""
    pick_score: str = ""
    flow: bool = True
    low_memory: bool = False

    def __post_init__(self) -> None:
        if 0 < self.modes.context_length <= self.modes.context_overlap:
            raise ConfigError(
                got=f"context windows of {self.modes.context_length} that overlap by {self.modes.context_overlap}",
                expected="an overlap that is shorter",
                mend="Use a length of 16 and an overlap of 4.",
            )

    @property
    def files(self) -> dict[str, str]:
        """The files that results depend on, by the setting's name; those that are not given are left out."""
        names = ("model", "vae", "tokenizer", "start_from", "clip_model", "dino", "pick_score")
        given = {name: getattr(self, name) for name in names if getattr(self, name)}
        return given | {f"LoRA {path}": path for path in self.loras}

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values, for `from_json`."""
        return as_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """What `as_json` gave."""
        kinds = {**CONFIGS, "modes": Modes, "injection": InjectionConfig}
        configs = {name: kind(**tuples(values[name])) for name, kind in kinds.items() if values[name] is not None}
        return cls(**{**values, **configs})


def tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from JSON, which has lists for tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
