"""Free Noise: a random start for clips longer than a context window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.denoisers.windows import ContextWindows
from ...tav_core.sampling.config import EditConfig
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema, seed_widget, widget


@dataclass(frozen=True)
class RescheduledNoise:
    """ComfyUI's NOISE for what `free_noise` draws, one row per frame."""

    seed: int
    window: int
    stride: int

    def generate_noise(self, latent: dict[str, Any]) -> Tensor:
        """Noise `f c h w`, shaped like a LATENT's samples."""
        from ...tav_core.layouts import fold
        from ...tav_core.sampling.free_noise import free_noise

        num_frames, channels, *size = latent["samples"].shape
        return fold(free_noise((1, channels, num_frames, *size), self.seed, window=self.window, stride=self.stride))


class FreeNoise(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVFreeNoise",
            display_name="Free Noise",
            category=CATEGORY,
            is_experimental=True,
            description=(
                "Random noise for a long clip that is rendered with Context Windows and without an inversion. Later "
                "frames reuse the first window's noise in another order, so that windows far apart show the same "
                "things."
            ),
            search_aliases=["FreeNoise", "random noise video", "long video noise"],
            inputs=[
                seed_widget(EditConfig, "noise_seed", "Another seed gives another video."),
                widget(
                    ContextWindows,
                    "length",
                    tooltip="The same as in Context Windows. Only this many frames get noise of their own.",
                ),
                io.Int.Input(
                    "stride", default=4, min=1, max=64, tooltip="Frames that are shuffled together; 4 in the paper."
                ),
            ],
            outputs=[io.Noise.Output("noise", display_name="noise", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    @interruptible
    def execute(cls, noise_seed: int, length: int, stride: int) -> io.NodeOutput:
        return io.NodeOutput(RescheduledNoise(noise_seed, length, stride))
