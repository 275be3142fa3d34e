"""Stop Early: tuning ends once previews stop improving, and the best motion is kept."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.interrupt import interruptible
from ..sockets.judges import clip_input
from ..sockets.widgets import CATEGORY, EarlyStopType, schema
from .preview_judge import PreviewJudge, check_judge


class StopEarly(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVStopEarly",
            display_name="Stop Early (Tune-A-Video)",
            category=CATEGORY,
            description=(
                "A model tuned for too long copies the clip and no longer follows an edited prompt. With this node, "
                "One-Shot Tune scores each preview with your CLIP, ends the run when the scores stop improving, and "
                "keeps the best motion."
            ),
            search_aliases=["early stopping", "overfitting", "best checkpoint", "patience"],
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
