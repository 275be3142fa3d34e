"""Prompts: one edited prompt per line, as a list. ComfyUI runs what follows once per prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.interrupt import interruptible
from ..sockets.graph import explain
from ..sockets.prompt_lines import split_prompts
from ..sockets.widgets import CATEGORY, schema

EXAMPLES = "an astronaut is skiing on the moon\na panda is skiing"


class Prompts(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVPrompts",
            display_name="Prompts",
            category=CATEGORY,
            description=(
                "Holds several edited prompts, one per line. CLIP Text Encode, Sample Edit and VAE Decode behind it "
                "run once for each of them; Compare Videos joins the results."
            ),
            search_aliases=["prompt list", "multiple prompts", "batch prompts", "text list", "prompt per line"],
            inputs=[
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default=EXAMPLES,
                    tooltip="One prompt per line. Empty lines are left out.",
                )
            ],
            outputs=[
                io.String.Output(
                    "prompt",
                    display_name="prompt",
                    is_output_list=True,
                    tooltip="A list: for the text of CLIP Text Encode, and for a label of Compare Videos.",
                )
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, prompts: str) -> io.NodeOutput:
        return io.NodeOutput(split_prompts(prompts))

    @classmethod
    def validate_inputs(cls, prompts: str | None = None) -> bool | str:
        return prompts is None or explain(lambda: split_prompts(prompts))
