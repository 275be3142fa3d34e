"""Flow Guidance: frames that agree along the motion of the clip, so that the edit flickers less."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.denoisers.config import FlowConfig
from ..core.interrupt import interruptible
from ..sockets.folders import find_flow_weights, list_flow_weights
from ..sockets.judges import NONE
from ..sockets.widgets import CATEGORY, schema, widget


class FlowGuidance(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVFlowGuidance",
            display_name="Flow Guidance",
            category=CATEGORY,
            advanced=("match", "until", "weights"),
            description=(
                "Calms the flicker of an edit (FLATTEN): where a spot of the scene goes is measured in the clip by "
                "optical flow, and all tokens that show the same spot attend to each other. Nothing is trained. Works "
                "with this pack's samplers and the stock ones, Inject Source, masks and Context Windows."
            ),
            search_aliases=["flatten", "optical flow", "flicker", "temporal consistency", "raft"],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion, Context Windows or Inject Source."),
                io.Image.Input("frames", tooltip="The clip that is edited, the same frames that VAE Encode has."),
                widget(FlowConfig, "levels"),
                widget(FlowConfig, "match"),
                widget(FlowConfig, "until"),
                io.Combo.Input(
                    "weights",
                    options=[NONE, *list_flow_weights()],
                    default=NONE,
                    tooltip=(
                        "A file of RAFT's weights in models/optical_flow, which sees more of a motion and takes a "
                        "graphics card; none measures by DIS, which needs no weights."
                    ),
                ),
            ],
            outputs=[io.Model.Output("model", display_name="model", tooltip="For Sample Edit or a stock sampler.")],
        )

    @classmethod
    @interruptible
    def execute(cls, model: Any, frames: Tensor, levels: int, match: str, until: float, weights: str) -> io.NodeOutput:
        from ...tav_core.metrics.token_paths import token_paths
        from ..core.flow import add_flow_guidance, check_guidable
        from ..sockets.bridge import check_images

        check_guidable(model)
        config = FlowConfig(levels=levels, match=match, until=until)
        shown = check_images(frames, "frames")
        flow = None if weights == NONE or len(shown) == 1 else measure_by_raft(weights, shown)
        return io.NodeOutput(add_flow_guidance(model, token_paths(shown, flow), config))


def measure_by_raft(name: str, frames: Tensor) -> Any:
    """The flow of frames `f h w 3` by RAFT, on ComfyUI's device."""
    from comfy.model_management import get_torch_device

    from ...tav_core.metrics.raft import load_raft

    return load_raft(find_flow_weights(name), device=get_torch_device())(frames)
