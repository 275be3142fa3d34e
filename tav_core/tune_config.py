"""The settings of a tuning run: the one source of their defaults and bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .errors import ConfigError

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SCHEDULES = ("constant", "linear", "cosine")
RESUMES = ("continue", "restart", "new")


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """How to tune. The defaults are the original's (configs/*.yaml and train_tuneavideo.py) unless noted.

    Args:
        num_steps: steps in all, those of a resumed run included.
        learning_rate, betas, weight_decay, epsilon: AdamW's.
        max_grad_norm: the gradient's norm is clipped to it.
        lr_schedule: "constant", or falling to zero over the run: "linear", "cosine".
        warmup_steps: steps over which the learning rate rises from zero.
        seed: of timesteps and noise.
        precision: "auto" is bf16 or fp16 autocast on a GPU and fp32 on a CPU; the trained weights are always fp32.
        gradient_checkpointing: recompute activations: a third more time, several times less memory.
        modules: endings of the names of the modules that train.
        save_every: steps between saves of the run's state; 0 saves only at the end. Ours: the original never saves.
        resume: with a state file there: "continue" it, "restart" from step 0, or refuse as the run should be "new".
    """

    num_steps: int = 500
    learning_rate: float = 3e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    lr_schedule: str = "constant"
    warmup_steps: int = 0
    seed: int = 33
    precision: str = "auto"
    gradient_checkpointing: bool = True
    modules: tuple[str, ...] = ("attn1.to_q", "attn2.to_q", "attn_temp")
    save_every: int = 100
    resume: str = "continue"

    def __post_init__(self) -> None:
        check_range("num_steps", self.num_steps, 1, 100_000, "Use 100 to 500.")
        check_range("learning_rate", self.learning_rate, 1e-8, 1.0, "Use 3e-5.")
        check_range("max_grad_norm", self.max_grad_norm, 1e-8, math.inf, "Use 1.0.")
        check_range("weight_decay", self.weight_decay, 0.0, 1.0, "Use 0.01.")
        check_range("warmup_steps", self.warmup_steps, 0, self.num_steps, "Use 0, or a tenth of the steps.")
        check_range("save_every", self.save_every, 0, math.inf, "Use 100; 0 saves only at the end.")
        check_range("seed", self.seed, 0, 2**63 - 1, "Use 33.")
        check_choice("lr_schedule", self.lr_schedule, SCHEDULES)
        check_choice("precision", self.precision, ("auto", *PRECISIONS))
        check_choice("resume", self.resume, RESUMES)
        if not self.modules:
            raise ConfigError(got="no modules to train", expected="at least one", mend="Use the default.")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(self.num_steps - self.warmup_steps, 1)
        factors = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
        return self.learning_rate * factors[self.lr_schedule]


def check_range(name: str, value: float, low: float, high: float, mend: str) -> None:
    """Raises ConfigError unless low <= value <= high; NaN is out of every range."""
    if not low <= value <= high:
        bounds = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        raise ConfigError(got=f"{name} {value}", expected=bounds, mend=mend)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ConfigError unless value is one of the choices."""
    if value not in choices:
        raise ConfigError(got=f"{name} {value!r}", expected=f"one of {', '.join(choices)}", mend="Choose one of them.")


def resolve_precision(precision: str, device: torch.device, weights: torch.dtype) -> torch.dtype:
    """The dtype to compute in.

    Raises:
        ConfigError: fp32 is asked for, and the frozen weights are in half precision.
    """
    if precision == "auto":
        if device.type == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        else:
            precision = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(weights, "fp32")
    if precision == "fp32" and weights != torch.float32:
        raise ConfigError(
            got=f"precision fp32 for a model loaded in {weights}",
            expected="a model in float32, or precision fp16 or bf16",
            mend="Load the checkpoint with dtype=torch.float32.",
        )
    return PRECISIONS[precision]
