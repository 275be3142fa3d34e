"""LaVie Steps: the samplers that LaVie was published with, for SamplerCustom."""

from __future__ import annotations

from comfy_api.latest import io

from ...tav_core.sampling.lavie_config import TextToVideoConfig
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema, widget


class LaVieSteps(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLaVieSteps",
            display_name="LaVie Steps",
            category=CATEGORY,
            description=(
                "The sampler and the noise levels of LaVie's own code, for SamplerCustom. KSampler comes close: ddpm "
                "or ddim with ddim_uniform, euler with normal."
            ),
            search_aliases=["lavie sigmas", "lavie scheduler", "ddpm"],
            inputs=[widget(TextToVideoConfig, "sampler"), widget(TextToVideoConfig, "num_steps")],
            outputs=[
                io.Sampler.Output("sampler", display_name="sampler", tooltip="For SamplerCustom."),
                io.Sigmas.Output("sigmas", display_name="sigmas", tooltip="The noise levels, for SamplerCustom."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, sampler: str, num_steps: int) -> io.NodeOutput:
        import comfy.samplers

        from ..core.lavie import lavie_sigmas

        return io.NodeOutput(comfy.samplers.sampler_object(sampler), lavie_sigmas(sampler, num_steps))
