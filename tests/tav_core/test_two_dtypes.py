"""Every stage with a model in one dtype and inputs in another, as users give them: a checkpoint in half precision and a
float32 clip, or a float32 checkpoint and a clip that another program left in half precision.

Each result is held against that of the same numbers in float32 throughout, so that neither a stage that fails on two
dtypes nor one that computes in the lower of them goes unseen. PyTorch refuses products and convolutions of two dtypes,
on this CPU as on a card; sums of two it takes in silence.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace

import pytest
import torch
from diffusers import ControlNetModel, EulerDiscreteScheduler, T2IAdapter, UNet2DConditionModel

from tav_core.denoisers.control import Control, add_controls
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.flow_guided import FlowGuidedDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.metrics.token_paths import token_paths
from tav_core.models.conditioning import Conditioning
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.models.lavie.schedules import lavie_schedule
from tav_core.models.schedule import NoiseSchedule, gaussian_noise
from tav_core.models.shared_weights import cast
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.injection import InjectedDenoiser
from tav_core.sampling.interpolate import interpolate
from tav_core.sampling.invert import invert
from tav_core.sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig
from tav_core.sampling.local_edit import composite, keep_outside
from tav_core.sampling.text_to_video import text_to_video
from tav_core.sampling.trajectory import Trajectory
from tav_core.sampling.upscale import upscale
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import generate
from tav_core.sampling.zero_shot.instruct import encode_pictures, instruct
from tav_core.sampling.zero_shot.instruct_config import InstructConfig
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.tune import tune
from tests.tav_core.conftest import widen_input
from tests.tav_core.lavie_models import small_lavie

FRAMES, STEPS = 3, 2
EDIT = EditConfig(num_steps=STEPS, guidance_scale=2.0)
FP32 = torch.float32
# The dtype of the models, and that of the clip, the latents and the texts.
MIXES = [(torch.bfloat16, FP32), (torch.float16, FP32), (FP32, torch.bfloat16), (FP32, torch.float16)]
# Of the largest value. A float16 keeps 11 bits of a number, a bfloat16 8; the errors of layers and steps add up.
CLOSE = {torch.float16: 0.02, torch.bfloat16: 0.15}


@pytest.fixture(scope="module")
def tuned(sd1):
    """What every mix begins with, in float32: the clip, its latents, a text, and a motion tuned on them."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand((FRAMES, 64, 64, 3), generator=generator)
    told = Conditioning(text=torch.randn((1, 77, 64), generator=generator))
    schedule = NoiseSchedule.from_config(sd1.scheduler)
    untuned = UNetDenoiser(unet=InflatedUNet.from_2d(sd1.unet), schedule=schedule)
    latents = encode_frames(sd1.vae, clip).mean
    motion = tune(untuned, latents, told, config=TuneConfig(num_steps=1, precision="fp32"))
    denoiser = UNetDenoiser(unet=motion.apply_to(sd1.unet), schedule=schedule)
    trajectory = invert(denoiser, latents, told, num_steps=STEPS)
    return SimpleNamespace(clip=clip, told=told, latents=latents, motion=motion, trajectory=trajectory)


@pytest.fixture(scope="module")
def mixed(sd1, tuned):
    """Models in one dtype and inputs in another: mixed(model, given)."""

    @lru_cache
    def mix(model, given):
        unet, vae = (in_dtype(copy.deepcopy(part), model) for part in (sd1.unet, sd1.vae))
        schedule = NoiseSchedule.from_config(sd1.scheduler)
        path = replace(tuned.trajectory, latents=tuned.trajectory.latents.to(given))
        return SimpleNamespace(
            model=model,
            given=given,
            parts=sd1,
            unet=unet,
            vae=vae,
            schedule=schedule,
            denoiser=UNetDenoiser(unet=tuned.motion.apply_to(unet), schedule=schedule),
            untuned=UNetDenoiser(unet=InflatedUNet.from_2d(unet), schedule=schedule),
            clip=tuned.clip.to(given),
            latents=tuned.latents.to(given),
            told=tuned.told.to(dtype=given),
            negative=tuned.told.map(torch.zeros_like).to(dtype=given),
            trajectory=path,
        )

    return mix


