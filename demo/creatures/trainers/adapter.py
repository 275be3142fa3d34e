"""A T2I-Adapter that shows the frozen UNet the edges of a picture: `tav_core.edges`, white lines on black."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from diffusers import AutoencoderKL, T2IAdapter, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from ...trainers.adapter import early_timesteps
from ...trainers.common import Log, learning_rate, set_learning_rate
from ...trainers.unet import make_scheduler
from ..edit_masks import edge_hints
from ..stills import SEED
from .device import DEVICE, prepare_device
from .paths import LOG, MODEL
from .stills import first_stills
from .text import embed
from .unet import EMPTY_SHARE, add_noise
from .vae import encode

NUM_STEPS, PEAK_RATE, WARM_UP, BATCH = 1500, 1e-3, 100, 64
# So many stills are enough for so small a network.
NUM_STILLS = 8000
LOG_EVERY = 100


def make_adapter() -> T2IAdapter:
    """An untrained adapter for the UNet's widths, laid out like Stable Diffusion 1.x's for Canny edges."""
    return T2IAdapter(
        in_channels=1, channels=[64, 128, 192], num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter"
    )


def hints_of(pictures: np.ndarray) -> Tensor:
    """The edges of pictures, uint8 `n h w 3`, as the adapter takes them: `n 1 h w`, 0 or 1."""
    return edge_hints(torch.tensor(pictures).float() / 255).movedim(-1, 1)


def all_hints(pictures: np.ndarray) -> Tensor:
    """The edges of many pictures, uint8, found by several threads."""
    with ThreadPoolExecutor() as pool:
        parts = np.array_split(pictures, min(len(pictures), 64))
        return torch.cat(list(pool.map(lambda part: hints_of(part).byte(), parts)))


class LedUNet(nn.Module):
    """The frozen UNet that an adapter leads, as a function of tensors alone.

    On a GPU it is recorded as a graph, because so small a UNet spends most of a step on launching its kernels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.adapter = make_adapter()
        self.unet = UNet2DConditionModel.from_pretrained(MODEL / "unet").float().requires_grad_(False)
        self.to(DEVICE).train()
        self.unet.eval().to(memory_format=torch.channels_last)

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor, hints: Tensor) -> Tensor:
        features = self.adapter(hints)
        led = {"down_intrablock_additional_residuals": features, "return_dict": False}
        return self.unet(noisy, timesteps, context, **led)[0]

    def recorded(self, *inputs: Tensor) -> nn.Module:
        """The same function, for inputs of these shapes."""
        return torch.cuda.make_graphed_callables(self, inputs) if DEVICE.type == "cuda" else self


class AdapterCourse:
    """The adapter, its optimizer, and some of the stills that the UNet was trained on."""

    def __init__(self) -> None:
        # Before the GPU is used, because drawing forks this process.
        pictures, rows = first_stills(NUM_STILLS)
        self.hints = all_hints(pictures).to(DEVICE)
        torch.manual_seed(SEED)
        self.led = LedUNet()
        self.predict: nn.Module | None = None
        self.optimizer = torch.optim.AdamW(self.led.adapter.parameters(), weight_decay=1e-2)
        self.alphas = make_scheduler().alphas_cumprod.to(DEVICE)
        vae = AutoencoderKL.from_pretrained(MODEL / "vae").float().to(DEVICE)
        self.latents = (encode(vae, pictures) * vae.config.scaling_factor).to(DEVICE)
        self.embeddings, self.captions = (part.to(DEVICE) for part in embed(rows))

    def draw(self, step: int) -> tuple[Tensor, ...]:
        """A step's noise, noisy latents, timesteps, embeddings and hints, drawn where they are needed."""
        torch.manual_seed(SEED + step)
        chosen = torch.randint(len(self.latents), (BATCH,), device=DEVICE)
        column = torch.randint(self.captions.shape[1], (BATCH,), device=DEVICE)
        empty = torch.rand(BATCH, device=DEVICE) < EMPTY_SHARE
        context = self.embeddings[self.captions[chosen, column].masked_fill(empty, 0)]
        latents, timesteps = self.latents[chosen], early_timesteps(BATCH, DEVICE)
        noise = torch.randn_like(latents)
        noisy = add_noise(latents, noise, self.alphas[timesteps]).contiguous(memory_format=torch.channels_last)
        return noise, noisy, timesteps, context, self.hints[chosen].float()

    def loss(self, step: int) -> Tensor:
        """The loss on the stills, captions and noise of a step."""
        noise, *inputs = self.draw(step)
        if self.predict is None:
            self.predict = self.led.recorded(*(part.clone() for part in inputs))
        return F.mse_loss(self.predict(*inputs), noise)

    def train_step(self, step: int) -> Tensor:
        """One optimizer step; returns its loss."""
        set_learning_rate(self.optimizer, learning_rate(step, NUM_STEPS, PEAK_RATE, WARM_UP))
        loss = self.loss(step)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.led.adapter.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()


def train_adapter() -> None:
    """Trains the adapter and saves it in fp16."""
    prepare_device()
    course, log, losses = AdapterCourse(), Log("adapter", NUM_STEPS, LOG), []
    for step in range(NUM_STEPS):
        losses.append(course.train_step(step))
        if (step + 1) % LOG_EVERY == 0:
            loss, losses = float(torch.stack(losses).mean()), []
            log.write(step + 1, loss=loss)
    course.led.adapter.eval().cpu().half().save_pretrained(MODEL / "t2i_adapter")
