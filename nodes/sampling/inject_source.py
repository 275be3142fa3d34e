"""Inject Source: an edit that keeps the layout and the outlines of the clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ...tav_core.layouts import VAE_FACTOR
from ...tav_core.sampling.config import InjectionConfig
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, Trajectory, schema, widget

if TYPE_CHECKING:
    from ...tav_core.sampling import trajectory as trajectories


class InjectSource(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVInjectSource",
            display_name="Inject Source",
            category=CATEGORY,
            advanced=("first_layer",),
            description=(
                "Keeps the clip's layout and outlines in the edit (Plug-and-Play): the MODEL runs the inverted clip "
                "along with each edit, and the edit takes attention and features from it. For new colours, materials "
                "and styles, not for new shapes. Works with this pack's samplers and the stock ones; sampling takes up "
                "to 50% longer."
            ),
            search_aliases=["plug and play", "pnp", "attention injection", "feature injection", "keep structure"],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion or Context Windows."),
                Trajectory.Input("trajectory", tooltip="The trajectory of the clip's inversion, from DDIM Invert."),
                io.Conditioning.Input("conditioning", tooltip="The same prompt that DDIM Invert has."),
                widget(InjectionConfig, "attention"),
                widget(InjectionConfig, "features"),
                widget(InjectionConfig, "first_layer"),
            ],
            outputs=[io.Model.Output("model", display_name="model", tooltip="For Sample Edit, not for DDIM Invert.")],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        model: Any,
        trajectory: trajectories.Trajectory,
        conditioning: list,
        attention: float,
        features: float,
        first_layer: int,
    ) -> io.NodeOutput:
        from ..core.injection import add_injection
        from ..sockets.bridge import to_context
        from ..sockets.told import Told

        config = InjectionConfig(attention=attention, features=features, first_layer=first_layer)
        height, width = (side * VAE_FACTOR for side in trajectory.latents.shape[-2:])
        context = to_context(conditioning, "conditioning", Told.of(model, height=height, width=width))
        return io.NodeOutput(add_injection(model, trajectory, context, config))
