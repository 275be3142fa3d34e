"""Load LaVie: its base as a MODEL, for the stock samplers."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema
from .files import file_fingerprint, file_input, find_file, why_refused


class LoadLaVie(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadLaVie",
            display_name="Load LaVie",
            category=CATEGORY,
            description=(
                "Loads LaVie's base, a text-to-video model, as a MODEL. A batch of latents is then one video: Empty "
                "Latent Image gives its size, and batch_size its frames. KSampler, LoRAs and ControlNets of Stable "
                "Diffusion 1.x work on it. CLIP and VAE come from any Stable Diffusion 1.x checkpoint."
            ),
            search_aliases=["text to video", "txt2vid", "t2v", "video model", "lavie base", "vchitect"],
            inputs=[file_input("base")],
            outputs=[
                io.Model.Output(
                    "model", display_name="model", tooltip="For any sampler: a batch of latents is one video."
                )
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, model_name: str) -> io.NodeOutput:
        from ..core.lavie import load_base

        return io.NodeOutput(load_base(find_file(model_name)))

    @classmethod
    def fingerprint_inputs(cls, model_name: Any) -> str:
        return file_fingerprint(model_name)

    @classmethod
    async def validate_inputs(cls, model_name: Any = None) -> bool | str:
        return await why_refused(model_name, "base")