@pytest.fixture(scope="module")
def exact(mixed):
    """A stage's result in float32: exact(stage)."""
    return lru_cache(lambda stage: stage(mixed(FP32, FP32)))


def in_dtype(module, dtype):
    return cast(module, torch.device("cpu"), dtype)


def rendered(mix, denoiser, start=None, **more):
    """An edit, in the start's dtype."""
    return edit(denoiser, start or mix.trajectory, mix.told, mix.negative, config=EDIT, **more)


def joined(tensors):
    """All values in one tensor. Of two dtypes, torch.cat would take the wider, and so hide the other."""
    parts = [tensor.flatten() for tensor in tensors]
    assert len({part.dtype for part in parts}) == 1
    return torch.cat(parts)


def encoded(mix):
    moments = encode_frames(mix.vae, mix.clip)
    return {"float32": joined([moments.mean, moments.std])}


def encoded_in_half(mix):
    """By a VAE that need not be in float32, as those made for float16 say."""
    vae = copy.deepcopy(mix.vae)
    vae.register_to_config(force_upcast=False)
    moments = encode_frames(vae, mix.clip)
    return {"float32": joined([moments.mean, moments.std])}


def decoded(mix):
    return {"float32": decode_latents(mix.vae, mix.latents)}


def learned(mix):
    """A motion is kept in float32, whatever the model is in."""
    precision = {"precision": "bf16"} if mix.model == torch.float16 else {}
    motion = tune(mix.untuned, mix.latents, mix.told, config=TuneConfig(num_steps=1, **precision))
    return {"float32": joined(motion.temporal.values())}


def inverted(mix):
    trajectory = invert(mix.denoiser, mix.latents, mix.told, num_steps=STEPS, method="fixed_point", iterations=1)
    return {"given": trajectory.latents}


def edited(mix):
    return {"given": rendered(mix, mix.denoiser)}


def edited_from_noise(mix):
    """Of a diffusers scheduler, and of ours with noise added to each step."""
    noise, config = gaussian_noise(tuple(mix.latents.shape), 0), replace(EDIT, eta=0.5)
    theirs = edit(mix.denoiser, noise, mix.told, mix.negative, config=EDIT, scheduler=EulerDiscreteScheduler())
    return {"float32": joined([theirs, edit(mix.denoiser, noise, mix.told, mix.negative, config=config)])}


def windowed_injected_and_masked(mix):
    """Injection around windows around flow guidance, inside a mask."""
    mask = torch.zeros(FRAMES, 64, 64, dtype=mix.given)
    mask[:, 16:48, 16:48] = 1
    along = FlowGuidedDenoiser(denoiser=mix.denoiser, paths=token_paths(mix.clip))
    windows = WindowedDenoiser(denoiser=along, windows=ContextWindows(length=2, overlap=1))
    injected = InjectedDenoiser(denoiser=windows, trajectory=mix.trajectory, source_context=mix.told)
    return {"given": rendered(mix, injected, correct=keep_outside(mix.trajectory, mask))}


def composed(mix):
    """The clip in the given dtype with decoded frames inside a mask, which are float32."""
    mask = torch.zeros(FRAMES, 64, 64, dtype=mix.given)
    mask[:, 16:48, 16:48] = 1
    return {"given": composite(mix.clip, decode_latents(mix.vae, mix.latents)[0], mask)}


def controlled(mix):
    """A ControlNet, and an adapter beside it, each in float32 as their loaders give them."""
    config = {name: value for name, value in mix.parts.unet.config.items() if not name.startswith("_")}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ControlNetModel.from_unet(
            UNet2DConditionModel.from_config(config), conditioning_embedding_out_channels=(4, 8, 8, 8)
        )
        adapter = T2IAdapter(in_channels=3, channels=list(config["block_out_channels"]))
    nets = [each.eval().requires_grad_(False) for each in (net, adapter)]
    return {"given": rendered(mix, add_controls(mix.denoiser, [Control(net=each, frames=mix.clip) for each in nets]))}


def made_from_text(mix):
    unet = InflatedUNet.from_2d(mix.unet, attention="first", temporal=False)
    denoiser = UNetDenoiser(unet=unet, schedule=mix.schedule)
    config = ZeroShotConfig(num_frames=FRAMES, num_steps=4, chunk_size=2, width=64, height=64)
    foreground = torch.zeros(FRAMES, 8, 8, dtype=mix.given)
    foreground[:, 2:5, 2:5] = 1
    return {"float32": generate(denoiser, mix.told, mix.negative, config=config, foreground=foreground)}


