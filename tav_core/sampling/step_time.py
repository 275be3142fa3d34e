"""How long an inversion or an edit will take, before its first step; see models/step_time.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..denoisers.residuals import ReadyControlNet
from ..denoisers.windows import WindowedDenoiser, with_anchor
from ..models.families import find_family
from ..models.step_time import TimeEstimate, Work, count_prediction, estimate_time
from .config import AnimationConfig, EditConfig, InvertConfig
from .injection import InjectedDenoiser

if TYPE_CHECKING:
    from ..models.conditioning import Conditioning

# The work of a ControlNet, as a share of the UNet's, counted by benchmarks/roofline.py on Stable Diffusion 1.5 and XL.
CONTROLNET_SHARE = 0.31
CONTROLNET_SHARE_XL = 0.42
# How often `count_inversion` and `count_edit` predict, by whether with guidance.
Predictions = dict[bool, int]


def count_inversion(config: InvertConfig, num_steps: int) -> Predictions:
    """How often an inversion predicts: none of it is guided."""
    # An exact one computes its first step as a fixed point, and one more for what sampling needs beside the noise.
    more = {"fixed_point": config.iterations * num_steps, "o_belm": config.iterations + num_steps}
    return {False: more.get(config.method, num_steps)}


def count_edit(
    denoiser: Denoiser, config: EditConfig, *, num_prompts: int = 1, num_local: int = 0, steps: int | None = None
) -> Predictions:
    """How often an edit by DDIM predicts with guidance, and how often without; steps that reuse layers count whole.

    Args:
        num_local: prompts for parts of the picture. With any, each prompt is predicted by itself in every step.
        steps: how many of the steps are taken, the last ones; None for all.
    """
    schedule = denoiser.schedule
    skipped = 0 if steps is None else config.num_steps - steps
    lowest = config.lowest_guided(schedule.num_train_timesteps)
    predictions = {True: 0, False: 0}
    taken = list(enumerate(reversed(schedule.timesteps(config.num_steps)), start=1))[skipped:]
    for done, timestep in taken:
        times = num_prompts * config.times(done, config.num_steps)
        guided = timestep >= lowest and config.guidance_scale > 1
        if num_local:
            predictions[False] += times * (1 + guided + num_local)
        else:
            predictions[guided] += times
    return predictions


def count_animation(
    denoiser: Denoiser, start: AnimationConfig, config: EditConfig, *, num_prompts: int = 1
) -> Predictions:
    """How often an edit that starts from an animation predicts, its inversion included."""
    if start.begin == "noised":
        return count_edit(denoiser, config, num_prompts=num_prompts, steps=start.steps_of(config.num_steps))
    inversion, edit = count_inversion(InvertConfig(), config.num_steps), count_edit(denoiser, config)
    return {True: num_prompts * edit[True], False: num_prompts * edit[False] + inversion[False]}


def estimate_sampling_time(
    denoiser: Denoiser, shape: Sequence[int], context: Conditioning, predictions: Predictions
) -> TimeEstimate | None:
    """How long an inversion or an edit will take, without its VAE; see `estimate_time`.

    Args:
        denoiser: a `UNetDenoiser`, or context windows or an injection around one.
        shape: of the latents of one video, `1 c f h w`.
        context: what the denoiser is told of one video.
        predictions: see `count_inversion` and `count_edit`.
    """
    shapes = [
        (share * number, each)
        for guided, number in predictions.items()
        for share, runs in shares_of_steps(denoiser)
        if share * number
        for each in shapes_of_step(runs, shape, guided=guided)
    ]
    return estimate_runs(denoiser, shapes, context, num_steps=sum(predictions.values()))


def estimate_runs(
    denoiser: Denoiser, shapes: Sequence[tuple[float, tuple[int, ...]]], context: Conditioning, *, num_steps: int
) -> TimeEstimate | None:
    """How long a UNet's runs on latents of some shapes will take; see `estimate_time`.

    Args:
        shapes: how often, and the shape `b c f h w`.
    """
    inner = find_unet(denoiser)
    nets = sum(isinstance(control, ReadyControlNet) for control in inner.controls)
    is_xl = find_family(inner.unet.config).added_conditions
    times = 1 + nets * (CONTROLNET_SHARE_XL if is_xl else CONTROLNET_SHARE)

    def count() -> Work:
        alike = {each: sum(number for number, other in shapes if other == each) for _, each in shapes}
        return [(times * number, count_prediction(inner.unet, each, context)) for each, number in alike.items()]

    return estimate_time(num_steps, count, device=inner.unet.device, dtype=inner.unet.dtype)


def shares_of_steps(denoiser: Denoiser) -> list[tuple[float, Denoiser]]:
    """What runs in which share of the steps: an injection's source leaves the batch after the last one that injects."""
    if not isinstance(denoiser, InjectedDenoiser):
        return [(1.0, denoiser)]
    share = max(denoiser.config.attention, denoiser.config.features)
    return [(share, denoiser), (1 - share, denoiser.denoiser)]


def shapes_of_step(denoiser: Denoiser, shape: Sequence[int], *, guided: bool) -> list[tuple[int, ...]]:
    """The shapes of the latents that a UNet gets in one step, one for each of its runs.

    Args: see `estimate_sampling_time`.
    """
    videos, channels, num_frames, height, width = shape
    videos *= 1 + guided
    if isinstance(denoiser, InjectedDenoiser):
        # The source runs with the others.
        videos, denoiser = videos + 1, denoiser.denoiser
    lengths = [num_frames]
    if isinstance(denoiser, WindowedDenoiser):
        # At the first timestep; windows of all steps are equally long, and about as many.
        windows = denoiser.windows.at(num_frames, 0)
        lengths = [len(with_anchor(window) if denoiser.anchored else window) for window in windows]
    return [(videos, channels, length, height, width) for length in lengths]


def find_unet(denoiser: Denoiser) -> UNetDenoiser:
    """The denoiser that has the UNet, however many denoisers are around it."""
    *_, inner = layers_of(denoiser)
    assert isinstance(inner, UNetDenoiser), "the library's own denoisers are all around one that has a UNet"
    return inner


def layers_of(denoiser: Denoiser) -> Iterator[Denoiser]:
    """A denoiser, the one in it, and so on."""
    yield denoiser
    while (within := getattr(denoiser, "denoiser", None)) is not None:
        yield within
        denoiser = within
