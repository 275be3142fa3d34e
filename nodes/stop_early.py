"""Stop Early: a tuning that ends once its previews get no better, and keeps the best motion."""

from __future__ import annotations

from typing import Any, NamedTuple

from comfy_api.latest import io

from ..tav_core.errors import ConfigError
from .judges import NONE, list_clips
from .widgets import CATEGORY, EarlyStopType, schema


class PreviewJudge(NamedTuple):
    """What previews are scored by.

    Args:
        clip_model: a name that the lists of `judges` give.
        prompt: what previews show.
        source_prompt: what is tuned on.
        patience: scores in a row that may be no better than the best.
    """

    clip_model: str
    prompt: str
    source_prompt: str
    patience: int


class StopEarly(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVStopEarly",
            display_name="Stop Early (Tune-A-Video)",
            category=CATEGORY,
            description=(
                "Tuned for too long, a model copies its clip and no longer follows an edited prompt. With this, "
                "One-Shot Tune scores each preview by your CLIP, ends when they get no better, and keeps the best "
                "motion."
            ),
            search_aliases=["early stopping", "overfitting", "best checkpoint", "patience"],
            inputs=[
                io.Combo.Input(
                    "clip_model",
                    options=list_clips(),
                    default=NONE,
                    tooltip="A whole CLIP: a transformers folder in models/clip_vision or models/diffusers, or a file.",
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What the previews should show: the text behind preview_positive of One-Shot Tune.",
                ),
                io.String.Input(
                    "source_prompt",
                    default="",
                    multiline=True,
                    tooltip="What the clip shows: the text behind positive of One-Shot Tune.",
                ),
                io.Int.Input(
                    "patience",
                    default=2,
                    min=1,
                    max=1000,
                    tooltip="Previews in a row that may be no better than the best before the run ends.",
                ),
            ],
            outputs=[EarlyStopType.Output("stop_early", display_name="stop early", tooltip="For One-Shot Tune.")],
        )

    @classmethod
    def execute(cls, clip_model: str, prompt: str, source_prompt: str, patience: int) -> io.NodeOutput:
        judge = PreviewJudge(clip_model, prompt.strip(), source_prompt.strip(), patience)
        check_judge(judge)
        return io.NodeOutput(judge)


def check_judge(judge: PreviewJudge) -> None:
    """Checks that previews can be told from the source.

    Raises:
        ConfigError: no CLIP, or not two prompts that differ.
    """
    if judge.clip_model == NONE:
        raise ConfigError(
            got="clip_model 'none'", expected="a whole CLIP that previews are scored by", mend="Choose a clip_model."
        )
    if not judge.prompt or not judge.source_prompt or judge.prompt == judge.source_prompt:
        raise ConfigError(
            got=f"prompt {judge.prompt[:100]!r}, source_prompt {judge.source_prompt[:100]!r}",
            expected="what the previews show, and what the clip shows",
            mend="Write the texts behind preview_positive and positive of One-Shot Tune.",
        )


def check_previews(judge: PreviewJudge | None, *, preview_every: int, guided: bool, memory: str) -> None:
    """Checks that One-Shot Tune has previews that can be scored.

    Args:
        guided: both preview_positive and preview_negative are connected.

    Raises:
        ConfigError: it has none, or of the source's own prompt.
    """
    if judge is None:
        return
    if not preview_every or memory == "low":
        raise ConfigError(
            got=f"stop_early with preview_every {preview_every} and memory {memory!r}",
            expected="previews, which it scores; memory 'low' has none",
            mend="Set preview_every to 50, choose another memory, or disconnect stop_early.",
        )
    if not guided:
        raise ConfigError(
            got="stop_early without preview_positive or preview_negative",
            expected="an edited prompt and the empty one, for guided previews of an edit",
            mend="Connect both, or disconnect stop_early.",
        )


def describe_judge(judge: PreviewJudge) -> str:
    """What scores are by: a run that is scored by something else begins its scores anew."""
    return " | ".join(judge[:3])


def load_judge(judge: PreviewJudge) -> Any:
    """The CLIP, checked against both prompts before a run begins.

    Raises:
        CheckpointError, InputError, PromptError: it is no CLIP, or cannot read the prompts.
    """
    from .judges import load_judges

    clip, _ = load_judges(judge.clip_model, NONE)
    for prompt in (judge.prompt, judge.source_prompt):
        clip.encode_text(prompt)
    return clip
