"""Text to video with LaVie's base: from noise, under a prompt, no tuning."""

from __future__ import annotations

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..denoisers.guidance import guided
from ..errors import explain_out_of_memory
from ..models.conditioning import Conditioning, as_conditioning
from ..models.schedule import draw_noise
from .edit import count_on
from .lavie_config import TextToVideoConfig
from .noise_steps import OnLatents, plan_steps, walk_steps

LATENT_CHANNELS = 4
MEND = "Use fewer frames or a smaller size."


@torch.no_grad()
def text_to_video(
    denoiser: Denoiser,
    context: Conditioning | Tensor,
    negative_context: Conditioning | Tensor,
    *,
    config: TextToVideoConfig | None = None,
    noise: Tensor | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Makes one video per prompt, each from the same noise.

    Args:
        denoiser: of LaVie's base (`load_lavie`).
        context: the prompts as `encode_prompt` gives them, or their text embeddings alone, `p m d`.
        negative_context: the negative prompt ("" in the original) likewise: one, or one for each prompt.
        config: see `TextToVideoConfig`.
        noise: the start, `1 c f h w`, standard normal, whose frames and size then hold, and not the config's; drawn
            from the seed if None.
        on_step: called after each step with (steps done over all prompts, total steps, latents).

    Returns:
        Latents `p c f h w`, float32.

    Raises:
        ConfigError: the parts of the conditioning do not fit each other or the model.
        OutOfMemory: the message says what to lower.
    """
    config = config or TextToVideoConfig()
    context, negative_context = as_conditioning(context), as_conditioning(negative_context)
    context.check(values=True)
    negative_context.check(values=True)
    pairs = list(zip(context, negative_context.expand(len(context)), strict=True))
    steps = plan_steps(config.sampler, denoiser.schedule, config.num_steps)
    # Euler's latents at its first noise level have hardly less than unit variance; the others start from pure noise.
    scale = (1 - steps[0].alpha) ** 0.5 if config.sampler == "euler" else 1.0
    videos: list[Tensor] = []
    with explain_out_of_memory(f"making {config.num_frames} frames", MEND):
        for positive, negative in pairs:
            generator = torch.Generator("cpu").manual_seed(config.seed)
            drawn = draw_noise((1, LATENT_CHANNELS, config.num_frames, *config.latent_size), generator)
            start = (drawn if noise is None else noise).to(context.text.device) * scale
            report = count_on(on_step, prompt=len(videos), num_prompts=len(pairs))
            model = guided(denoiser, positive, negative, config.guidance_scale)
            eta = float(config.sampler == "ddpm")
            videos.append(walk_steps(model, start, steps, eta=eta, generator=generator, on_step=report))
        return torch.cat(videos)
