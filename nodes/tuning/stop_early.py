"""Stop Early: tuning ends once previews stop improving, and the best motion is kept."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..core.interrupt import interruptible
from ..sockets.graph import QUEUED, explain, read_value
from ..sockets.judges import clip_input
from ..sockets.widgets import CATEGORY, EarlyStopType, schema
from .preview_judge import PreviewJudge, check_judge


class StopEarly(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVStopEarly",
            display_name="Stop Early",
            category=CATEGORY,
            description=(
                "A model tuned for too long copies the clip and no longer follows an edited prompt. With this node, "
                "One-Shot Tune scores each preview with your CLIP, ends the run when the scores stop improving, and "
                "keeps the best motion."
            ),
            search_aliases=["early stopping", "overfitting", "best checkpoint", "patience"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                clip_input(),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What the previews should show: the text connected to preview_positive of One-Shot Tune.",
                ),
                io.String.Input(
                    "source_prompt",
                    default="",
                    multiline=True,
                    tooltip="What the clip shows: the text connected to positive of One-Shot Tune.",
                ),
                io.Int.Input(
                    "patience",
                    default=2,
                    min=1,
                    max=1000,
                    tooltip="The run ends after this many previews in a row that do not beat the best one.",
                ),
            ],
            outputs=[EarlyStopType.Output("stop_early", display_name="stop early", tooltip="For One-Shot Tune.")],
        )

    @classmethod
    @interruptible
    def execute(cls, clip_model: str, prompt: str, source_prompt: str, patience: int) -> io.NodeOutput:
        judge = PreviewJudge(clip_model, prompt.strip(), source_prompt.strip(), patience)
        check_judge(judge)
        return io.NodeOutput(judge)

    @classmethod
    def validate_inputs(cls, prompt: Any = None) -> bool | str:
        graph, node = QUEUED.get(), cls.hidden.unique_id
        clip_model, source_prompt = (read_value(graph, node, name) for name in ("clip_model", "source_prompt"))
        if not all(isinstance(text, str) for text in (clip_model, prompt, source_prompt)):
            return True
        return explain(lambda: check_judge(PreviewJudge(clip_model, prompt.strip(), source_prompt.strip(), 1)))
