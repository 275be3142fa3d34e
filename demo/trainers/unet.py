"""Stage 3: the UNet, trained on cached latents and embeddings."""

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch.nn import functional as F

from .common import CACHE, MODEL, SEED, Log, learning_rate, save_state, set_learning_rate, speed_up_group_norm
from .text import WIDTH, embed_captions
from .vae import encode_stills

# (steps, peak learning rate) of each course; each has its own warm-up and cosine. A course starts with a fresh
# optimizer from the averaged weights of the one before. To train a finished model further, add a course and run `python
# -m demo.train --further`.
COURSES = ((5000, 6e-4), (4000, 5e-4))
NUM_STEPS = sum(steps for steps, _ in COURSES)
BATCH = 32
WARM_UP = 100
EMPTY_SHARE = 0.10
SNR_CEILING = 5.0
EMA_DECAY = 0.998
SAVE_EVERY = 250
STATE = CACHE / "unet_state.pt"


def make_unet() -> UNet2DConditionModel:
    """An untrained UNet of the demo's size: 8 heads and 32 groups, as Stable Diffusion 1.x has."""
    return UNet2DConditionModel(
        sample_size=12,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=32,
        cross_attention_dim=WIDTH,
    )


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
        prediction_type="epsilon",
    )


def snr_weights(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Loss weight of each timestep, min(SNR, 5) / SNR (min-SNR for epsilon: Hang et al., 2023, section 3.4)."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=SNR_CEILING) / snr


def course_at(step: int) -> tuple[int, int, float]:
    """The course that `step` of the whole training is in: (step within the course, its steps, its peak rate)."""
    for steps, peak in COURSES:
        if step < steps:
            return step, steps, peak
        step -= steps
    raise ValueError(f"{COURSES} end {step} steps before this one")


def draw(captions: torch.Tensor, step: int, count: int) -> tuple[np.ndarray, torch.Tensor]:
    """Draws the indices of a step's stills, and of one caption for each (one in ten is empty). Also seeds torch.

    captions: the indices of each still's captions, `stills captions`; index 0 is the empty caption.
    """
    rng = np.random.default_rng([SEED, step])
    torch.manual_seed(SEED + step)
    chosen = rng.integers(0, len(captions), count)
    drawn = captions[chosen, rng.integers(0, captions.shape[1], count)]
    drawn[torch.from_numpy(rng.random(count) < EMPTY_SHARE)] = 0
    return chosen, drawn


class Trainer:
    """The UNet, its moving average, optimizer and data, with a state on disk from which a later run continues.

    finished: a UNet that has finished every course but the last, which starts from it.
    """

    def __init__(self, finished: UNet2DConditionModel | None = None):
        torch.manual_seed(SEED)
        self._start_course(finished or make_unet())
        self.scheduler = make_scheduler()
        self.weights = snr_weights(self.scheduler.alphas_cumprod)
        latents = encode_stills()
        self.latents = latents / latents.std()
        self.embeddings, self.captions = embed_captions()
        self.step = NUM_STEPS - COURSES[-1][0] if finished else 0
        if STATE.exists():
            self._load()

    def _start_course(self, unet: UNet2DConditionModel) -> None:
        self.unet = unet.train().to(memory_format=torch.channels_last)
        self.average = {name: value.clone() for name, value in unet.state_dict().items()}
        self.optimizer = torch.optim.AdamW(unet.parameters(), betas=(0.9, 0.99), weight_decay=1e-3)

    def _load(self) -> None:
        state = torch.load(STATE, weights_only=True)
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]

    def save(self) -> None:
        """Writes the state."""
        parts = {"unet": self.unet, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        save_state(STATE, {**state, "average": self.average, "step": self.step})

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        chosen, captions = draw(self.captions, self.step, BATCH)
        return self.latents[chosen].contiguous(memory_format=torch.channels_last), self.embeddings[captions]

    def _loss(self) -> torch.Tensor:
        latents, context = self._batch()
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, 1000, (BATCH,))
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        predicted = self.unet(noisy, timesteps, context).sample
        each = F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))
        return (each * self.weights[timesteps]).mean()

    @torch.no_grad()
    def _update_average(self) -> None:
        done, _, _ = course_at(self.step - 1)
        decay = min(EMA_DECAY, (2 + done) / (11 + done))
        for name, value in self.unet.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def train_step(self) -> float:
        """One optimizer step; returns its loss."""
        done, steps, peak = course_at(self.step)
        if done == 0 and self.step:
            self._start_course(self.averaged())
        set_learning_rate(self.optimizer, learning_rate(done, steps, peak, WARM_UP))
        loss = self._loss()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.item()

    def averaged(self) -> UNet2DConditionModel:
        """A UNet with the moving average's weights."""
        unet = make_unet()
        unet.load_state_dict(self.average)
        return unet.eval()


def train_unet(further: bool = False) -> None:
    """Trains the UNet, continuing from the cached state if there is one, and saves its average in fp16.

    further: start the last course from the saved model, as if that had finished the courses before it.
    """
    speed_up_group_norm()
    finished = UNet2DConditionModel.from_pretrained(MODEL / "unet").float() if further else None
    trainer = Trainer(finished)
    log, first, losses = Log("unet", NUM_STEPS), trainer.step, []
    while trainer.step < NUM_STEPS:
        losses.append(trainer.train_step())
        if trainer.step % 50 == 0:
            log.write(trainer.step, first=first, loss=float(np.mean(losses[-50:])))
        if trainer.step % SAVE_EVERY == 0:
            trainer.save()
    trainer.scheduler.save_pretrained(MODEL / "scheduler")
    trainer.averaged().half().save_pretrained(MODEL / "unet")
