"""The settings of inverting, sampling, injection and local edits: the one source of their defaults and bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..settings import check_settings, setting

# How an inversion steps. Only what an exact one ends in must be sampled from by its own steps backwards.
METHODS = ("ddim", "fixed_point", "o_belm", "dpmpp_2m")
EXACT = ("o_belm",)
# These compute a step more than once.
ITERATED = ("fixed_point", "o_belm")
# Sampling follows these by steps of their own, which add no fresh noise.
OWN_STEPS = (*EXACT, "dpmpp_2m")
# The ResNets of Stable Diffusion's decoder, by which the paper counts.
PAPER_LAYERS = 12
PAPER_LEVELS = 4
# The share of the steps, from noise on, that decide what is where; only these are resampled.
RESAMPLED = 0.7
# How sampling starts from a crude animation.
BEGINNINGS = ("inverted", "noised")


@dataclass(frozen=True, kw_only=True)
class InvertConfig:
    """How to invert. `ddim` is the original's; the iterations are within the range of AIDI (arXiv 2309.04907).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    method: str = setting(
        "ddim",
        "ddim is the paper's; fixed_point loses less and takes longer; o_belm can be reversed exactly; dpmpp_2m loses "
        "as little in 10 steps as ddim in 20.",
        choices=METHODS,
    )
    iterations: int = setting(
        4,
        "How many times fixed_point computes each step, and o_belm its first step. With 1, fixed_point is ddim.",
        low=1,
        high=50,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """How to sample. The defaults are the original's (configs/*.yaml and pipeline_tuneavideo.py).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    num_steps: int = setting(50, "Sampling steps; must be as many as the inversion had.", low=1, high=999)
    guidance_scale: float = setting(
        12.5, "How strongly the edit follows the prompt; 1 or less turns guidance off.", low=0, high=100
    )
    guidance_until: float = setting(
        1.0,
        "Share of the timesteps, from noise on, that have guidance (arXiv 2404.07724); a step without it costs half.",
        low=0,
        high=1,
    )
    deep_every: int = setting(
        1,
        "Run the UNet's deep layers in every n-th step alone, and reuse their features in between (DeepCache, arXiv "
        "2312.00858); 1 runs them always.",
        low=1,
        high=10,
    )
    merge_tokens: float = setting(
        0.0,
        "Share of each frame's tokens that go through the finest self-attention together with one that they are most "
        "like (ToMe, arXiv 2303.17604); 0 merges none.",
        low=0,
        # Of 2 x 2 tokens, one stays for the others to go into.
        high=0.75,
    )
    eta: float = setting(0.0, "How much fresh noise each step adds; 0 keeps the source's motion best.", low=0, high=1)
    seed: int = setting(
        33,
        "Seed of a random start, and of the noise that eta, a noise_prior below 1 and resample add.",
        low=0,
        high=2**63 - 1,
    )
    noise_prior: float = setting(
        1.0,
        "Share of the inverted noise in the start; the rest is random noise, which keeps less of the source's looks. 1 "
        "takes all of it.",
        low=0,
        high=1,
    )
    resample: int = setting(
        1,
        "How often each of the first 70 % of the steps of a masked edit is taken, with new noise in between that moves "
        "along with the mask, so that it can add what the clip does not show (RePaint, arXiv 2201.09865); 3 takes 2.4 "
        "times as long.",
        low=1,
        high=20,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def times(self, done: int, num_steps: int) -> int:
        """How often the step is taken that is the `done`-th of so many, counted from 1."""
        return self.resample if done <= RESAMPLED * num_steps else 1

    def lowest_guided(self, num_train_timesteps: int) -> float:
        """The timestep below which nothing is guided, of a schedule of so many."""
        return (1 - self.guidance_until) * num_train_timesteps


class Injected(NamedTuple):
    """What a step takes from the source."""

    attention: bool
    features: bool


@dataclass(frozen=True, kw_only=True)
class InjectionConfig:
    """What is taken from the source, for how long and from where on.

    The defaults are Plug-and-Play's (arXiv 2211.12572, section 4, and its code). Layer 4 is, in diffusers' names,
    ResNet 1 of up-block 1; the attentions from there on are 1 and 2 of up-block 1, and all of up-blocks 2 and 3.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    attention: float = setting(
        0.5, "Share of the steps, from the first on, that take the source's attention; 0 is none.", low=0, high=1
    )
    features: float = setting(
        0.8, "Share of the steps, from the first on, that take the source's features; 0 is none.", low=0, high=1
    )
    first_layer: int = setting(
        4,
        "Decoder layer at which injection begins: 0 is the coarsest, 11 the finest. Smaller models scale the number.",
        low=0,
        high=PAPER_LAYERS - 1,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def at(self, timestep: float, timesteps: Sequence[int]) -> Injected:
        """What the step at a timestep takes, where an inversion had these timesteps, ascending.

        A sampler may have other timesteps: it takes what the inversion's next lower one would.
        """

        def reached(share: float) -> bool:
            num_steps = round(share * len(timesteps))
            # All steps are more than the inversion's: a sampler may end with one at timestep 0.
            return num_steps == len(timesteps) or (num_steps > 0 and timestep >= timesteps[-num_steps])

        return Injected(attention=reached(self.attention), features=reached(self.features))

    def first_of(self, num_layers: int, *, num_levels: int = PAPER_LEVELS) -> int:
        """The layer where injection begins in a decoder of `num_layers` ResNets.

        Args:
            num_levels: resolutions of the decoder. Of fewer than the paper's, the coarsest are missing, so layers are
                counted from the finest: layer 4 is at a quarter of the latents' width in Stable Diffusion XL too.
        """
        shared = (PAPER_LAYERS - self.first_layer) * num_layers * PAPER_LEVELS
        # The division rounds up.
        return max(num_layers + shared // -(PAPER_LAYERS * num_levels), 0)


@dataclass(frozen=True, kw_only=True)
class LocalEditConfig:
    """Where in a clip to edit, beside a mask. Feather and ramp are our choice.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    feather: int = setting(
        8, "Pixels beyond the mask over which the edit fades out; 0 is a hard edge.", low=0, high=512
    )
    first_frame: int = setting(0, "First frame to edit, counted from 0.", low=0, high=2**31 - 1)
    last_frame: int = setting(-1, "Last frame to edit; -1 is the clip's last frame.", low=-1, high=2**31 - 1)
    ramp: int = setting(
        3, "Frames at each end of the range, inside it, over which the edit fades in or out.", low=0, high=64
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class AnimationConfig:
    """How sampling starts from an animation. What each value does was measured, see docs/animate.md.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    begin: str = setting(
        "inverted",
        "inverted keeps the picture and the path best; noised takes half as long and makes more of the prompt.",
        choices=BEGINNINGS,
    )
    strength: float = setting(
        0.7,
        "How much noise a noised animation has, as a share of the steps that are taken: lower stays nearer to the "
        "animation, higher follows the prompt more.",
        low=0.01,
        high=1,
    )
    hold: float = setting(
        0.5,
        "Share of a noised animation's steps, from the first on, that keep it inside the mask; 0 is off, and without a "
        "mask nothing is kept.",
        low=0,
        high=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def steps_of(self, num_steps: int) -> int:
        """How many of so many sampling steps are taken; at least one."""
        if self.begin == "inverted":
            return num_steps
        return max(1, round(self.strength * num_steps))

    def held_of(self, num_steps: int) -> int:
        """In how many of so many sampling steps, from the first one taken on, the animation is kept inside its mask."""
        return round(self.hold * self.steps_of(num_steps))
