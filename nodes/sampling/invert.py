"""DDIM Invert: from the clip to the noise that the tuned model would render it from, by DDIM or with less loss."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import LatentsError
from ...tav_core.sampling.config import EditConfig, InvertConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import as_inverted, check_samples, scale_samples
from ..sockets.show_text import warn
from ..sockets.widgets import CATEGORY, Trajectory, schema, widget

ALONE = (
    "The frames of this MODEL do not see each other, so each is inverted by itself, as a picture. For a video, connect "
    "the MODEL of Apply Motion; that node may be bypassed."
)


class InvertedNoise:
    """The inverted noise as ComfyUI's NOISE, for SamplerCustomAdvanced with the SIGMAS that come with it.

    ComfyUI starts from noise x sigma + latent. `generate_noise` takes the connected latent off, so that the start is
    the inverted noise whatever latent is connected.
    """

    seed = 0

    def __init__(self, samples: Tensor, model: Any, *, sigma: float) -> None:
        self.latent_format = model.get_model_object("latent_format")
        self.start = scale_samples(samples, self.latent_format) * (1 + sigma**2) ** 0.5
        self.sigma = sigma

    def generate_noise(self, latent: dict[str, Any]) -> Tensor:
        """What ComfyUI scales by the first sigma and adds to a LATENT's samples: those of one video, or of one frame.

        Raises:
            LatentsError: they have another size or number of frames than the clip that was inverted.
        """
        samples = latent["samples"]
        if samples.shape[1:] != self.start.shape[1:] or len(samples) not in (1, len(self.start)):
            raise LatentsError(
                got=f"a latent of shape {tuple(samples.shape)} with the noise of DDIM Invert",
                expected=f"{tuple(self.start.shape)}, as the clip that was inverted",
                mend="Connect the latent that DDIM Invert had or gives.",
            )
        return (self.start - scale_samples(samples, self.latent_format)) / self.sigma


class DDIMInvert(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVDDIMInvert",
            display_name="DDIM Invert",
            category=CATEGORY,
            advanced=("iterations",),
            description=(
                "Runs DDIM backwards, from the clip to the noise that holds its motion. Sample Edit starts from this "
                "noise."
            ),
            search_aliases=["inversion", "unsample", "video to noise"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion."),
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The empty prompt, as in the paper, or the prompt that the clip was tuned with.",
                ),
                io.Latent.Input("latent", tooltip="The clip's frames, from VAE Encode."),
                widget(
                    EditConfig, "num_steps", tooltip="Inversion steps; Sample Edit must have as many. 50 in the paper."
                ),
                widget(InvertConfig, "method", optional=True),
                widget(InvertConfig, "iterations", optional=True),
            ],
            outputs=[
                io.Latent.Output("latent", display_name="inverted latent", tooltip="The noise, for Sample Edit."),
                Trajectory.Output(
                    "trajectory", display_name="trajectory", tooltip="The latents of every step, for Sample Edit."
                ),
                io.Noise.Output("noise", display_name="noise", tooltip="The same noise, for SamplerCustomAdvanced."),
                io.Sigmas.Output("sigmas", display_name="sigmas", tooltip="The sigmas to use with this noise."),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        model: Any,
        conditioning: list,
        latent: dict[str, Any],
        num_steps: int,
        method: str = InvertConfig.method,
        iterations: int = InvertConfig.iterations,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.invert import invert
        from ..core.motion import looks_across_frames
        from ..core.sampling import run_stage

        if not looks_across_frames(model):
            warn(cls, ALONE)

        def stage(denoiser, latents, report) -> tuple[Tensor, Any]:
            how = {"num_steps": num_steps, "method": method, "iterations": iterations}
            trajectory = invert(denoiser, latents, denoiser.context, **how, store="cpu", on_step=report)
            return trajectory.noise, trajectory

        start = check_samples(latent)
        samples, trajectory = run_stage(model, start, stage, positive=conditioning, num_steps=num_steps, name="Invert")
        stock = for_stock_samplers(model, samples, trajectory.timesteps)
        return io.NodeOutput(as_inverted(samples, trajectory), trajectory, *stock)


def for_stock_samplers(model: Any, samples: Tensor, timesteps: tuple[int, ...]) -> tuple[InvertedNoise, Tensor]:
    """NOISE and SIGMAS that make ComfyUI's samplers start where an inversion with these timesteps ended."""
    from ..core.unet import read_schedule

    schedule = read_schedule(model)
    # Stable Diffusion's DDIM ends at the alpha of timestep 0, where the inversion started, and not at sigma 0.
    levels = [schedule.sigma(timestep) for timestep in (*reversed(timesteps), -1)]
    sigmas = torch.tensor(levels, dtype=torch.float32, device="cpu")
    return InvertedNoise(samples, model, sigma=float(sigmas[0])), sigmas