def instructed(mix):
    unet = InflatedUNet.from_2d(in_dtype(widen_input(mix.parts).unet, mix.model), attention="first", temporal=False)
    denoiser = UNetDenoiser(unet=unet, schedule=mix.schedule)
    pictures = encode_pictures(mix.vae, mix.clip)
    return {"float32": instruct(denoiser, pictures, mix.told, mix.negative, config=InstructConfig(num_steps=2))}


def lavie(kind):
    def made(mix):
        denoiser = UNetDenoiser(unet=in_dtype(small_lavie(kind), mix.model), schedule=lavie_schedule(kind))
        told = mix.told.text, mix.negative.text
        if kind == "base":
            config = TextToVideoConfig(num_steps=STEPS, num_frames=FRAMES, width=64, height=64)
            return {"float32": text_to_video(denoiser, *told, config=config)}
        if kind == "interpolation":
            return {"float32": interpolate(denoiser, mix.latents, *told, config=InterpolateConfig(num_steps=STEPS))}
        return {"float32": upscale(denoiser, mix.clip[:, :16, :16], *told, config=UpscaleConfig(num_steps=STEPS))}

    made.__name__ = kind
    return made


STAGES = [encoded, encoded_in_half, decoded, learned, inverted, edited, edited_from_noise]
STAGES += [
    windowed_injected_and_masked,
    composed,
    controlled,
    made_from_text,
    instructed,
    *map(lavie, ("base", "interpolation", "super_resolution")),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
@pytest.mark.parametrize(("model", "given"), MIXES, ids=str)
def test_a_stage_in_two_dtypes(mixed, exact, stage, model, given):
    check(stage, mixed(model, given), exact(stage))


def check(stage, mix, exact):
    """A result is in the dtype that it is promised in, and as near to float32's as the lower of the two allows.

    Args:
        exact: the stage's result in float32.
    """
    ((kept, got),), (expected,) = stage(mix).items(), exact.values()
    assert got.dtype == (mix.given if kept == "given" else FP32)
    assert got.isfinite().all()
    far = ((got.float() - expected).abs().max() / expected.abs().max()).item()
    assert far < min(CLOSE[dtype] for dtype in (mix.model, mix.given) if dtype in CLOSE)


class TestOfTheTest:
    """Planted errors: each leaves something in the dtype that it was in, or brings it into another."""

    def test_a_text_that_is_not_cast(self, mixed, monkeypatch):
        mixes, plain = [mixed(model, given) for model, given in MIXES], Conditioning.to
        monkeypatch.setattr(Conditioning, "to", lambda self, dtype=None, **where: plain(self, **where))
        for mix in mixes:
            with pytest.raises(RuntimeError, match="dtype"):
                edited(mix)

    def test_a_control_that_is_not_cast(self, mixed, monkeypatch):
        mixes = [mixed(model, given) for model, given in MIXES[:2]]
        monkeypatch.setattr("tav_core.models.shared_weights.cast", lambda net, *_: net)
        for mix in mixes:
            with pytest.raises(RuntimeError, match="type"):
                controlled(mix)

    @pytest.mark.parametrize(("model", "given"), MIXES, ids=str)
    def test_latents_in_the_models_dtype(self, mixed, exact, monkeypatch, model, given):
        mix = mixed(model, given)
        expected = exact(edited)
        monkeypatch.setattr(Trajectory, "noise", property(lambda self: self.latents[-1].to(mix.model)))
        with pytest.raises(AssertionError):
            check(edited, mix, expected)

    def test_predictions_of_too_few_bits(self, mixed, exact, monkeypatch):
        """The result has the right dtype, and wrong values."""
        plain, expected = UNetDenoiser.epsilon, exact(edited)
        coarse = lambda self, latents, *told: (plain(self, latents, *told) * 4).round() / 4  # noqa: E731
        monkeypatch.setattr(UNetDenoiser, "epsilon", coarse)
        with pytest.raises(AssertionError):
            check(edited, mixed(torch.float16, FP32), expected)
