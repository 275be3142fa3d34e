"""Edit Preset: recommended settings for a goal, to be connected to the nodes that use them."""

from __future__ import annotations

from comfy_api.latest import io

from ...tav_core.sampling.presets import PRESETS
from ..core.interrupt import interruptible
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, schema


class EditPreset(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVEditPreset",
            display_name="Edit Preset",
            category=CATEGORY,
            description=(
                "Recommended settings for changing the subject, the background or the style, or for an edit soon. "
                "Connect each output to the widget of the same name; the node shows further advice."
            ),
            search_aliases=["preset", "recommended settings", "goal"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Combo.Input(
                    "goal",
                    options=list(PRESETS),
                    default=next(iter(PRESETS)),
                    tooltip="What the edit should change; fast takes fewer steps; original is the paper's settings.",
                )
            ],
            outputs=[
                io.Int.Output("num_steps", display_name="num steps", tooltip="Tuning steps, for One-Shot Tune."),
                io.Float.Output("cfg", display_name="cfg", tooltip="Guidance, for Sample Edit."),
                io.Float.Output("attention", display_name="attention", tooltip="For Inject Source; 0 injects nothing."),
                io.Float.Output("features", display_name="features", tooltip="For Inject Source; 0 injects nothing."),
                io.String.Output("advice", display_name="advice", tooltip="Further advice, as text."),
                io.Int.Output(
                    "sampling_steps",
                    display_name="sampling steps",
                    tooltip="For num_steps of DDIM Invert and of Sample Edit.",
                ),
                io.Float.Output(
                    "min_snr_gamma",
                    display_name="min snr gamma",
                    tooltip="For Tune Options; 0 weighs all timesteps alike.",
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, goal: str) -> io.NodeOutput:
        preset = PRESETS[goal]
        text = show_text(cls, preset.advice)
        steps = (preset.sampling_steps, preset.min_snr_gamma)
        return io.NodeOutput(preset.num_steps, preset.guidance_scale, *preset.shares, preset.advice, *steps, ui=text)
