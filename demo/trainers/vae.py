"""Stage 1: the autoencoder (f = 8, four latent channels), trained on stills alone."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from .common import CACHE, MODEL, SEED, Log, learning_rate, load_stills, set_learning_rate, speed_up_group_norm
from .vae_start import start_linear

# Group norms with 32 groups of fewer than three channels would normalise a flat colour away where they act on the
# residual path: at the encoder's end (the last width) and before the decoder's last convolution (the first width).
CHANNELS = (96, 64, 64, 128)
# Steps on crops of 64, which teach most at less than half the cost, and then on whole pictures.
NUM_CROPS, NUM_WHOLE = 1000, 80
BATCH = 12
PEAK_RATE = 1.2e-3
KL_WEIGHT = 3e-4
GRADIENT_WEIGHT = 0.3
OBJECT_WEIGHT = 4.0


def make_vae() -> AutoencoderKL:
    """An untrained autoencoder of the demo's size; 32 groups in every norm, as Stable Diffusion's has."""
    return AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        layers_per_block=1,
        norm_num_groups=32,
        latent_channels=4,
        sample_size=96,
    )


def to_input(pictures: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 `n h w c` to float32 `n c h w` in [-1, 1], channels-last memory."""
    return torch.as_tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _edges(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pictures.diff(dim=-1), pictures.diff(dim=-2)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 + squared error, heavier where a picture is far from its median colour (the object), and L1 of the differences
    between neighbours, which keeps edges sharp."""
    middle = target.flatten(2).median(dim=2).values[:, :, None, None]
    weight = 1 + OBJECT_WEIGHT * (target - middle).abs().amax(dim=1, keepdim=True).clamp(max=1)
    weight = weight / weight.mean()
    error = output - target
    edges = sum(F.l1_loss(a, b) for a, b in zip(_edges(output), _edges(target), strict=True))
    return (weight * (error.abs() + error**2)).mean() + GRADIENT_WEIGHT * edges


def _loss(vae: AutoencoderKL, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(target).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        sample = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        output = vae.decode(sample).sample
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    return reconstruction_loss(output.float(), target) + KL_WEIGHT * kl, kl


def _batch(pictures: np.ndarray, side: int, rng: np.random.Generator) -> torch.Tensor:
    chosen = np.sort(rng.choice(len(pictures), BATCH, replace=False))
    top, left = rng.integers(0, pictures.shape[1] - side + 1, 2)
    return to_input(pictures[chosen, top : top + side, left : left + side])


def train_vae() -> None:
    """Train the autoencoder and save it, in fp32, into the cache."""
    torch.manual_seed(SEED)
    speed_up_group_norm()
    rng = np.random.default_rng(SEED)
    pictures = load_stills()[0]
    vae = make_vae()
    start_linear(vae, to_input(np.array(pictures[:32])))
    vae = vae.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(vae.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
    num_steps = NUM_CROPS + NUM_WHOLE
    log = Log("vae", num_steps)
    for step in range(num_steps):
        set_learning_rate(optimizer, learning_rate(step, num_steps, PEAK_RATE, 50))
        loss, kl = _loss(vae, _batch(pictures, 64 if step < NUM_CROPS else 96, rng))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            log.write(step + 1, loss=loss.item(), kl=kl.item())
    vae.save_pretrained(CACHE / "vae")


@torch.no_grad()
def encode_stills() -> torch.Tensor:
    """Mean latents of all training stills, unscaled float32 `n c h w`; computed once, then cached. Also writes the
    autoencoder, with the scaling factor that gives these latents unit variance, into the model's folder in fp16."""
    latents_at = CACHE / "latents.pt"
    if latents_at.exists():
        return torch.load(latents_at, weights_only=True)
    speed_up_group_norm()
    trained = CACHE / "vae" if (CACHE / "vae").exists() else MODEL / "vae"
    vae = AutoencoderKL.from_pretrained(trained).float().to(memory_format=torch.channels_last)
    pictures, _ = load_stills()
    means = []
    for start in range(0, len(pictures), 100):
        means.append(vae.encode(to_input(np.array(pictures[start : start + 100]))).latent_dist.mean)
    latents = torch.cat(means)
    # The config must not hold the path of the cache.
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5), _name_or_path="")
    if trained != MODEL / "vae":
        vae.half().save_pretrained(MODEL / "vae")
    torch.save(latents, latents_at)
    return latents
