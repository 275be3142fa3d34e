"""DDIM Invert: from the clip to the noise that the tuned model would make it from, by DDIM or with less loss."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...tav_core.sampling.config import EditConfig, InvertConfig
from ..sockets.bridge import as_inverted, check_samples
from ..sockets.widgets import CATEGORY, Trajectory, schema, widget


class InvertedNoise:
    """The noise as core's NOISE, for SamplerCustomAdvanced with the SIGMAS that come with it.

    core starts from noise x sigma + latent; whatever latent is connected, the start is then the inverted noise.
    """

    seed = 0

    def __init__(self, samples: Tensor, model: Any, *, sigma: float) -> None:
        self.latent_format = model.get_model_object("latent_format")
        self.start = self.latent_format.process_in(samples) * (1 + sigma**2) ** 0.5
        self.sigma = sigma

    def generate_noise(self, latent: dict[str, Any]) -> Tensor:
        """What core scales by the first sigma and adds to a LATENT's samples, shaped like them."""
        return (self.start - self.latent_format.process_in(latent["samples"].float())) / self.sigma


class DDIMInvert(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVDDIMInvert",
            display_name="DDIM Invert (Tune-A-Video)",
            category=CATEGORY,
            description="Runs DDIM backwards: gives the noise that holds the clip's motion, to render an edit from.",
            search_aliases=["inversion", "unsample", "video to noise"],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion."),
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The empty prompt, as in the paper, or the prompt that the clip was tuned under.",
                ),
                io.Latent.Input("latent", tooltip="VAE Encode of the clip's frames."),
                widget(EditConfig, "num_steps", tooltip="Steps; Sample Edit must have as many. 50 in the paper."),
                widget(InvertConfig, "method", optional=True),
                widget(InvertConfig, "iterations", optional=True),
            ],
            outputs=[
                io.Latent.Output("latent", display_name="inverted latent", tooltip="For Sample Edit."),
                Trajectory.Output(
                    "trajectory", display_name="trajectory", tooltip="Every step of the way, for Sample Edit."
                ),
                io.Noise.Output("noise", display_name="noise", tooltip="The same, for SamplerCustomAdvanced."),
                io.Sigmas.Output("sigmas", display_name="sigmas", tooltip="The steps that go with the noise."),
            ],
        )

    @classmethod
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
        from ..core.sampling import run_stage

        found = []

        def stage(denoiser, latents, report) -> Tensor:
            how = {"num_steps": num_steps, "method": method, "iterations": iterations}
            trajectory = invert(denoiser, latents, denoiser.context, **how, store="cpu", on_step=report)
            found.append(trajectory)
            return trajectory.noise

        samples = run_stage(model, check_samples(latent), stage, positive=conditioning, num_steps=num_steps)
        inverted = as_inverted(samples, found[0])
        return io.NodeOutput(inverted, found[0], *for_stock_samplers(model, samples, found[0].timesteps))


def for_stock_samplers(model: Any, samples: Tensor, timesteps: tuple[int, ...]) -> tuple[InvertedNoise, Tensor]:
    """NOISE and SIGMAS that make core's samplers start where an inversion of these timesteps ended."""
    from ..core.unet import read_schedule

    schedule = read_schedule(model)
    # Stable Diffusion's DDIM ends at the alpha of timestep 0, where the inversion started, and not at sigma 0.
    alphas = [*map(schedule.alpha, reversed(timesteps)), schedule.final_alpha]
    sigmas = torch.tensor([((1 - alpha) / alpha) ** 0.5 for alpha in alphas])
    return InvertedNoise(samples, model, sigma=float(sigmas[0])), sigmas
