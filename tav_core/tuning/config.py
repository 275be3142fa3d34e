"""The settings of a tuning run: the one source of their defaults and bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from ..settings import check_settings, is_number, setting

PRECISIONS = ("fp32", "fp16", "bf16")
SCHEDULES = ("constant", "linear", "cosine")
MEMORY_MODES = ("auto", "speed", "balanced", "low")
RECOMPUTE = ("nothing", "blocks", "layers")
RESUMES = ("continue", "restart", "new")


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """How to tune. The defaults are the original's (configs/*.yaml and train_tuneavideo.py) unless noted.

    Raises:
        ConfigError: a setting is out of its range; the first such setting is named.
    """

    num_steps: int = setting(500, "Tuning steps in total, including those done before a resume.", low=0, high=100_000)
    learning_rate: float = setting(3e-5, "AdamW's learning rate.", low=1e-8, high=1.0)
    betas: tuple[float, float] = setting((0.9, 0.999), "AdamW's decay rates of the two moments.")
    weight_decay: float = setting(1e-2, "AdamW's weight decay.", low=0, high=1)
    epsilon: float = setting(1e-8, "AdamW's term that prevents division by zero.", low=1e-12, high=1e-2)
    max_grad_norm: float = setting(1.0, "Gradients with a larger norm are scaled down to this norm.", low=1e-8)
    lr_schedule: str = setting("constant", "How the learning rate changes after the warm-up.", choices=SCHEDULES)
    warmup_steps: int = setting(0, "Steps over which the learning rate rises from zero.", low=0)
    seed: int = setting(33, "Seed of the timesteps and the noise.", low=0, high=2**63 - 1)
    precision: str = setting(
        "auto",
        "Precision of the computation; auto is bf16 or fp16 on a GPU, elsewhere that of the weights. Weights that "
        "train are always fp32.",
        choices=("auto", *PRECISIONS),
    )
    memory: str = setting(
        "auto",
        "auto takes the fastest mode that fits into the free memory; speed keeps all activations; balanced recomputes "
        "them; low recomputes more of them, in smaller parts.",
        choices=MEMORY_MODES,
    )
    recompute: str = setting(
        "auto",
        "Which activations are recomputed in the backward pass instead of being kept; auto follows the memory mode.",
        choices=("auto", *RECOMPUTE),
    )
    window: int = setting(
        0, "Neighbouring frames that each step learns from; 0 for all. Limits the memory that a long clip takes.", low=0
    )
    modules: tuple[str, ...] = setting(
        ("attn1.to_q", "attn2.to_q", "attn_temp"), "Modules that are trained, by the endings of their names."
    )
    query_rank: int = setting(
        -1,
        "Rank of the two factors that are trained in place of each query projection; 0 trains the projections whole; "
        "-1 is 32 for Stable Diffusion XL and 0 for 1.x and 2.x, as the original.",
        low=-1,
        high=1024,
    )
    low_rank_learning_rate: float = setting(
        5e-4, "AdamW's learning rate of these factors (MotionDirector's, arXiv 2310.08465).", low=1e-8, high=1.0
    )
    min_timestep: int = setting(0, "The lowest timestep that steps are trained on.", low=0)
    max_timestep: int = setting(
        1000, "The timestep below which all trained timesteps lie; the model's own number, if that is lower.", low=1
    )
    min_snr_gamma: float = setting(
        0.0,
        "Weighs down the loss of timesteps with little noise, to a signal-to-noise ratio of at most this (arXiv "
        "2303.09556, which uses 5); 0 weighs all alike.",
        low=0,
        high=1000,
    )
    noise_offset: float = setting(
        0.0,
        "Adds as much of one random value per channel to the noise of all pixels; usual are 0.05 to 0.1.",
        low=0,
        high=1,
    )
    appearance_debias: float = setting(
        0.0,
        "Weight of MotionDirector's loss on what differs from a random frame, beside the usual one (arXiv 2310.08465, "
        "which uses 1); 0 leaves it out.",
        low=0,
        high=100,
    )
    save_every: int = setting(
        20,
        "Steps between saves of the run, or more where saving would slow it by over 2 %. It is also saved when it ends "
        "or is cancelled; 0 saves it only then.",
        low=0,
    )
    resume: str = setting("continue", "What to do if there is already a run of this name.", choices=RESUMES)

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.modules or not all(isinstance(name, str) and name for name in self.modules):
            raise ConfigError(
                got=f"modules to train {self.modules!r}",
                expected="at least one ending of a module's name",
                mend="Use the default.",
            )
        if self.window == 1:
            raise ConfigError(got="a window of 1 frame", expected="2 or more, or 0 for all", mend="Use 16.")
        if self.min_timestep >= self.max_timestep:
            raise ConfigError(
                got=f"min_timestep {self.min_timestep} and max_timestep {self.max_timestep}",
                expected="a lower min_timestep",
                mend="Use 0 and 1000 for all timesteps.",
            )
        if self.warmup_steps > self.num_steps:
            raise ConfigError(
                got=f"warmup_steps {self.warmup_steps} in a run of {self.num_steps} steps",
                expected="no more than the run has",
                mend="Use 0, or a tenth of the steps.",
            )
        if len(self.betas) != 2 or not all(is_number(beta) and 0 <= beta < 1 for beta in self.betas):
            raise ConfigError(
                got=f"betas {self.betas}", expected="two numbers from 0 to below 1", mend="Use 0.9, 0.999."
            )

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(self.num_steps - self.warmup_steps, 1)
        factors = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
        return self.learning_rate * factors[self.lr_schedule]


def check_has_steps(num_steps: int, *, starts: bool) -> None:
    """Raises `ConfigError` for a tuning of no steps, unless it starts from a motion, which it then gives back."""
    if num_steps == 0 and not starts:
        raise ConfigError(
            got="num_steps 0 without a motion to start from",
            expected="at least one step",
            mend="Use 100 to 500 steps, or give a motion to start from.",
        )


# For what many clips teach, a start of later tunings. The queries stay the base's: they hold what is a clip's own.
START = TuneConfig(num_steps=2000, learning_rate=1e-3, modules=("attn_temp",))
# For a few clips of one motion: MotionDirector's rate and loss, and the fewest steps that it takes for several.
SEVERAL = TuneConfig(
    num_steps=300,
    learning_rate=5e-4,
    low_rank_learning_rate=5e-4,
    modules=("attn_temp",),
    appearance_debias=1.0,
)
APPEARANCE_RANK = 32
