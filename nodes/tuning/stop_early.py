"""Stop Early: a tuning that ends once its previews get no better, and keeps the best motion."""

from __future__ import annotations

from comfy_api.latest import io

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
                "Tuned for too long, a model copies its clip and no longer follows an edited prompt. With this, "
                "One-Shot Tune scores each preview by your CLIP, ends when they get no better, and keeps the best "
                "motion."
            ),
            search_aliases=["early stopping", "overfitting", "best checkpoint", "patience"],
            inputs=[
                clip_input(),
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
