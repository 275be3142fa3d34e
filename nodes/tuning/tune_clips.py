"""Tune Several Clips: what two to five clips have in common, how they move; what each looks like becomes a LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ...tav_core.atomic_files import check_output
from ...tav_core.errors import ConfigError
from ...tav_core.tuning.config import APPEARANCE_RANK, SEVERAL, TuneConfig
from ..core.interrupt import interruptible
from ..sockets.folders import look_path, motion_path, run_path
from ..sockets.graph import QUEUED, explain
from ..sockets.show_text import warn
from ..sockets.told import Told
from ..sockets.widgets import CATEGORY, Motion, TuneOptionsType, schema, seed_widget, widget
from .queue_checks import check_queued, note_written, times_lost
from .tune import NO_PROMPT, check_frames, check_run, draw_run, has_no_prompt, read_prompts
from .tune_options import GROUPS

if TYPE_CHECKING:
    from torch import Tensor

    from ..core.preview import Prompts

SLOTS = "abcde"
NEEDED = "ab"
# What a run on several clips decides itself, and what Tune Options says of it if nothing was changed there.
OWN = {"modules": next(iter(GROUPS.values())), "query_rank": -1, "window": 0, "appearance_debias": 0.0}
DEFAULTS = {name: getattr(SEVERAL, name) for name in OWN}


class TuneClips(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVTuneClips",
            display_name="Training: Tune Several Clips",
            category=CATEGORY,
            advanced=("precision", "save_every", "appearance_rank", "low_rank_learning_rate"),
            description=(
                "Tunes on two to five clips of one motion that look different (MotionDirector). The motion is what "
                "they share; what each looks like is kept apart, and written to output/loras as an ordinary LoRA. "
                "A cancelled run resumes where it stopped when it is queued again."
            ),
            search_aliases=["motion director", "train", "several clips", "motion lora", "many clips", "one motion"],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Stable Diffusion 1.x, 2.x or XL, with or without LoRAs. This MODEL is not changed.",
                ),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                *(frames_input(slot) for slot in NEEDED),
                io.Conditioning.Input(
                    "positive_a", tooltip="A prompt that describes clip a; also the others, if they have none."
                ),
                widget(TuneConfig, "num_steps", default=SEVERAL.num_steps, tooltip="Steps; each takes one clip."),
                widget(TuneConfig, "learning_rate", default=SEVERAL.learning_rate, step=1e-6),
                seed_widget(
                    TuneConfig,
                    "tune_seed",
                    "Determines the clip, the noise and the timestep that each step learns from.",
                ),
                widget(TuneConfig, "precision"),
                widget(TuneConfig, "memory"),
                io.Int.Input(
                    "preview_every",
                    default=100,
                    min=0,
                    max=100_000,
                    tooltip="Steps between previews of clip a, each as long as about ten steps; 0 turns them off.",
                ),
                widget(TuneConfig, "save_every"),
                io.String.Input(
                    "run_name",
                    default="my_shared_motion",
                    tooltip="Name of the run, of its file in models/tav_motion, and of the LoRAs in output/loras.",
                ),
                widget(TuneConfig, "resume"),
                io.Int.Input(
                    "appearance_rank",
                    default=APPEARANCE_RANK,
                    min=1,
                    max=1024,
                    tooltip="Rank of each LoRA of looks. MotionDirector's is 32.",
                ),
                widget(
                    TuneConfig,
                    "low_rank_learning_rate",
                    step=1e-6,
                    tooltip="AdamW's learning rate of the looks (MotionDirector's).",
                ),
                *(frames_input(slot) for slot in SLOTS if slot not in NEEDED),
                *(prompt_input(slot) for slot in SLOTS[1:]),
                TuneOptionsType.Input("options", optional=True, tooltip="From Tune Options."),
                io.Conditioning.Input(
                    "preview_positive",
                    optional=True,
                    tooltip="An edited prompt for the previews. Without it, they use that of clip a.",
                ),
                io.Conditioning.Input(
                    "preview_negative",
                    optional=True,
                    tooltip="The empty prompt. Without it, previews are rendered without guidance.",
                ),
            ],
            outputs=[
                Motion.Output("motion", display_name="motion", tooltip="For Apply Motion."),
                io.Image.Output("loss_plot", display_name="loss plot", tooltip="A chart of the loss at every step."),
                io.String.Output(
                    "looks",
                    display_name="looks",
                    is_output_list=True,
                    tooltip="The LoRAs of the clips' looks, as Load LoRA lists them after you press R.",
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        model: Any,
        vae: Any,
        preview_every: int,
        run_name: str,
        tune_seed: int,
        appearance_rank: int,
        options: dict[str, Any] | None = None,
        preview_positive: list | None = None,
        preview_negative: list | None = None,
        **given: Any,
    ) -> io.NodeOutput:
        from ..core.preview import Preview
        from ..core.tuning import tune_clips_model
        from .cockpit import Cockpit

        clips = {slot: given.pop(f"frames_{slot}", None) for slot in SLOTS}
        positives = {slot: given.pop(f"positive_{slot}", None) for slot in SLOTS}
        check_clips(clips, positives)
        there = [slot for slot in SLOTS if clips[slot] is not None]
        options = options or {"tuning": {}, "modes": {}}
        config = TuneConfig(**{**own_options(options["tuning"]), "seed": tune_seed, **DEFAULTS, **given})
        check_run(run_name, config.resume)
        for slot in there:
            check_output(look_path(run_name, slot))
        prompts = read_all(model, {slot: clips[slot] for slot in there}, positives, preview_positive, preview_negative)
        shown = Preview(vae, model, prompts[0]) if preview_every and config.memory != "low" else None
        cockpit = Cockpit(cls.hidden.unique_id, config.num_steps, shown, preview_every, resume=config.resume)
        if has_no_prompt(cls.hidden.prompt, cls.hidden.unique_id, "positive_a"):
            warn(cls, NO_PROMPT.replace("positive", "positive_a"))
        run = {"config": config, "modes": options["modes"], "state_path": run_path(run_name), "watcher": cockpit}
        with cockpit.watching():
            learned = tune_clips_model(
                model, vae, [clips[slot] for slot in there], prompts, appearance_rank=appearance_rank, **run
            )
        learned.motion.save(motion_path(run_name))
        looks = save_looks(run_name, dict(zip(there, learned.appearances, strict=True)))
        note_written(run_name, *(look_path(run_name, slot) for slot in there))
        chart = draw_run(cockpit, run_name)
        return io.NodeOutput(learned.motion, chart, looks, ui=ui.PreviewImage(chart, cls=cls))

    @classmethod
    def validate_inputs(cls, run_name: Any = None) -> bool | str:
        return explain(lambda: check_queued(QUEUED.get(), cls.hidden.unique_id, run_name))

    @classmethod
    def fingerprint_inputs(cls, run_name: Any = None, **given: Any) -> int:
        return times_lost(run_name) if isinstance(run_name, str) else 0


def frames_input(slot: str) -> io.Input:
    return io.Image.Input(
        f"frames_{slot}",
        optional=slot not in NEEDED,
        tooltip=f"Clip {slot} from Load Clip. All clips have one length and size.",
    )


def prompt_input(slot: str) -> io.Input:
    return io.Conditioning.Input(
        f"positive_{slot}", optional=True, tooltip=f"A prompt that describes clip {slot}; without it, that of clip a."
    )


def check_clips(clips: Mapping[str, Tensor | None], positives: Mapping[str, list | None]) -> None:
    """Checks that each clip can be tuned on, and that each prompt has a clip.

    Raises:
        ClipError: see `check_frames`.
        ConfigError: there is a prompt of a clip that is not connected.
    """
    for slot, frames in clips.items():
        if frames is not None:
            check_frames(frames, f"frames_{slot}")
        elif positives[slot] is not None:
            raise ConfigError(
                got=f"positive_{slot} without frames_{slot}",
                expected="the clip that the prompt describes",
                mend=f"Connect frames_{slot}, or disconnect positive_{slot}.",
            )


def own_options(tuning: Mapping[str, Any]) -> dict[str, Any]:
    """What Tune Options says for a run on several clips.

    Raises:
        ConfigError: it says what such a run decides itself.
    """
    for name, unchanged in OWN.items():
        if tuning.get(name, unchanged) != unchanged:
            raise ConfigError(
                got=f"{name} in Tune Options for a run on several clips",
                expected="its default: such a run trains the temporal layers and the looks, on whole clips",
                mend=f"Set {name} back in Tune Options, or use One-Shot Tune.",
            )
    return {name: value for name, value in tuning.items() if name not in OWN}


def read_all(
    model: Any,
    clips: Mapping[str, Tensor],
    positives: Mapping[str, list | None],
    preview_positive: list | None,
    preview_negative: list | None,
) -> list[Prompts]:
    """The prompts of each clip; those of the previews stand with all."""
    _, height, width, _ = clips["a"].shape
    told = Told.of(model, height=height, width=width)
    previews = (preview_positive, preview_negative)
    slots = [slot if positives[slot] is not None else "a" for slot in clips]
    return [read_prompts(told, positives[slot], *previews, socket=f"positive_{slot}") for slot in slots]


def save_looks(run_name: str, looks: Mapping[str, Mapping[str, tuple[Tensor, Tensor]]]) -> list[str]:
    """Writes a LoRA of each clip's looks; their names, as Load LoRA lists them."""
    import torch

    from ...tav_core.tuning.appearance import save_lora

    return [save_lora(look_path(run_name, slot), look, dtype=torch.float16).name for slot, look in looks.items()]
