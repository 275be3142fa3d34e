"""Composite Edit: the edit inside a mask or a range of frames, and the source's own pixels everywhere else."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.sampling.config import LocalEditConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images, to_mask
from ..sockets.widgets import CATEGORY, schema, widget


class CompositeEdit(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVCompositeEdit",
            display_name="Composite Edit",
            category=CATEGORY,
            advanced=("ramp",),
            description=(
                "Puts the edit into the clip: inside a mask with a soft edge, in a range of frames, or both. "
                "All other pixels are the source's own, bit for bit."
            ),
            search_aliases=["local edit", "mask video", "temporal slice", "image composite masked", "blend"],
            inputs=[
                io.Image.Input("source", tooltip="The frames from Load Clip that were encoded and inverted."),
                io.Image.Input("edited", tooltip="The frames of the edit, from VAE Decode."),
                widget(LocalEditConfig, "feather"),
                widget(LocalEditConfig, "first_frame"),
                widget(LocalEditConfig, "last_frame", min=-1),
                widget(LocalEditConfig, "ramp"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "The area where the edit shows, in white: one mask for all frames, or one per frame. Connect "
                        "the same mask to Sample Edit."
                    ),
                ),
            ],
            outputs=[io.Image.Output("frames", display_name="frames", tooltip="For Create Video or Compare Videos.")],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        source: Tensor,
        edited: Tensor,
        feather: int,
        first_frame: int,
        last_frame: int,
        ramp: int,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.local_edit import composite, edit_mask

        config = LocalEditConfig(feather=feather, first_frame=first_frame, last_frame=last_frame, ramp=ramp)
        source, edited = check_images(source, "source"), check_images(edited, "edited")
        num_frames, height, width, _ = source.shape
        own = None if mask is None else to_mask(mask)
        whole = edit_mask(own, config, num_frames=num_frames, height=height, width=width)
        return io.NodeOutput(composite(source, edited, whole, feather=feather))
