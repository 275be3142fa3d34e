"""What the previews of One-Shot Tune are scored by when Stop Early is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...tav_core.errors import ConfigError
from ..sockets.judges import NONE

if TYPE_CHECKING:
    from ...tav_core.metrics import ClipEncoder


class PreviewJudge(NamedTuple):
    """What previews are scored by.

    Args:
        clip_model: a name that the lists of `judges` give.
        prompt: what the previews should show.
        source_prompt: what the clip shows.
        patience: the run ends after this many scores in a row that do not beat the best.
    """

    clip_model: str
    prompt: str
    source_prompt: str
    patience: int


def check_judge(judge: PreviewJudge) -> None:
    """Checks that there is a CLIP and two prompts for it to tell apart.

    Raises:
        ConfigError: there is no CLIP, a prompt is empty, or both prompts are the same.
    """
    if judge.clip_model == NONE:
        raise ConfigError(
            got="clip_model 'none'", expected="a complete CLIP to score previews with", mend="Choose a clip_model."
        )
    if not judge.prompt or not judge.source_prompt or judge.prompt == judge.source_prompt:
        raise ConfigError(
            got=f"prompt {judge.prompt[:100]!r}, source_prompt {judge.source_prompt[:100]!r}",
            expected="two different texts: what the previews should show, and what the clip shows",
            mend="Write the texts connected to preview_positive and positive of One-Shot Tune.",
        )


def check_previews(*, preview_every: int, guided: bool, memory: str) -> None:
    """Checks that One-Shot Tune, with a Stop Early, has previews that can be scored.

    Args:
        guided: whether both preview_positive and preview_negative are connected.

    Raises:
        ConfigError: there are no previews, or they do not show an edited prompt with guidance.
    """
    if not preview_every or memory == "low":
        raise ConfigError(
            got=f"stop_early with preview_every {preview_every} and memory {memory!r}",
            expected="previews for stop_early to score; memory 'low' has none",
            mend="Set preview_every to 50, choose another memory, or disconnect stop_early.",
        )
    if not guided:
        raise ConfigError(
            got="stop_early without preview_positive or preview_negative",
            expected="an edited prompt and the empty prompt, so that previews show a guided edit",
            mend="Connect both, or disconnect stop_early.",
        )


def describe_judge(judge: PreviewJudge) -> str:
    """What produced the scores. A resumed run that is scored by something else starts its scores over."""
    return " | ".join(judge[:3])


def load_judge(judge: PreviewJudge) -> ClipEncoder:
    """The CLIP, checked against both prompts before a run begins.

    Raises:
        CheckpointError, InputError, PromptError: the weights are not a CLIP's, or it cannot read the prompts.
    """
    from ..sockets.judges import load_judges

    clip, _ = load_judges(judge.clip_model, NONE)
    for prompt in (judge.prompt, judge.source_prompt):
        clip.encode_text(prompt)
    return clip
