"""What One-Shot Tune's previews are scored by, where a run may end early."""

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
        prompt: what previews show.
        source_prompt: what is tuned on.
        patience: scores in a row that may be no better than the best.
    """

    clip_model: str
    prompt: str
    source_prompt: str
    patience: int


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


def load_judge(judge: PreviewJudge) -> ClipEncoder:
    """The CLIP, checked against both prompts before a run begins.

    Raises:
        CheckpointError, InputError, PromptError: it is no CLIP, or cannot read the prompts.
    """
    from ..sockets.judges import load_judges

    clip, _ = load_judges(judge.clip_model, NONE)
    for prompt in (judge.prompt, judge.source_prompt):
        clip.encode_text(prompt)
    return clip
