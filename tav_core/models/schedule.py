"""The noise schedule and the DDIM maths on it: pure functions of latents, epsilon and alphas.

    alpha   cumulative product of (1 - beta) up to a timestep, as in diffusers' `alphas_cumprod`
    x_t     = sqrt(alpha) x_0 + sqrt(1 - alpha) epsilon                     (DDPM, arXiv 2006.11239, eq. 4)
    v       = sqrt(alpha) epsilon - sqrt(1 - alpha) x_0                     (arXiv 2202.00512, appendix D)

Coefficients are Python floats (float64), so they never wait for a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, ConfigError
from ..settings import is_whole
from .families import ANY_FAMILY
from .precision import usual_defaults

PREDICTION_TYPES = ("epsilon", "v_prediction")
# Stands for an alpha of 0, at which noise levels have no end (rescale_betas_zero_snr, arXiv 2305.08891). As in ComfyUI.
LEAST_ALPHA = 4.8973451890853435e-08


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """What a checkpoint says about its noise: the alphas, where the timesteps start, and what the UNet predicts.

    Args:
        alphas: `alphas_cumprod`, one float for each training timestep (1000 for Stable Diffusion).
        final_alpha: the alpha before timestep 0; alphas[0] if `set_alpha_to_one` is false.
        steps_offset: added to every inference timestep; 1 for Stable Diffusion.
        prediction_type: "epsilon" or "v_prediction".
        config: the scheduler config it was read from, for building other diffusers schedulers on the same noise.
    """

    alphas: tuple[float, ...]
    final_alpha: float
    steps_offset: int
    prediction_type: str
    config: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """Reads a diffusers scheduler config (`scheduler_config.json`), whatever scheduler class it names.

        Raises:
            CheckpointError: the prediction type is neither epsilon nor v_prediction, or the config gives no noise
                schedule.
        """
        # An empty list of trained betas means none, as null does.
        config = {**config, "trained_betas": config.get("trained_betas") or None}
        with usual_defaults():
            scheduler = _build_scheduler(config)
        prediction_type = scheduler.config.prediction_type
        if prediction_type not in PREDICTION_TYPES:
            raise CheckpointError(
                got=f"prediction_type {prediction_type!r}",
                expected=f"one of {', '.join(PREDICTION_TYPES)}",
                mend=f"Use a {ANY_FAMILY} checkpoint, or say what it predicts if its config is wrong.",
            )
        return cls(
            alphas=tuple(alpha or LEAST_ALPHA for alpha in scheduler.alphas_cumprod.double().tolist()),
            final_alpha=float(scheduler.final_alpha_cumprod),
            steps_offset=scheduler.config.steps_offset,
            prediction_type=prediction_type,
            config=dict(config),
        )

    @property
    def num_train_timesteps(self) -> int:
        return len(self.alphas)

    def alpha(self, timestep: float) -> float:
        """The alpha at a timestep; `final_alpha` for any timestep before 0.

        Between two timesteps, sigma is interpolated, as k-diffusion and diffusers' Euler schedulers do.
        """
        if timestep < 0:
            return self.final_alpha
        lower = int(timestep)
        if lower == timestep:
            return self.alphas[lower]
        share = timestep - lower
        sigma = (1 - share) * self.sigma(lower) + share * self.sigma(lower + 1)
        return 1 / (1 + sigma**2)

    def sigma(self, timestep: float) -> float:
        """The noise level sqrt((1 - alpha) / alpha) at a timestep, where x_t / sqrt(alpha) = x_0 + sigma epsilon.

        k-diffusion and ComfyUI measure noise in this way (arXiv 2206.00364). Before timestep 0, alpha is `final_alpha`.
        """
        alpha = self.alpha(timestep)
        return ((1 - alpha) / alpha) ** 0.5

    def timesteps(self, num_steps: int) -> tuple[int, ...]:
        """Inference timesteps in ascending order, evenly spaced: 1, 21, ..., 981 for 50 steps of 1000.

        The "leading" spacing of diffusers' DDIMScheduler, which the original uses.

        Raises:
            ConfigError: there is less than one step, or more steps than the schedule allows.
        """
        most = self.num_train_timesteps - self.steps_offset
        if not is_whole(num_steps) or not 1 <= num_steps <= most:
            raise ConfigError(
                got=f"{num_steps!r} steps",
                expected=f"1 to {most}",
                mend="Use 50 steps, the original's setting, or fewer.",
            )
        num_steps = int(num_steps)
        stride = self.num_train_timesteps // num_steps
        return tuple(index * stride + self.steps_offset for index in range(num_steps))

    def previous(self, timestep: int, num_steps: int) -> int:
        """The timestep one inference step nearer to the clean latents; if it is negative, alpha is `final_alpha`."""
        return timestep - self.num_train_timesteps // num_steps

    def epsilon_from(self, output: Tensor, noisy: Tensor, timestep: float) -> Tensor:
        """Epsilon from the UNet's prediction for `noisy` at `timestep`; all of the same shape."""
        if self.prediction_type == "epsilon":
            return output
        alpha = self.alpha(timestep)
        return alpha**0.5 * output + (1 - alpha) ** 0.5 * noisy

    def training_target(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """What the UNet should predict for `add_noise(latents, noise, timestep)`: the noise, or the velocity."""
        if self.prediction_type == "epsilon":
            return noise
        alpha = self.alpha(timestep)
        return alpha**0.5 * noise - (1 - alpha) ** 0.5 * latents

    def min_snr_weight(self, timestep: int, gamma: float) -> float:
        """The weight of a timestep's loss by Min-SNR (arXiv 2303.09556, section 3.4); 1 if gamma is 0.

        SNR is alpha / (1 - alpha). The weight is min(SNR, gamma) / SNR for epsilon, and min(SNR, gamma) / (SNR + 1)
        for v.
        """
        if gamma == 0:
            return 1.0
        alpha = self.alpha(timestep)
        snr = alpha / (1 - alpha)
        return min(snr, gamma) / (snr if self.prediction_type == "epsilon" else snr + 1)

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Latents with noise added to the level of `timestep`; all of the same shape."""
        alpha = self.alpha(timestep)
        return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise


def _build_scheduler(config: Mapping[str, Any]) -> Any:
    """diffusers' DDIM scheduler.

    Raises:
        CheckpointError: diffusers cannot build it, or its alphas are not between 0 and 1.
    """
    from diffusers import DDIMScheduler

    try:
        scheduler = DDIMScheduler.from_config(dict(config))
        alphas = scheduler.alphas_cumprod
        if not len(alphas) or not bool(((alphas >= 0) & (alphas <= 1)).all()):
            raise ValueError("alphas that are not between 0 and 1")
        if not is_whole(scheduler.config.steps_offset):
            raise ValueError(f"steps_offset {scheduler.config.steps_offset!r}")
        return scheduler
    # diffusers has no error class of its own for settings that it cannot use.
    except Exception as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise CheckpointError(
            got=f"a scheduler config that gives no noise schedule ({reason})",
            expected="betas and a number of timesteps as in the scheduler_config.json of Stable Diffusion",
            mend="Get the scheduler folder of this model again.",
        ) from error


def predict_clean(latents: Tensor, epsilon: Tensor, alpha: float) -> Tensor:
    """The clean latents that `latents` at `alpha` hold if `epsilon` is their noise (DDIM, arXiv 2010.02502, eq. 9)."""
    return (latents - (1 - alpha) ** 0.5 * epsilon) / alpha**0.5


def ddim_step(
    latents: Tensor,
    epsilon: Tensor,
    *,
    alpha: float,
    alpha_to: float,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Moves latents from the noise level `alpha` to `alpha_to` (DDIM, arXiv 2010.02502, eq. 12 and 16).

    The same formula samples (`alpha_to` > `alpha`) and inverts (`alpha_to` < `alpha`, eta 0).

    Args:
        latents: `b c f h w`.
        epsilon: the noise in `latents`, same shape.
        eta: 0 is deterministic DDIM, 1 is DDPM.
        noise: fresh Gaussian noise of the same shape, needed if eta is above 0.
    """
    clean = predict_clean(latents, epsilon, alpha)
    if not eta:
        return alpha_to**0.5 * clean + (1 - alpha_to) ** 0.5 * epsilon
    assert noise is not None and alpha_to >= alpha, "stochastic steps need noise and go towards clean"
    sigma = eta * ((1 - alpha_to) / (1 - alpha) * (1 - alpha / alpha_to)) ** 0.5
    return alpha_to**0.5 * clean + (1 - alpha_to - sigma**2) ** 0.5 * epsilon + sigma * noise


def gaussian_noise(shape: tuple[int, ...] | torch.Size, seed: int) -> Tensor:
    """float32 noise from a seed, drawn on the CPU so that every device gets the same."""
    return draw_noise(shape, torch.Generator("cpu").manual_seed(seed))


def draw_noise(shape: tuple[int, ...] | torch.Size, generator: torch.Generator) -> Tensor:
    """float32 noise on the generator's device, whatever PyTorch's default dtype and device are."""
    return torch.randn(shape, generator=generator, dtype=torch.float32, device=generator.device)
