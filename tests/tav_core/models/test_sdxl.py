"""A tiny Stable Diffusion XL as a video model: what its UNet is told, what its frames see, tuning, inversion, edit."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from tav_core.checkpoints.load import load_checkpoint
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.guidance import guided
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError, MotionError
from tav_core.models.conditioning import Conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import Motion, import_original
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune
from tests.tav_core.conftest import POOLED

FRAMES, SIDE = 3, 8
SIZES = (SIDE * 8, SIDE * 8, 0, 0, SIDE * 8, SIDE * 8)
CONFIG = TuneConfig(num_steps=2, learning_rate=1e-2, memory="speed")


def told(seed=0, *, sizes=SIZES):
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn((1, 7, 128), generator=generator)
    pooled = torch.randn((1, POOLED), generator=generator)
    return Conditioning(text=text, pooled_text=pooled, size_ids=None if sizes is None else torch.tensor([sizes]))


def noisy(frames=FRAMES, seed=5):
    return torch.randn((1, 4, frames, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))


def make(sdxl, **modes):
    schedule = NoiseSchedule.from_config(sdxl.scheduler)
    return UNetDenoiser(unet=InflatedUNet.from_2d(sdxl.unet, **modes), schedule=schedule)


def shake(unet, seed=11):
    """Gives temporal layers of random weights, so that they do something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in unet.temporal_state().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    return unet


@pytest.fixture(scope="module")
def motion(sdxl):
    return tune(make(sdxl), noisy(seed=1), told(sizes=None), config=CONFIG)


@torch.no_grad()
def test_one_frame_is_exactly_what_the_2d_unet_gives(sdxl):
    context, latents = told(), noisy(1)
    added = {"text_embeds": context.pooled_text, "time_ids": context.size_ids}
    expected = sdxl.unet(latents[:, :, 0], 481, context.text, added_cond_kwargs=added).sample
    assert torch.equal(make(sdxl).unet(latents, 481, context)[:, :, 0], expected)


@torch.no_grad()
def test_sizes_that_are_not_given_are_those_of_the_latents(sdxl):
    unet, latents = make(sdxl).unet, noisy()
    assert torch.equal(unet(latents, 481, told(sizes=None)), unet(latents, 481, told()))
    wide = torch.cat([latents, latents], dim=4)
    sizes = (64, 128, 0, 0, 64, 128)
    assert torch.equal(unet(wide, 481, told(sizes=None)), unet(wide, 481, told(sizes=sizes)))
    assert (unet(latents, 481, told(sizes=sizes)) - unet(latents, 481, told())).abs().max() > 1e-4


@torch.no_grad()
def test_a_batch_of_two_prompts_is_two_predictions(sdxl, close):
    denoiser, latents = make(sdxl), noisy()
    shake(denoiser.unet)
    positive, negative = (denoiser.epsilon(latents, 481, told(seed)) for seed in (0, 1))
    expected = negative + 3 * (positive - negative)
    close(guided(denoiser, told(0), told(1), 3.0)(latents, 481), expected, 1e-5)
    close(guided(denoiser, told(0, sizes=None), told(1, sizes=None), 3.0)(latents, 481), expected, 1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "attention, seen", [("spatial", {2}), ("first", {0, 2}), ("sparse_causal", {0, 1, 2}), ("causal", {0, 1, 2})]
)
def test_a_frame_sees_only_the_frames_of_its_mode(sdxl, attention, seen):
    unet, frame = make(sdxl, attention=attention, group_norm="frame").unet, 2
    before = unet(noisy(4), 481, told())
    for other in range(4):
        latents = noisy(4)
        latents[:, :, other] += 1
        changed = (unet(latents, 481, told()) - before)[:, :, frame].abs().max() > 1e-6
        assert changed == (other in seen), other


@torch.no_grad()
def test_windows_of_spatial_frames_are_the_whole(sdxl, close):
    denoiser, latents = make(sdxl, attention="spatial"), noisy(5)
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows(length=3, overlap=1))
    close(windowed.epsilon(latents, 481, told()), denoiser.epsilon(latents, 481, told()), 1e-5)


def test_text_alone_is_not_enough(sdxl):
    with pytest.raises(ConfigError, match="pooled_text and size_ids, which is what this UNet takes"):
        make(sdxl).predict(noisy(), 481, told().text)


def test_every_trained_tensor_gets_a_gradient(sdxl):
    denoiser = make(sdxl)
    shake(denoiser.unet)
    run = TuningRun(denoiser, noisy(), told(), config=CONFIG)
    # Before the first step, low-rank factors hide each other's gradient: one of them is zero.
    run.advance()
    run.optimizer.zero_grad()
    run.loss(*run.draw()).backward()
    assert len(run.trainable) > 20
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in run.trainable.values())


def test_a_motion_records_the_sizes_and_edits_are_told_the_same(sdxl, motion, tmp_path):
    assert motion.info.size_ids == list(SIZES)
    other = dataclasses.replace(motion, info=dataclasses.replace(motion.info, size_ids=[1024, 1024, 0, 0, 1024, 1024]))
    loaded = Motion.load(other.save(tmp_path / "m.safetensors", dtype=torch.float32))
    assert loaded.info == other.info
    with torch.no_grad():
        as_tuned = loaded.apply_to(sdxl.unet)(noisy(), 481, told(sizes=None))
        expected = motion.apply_to(sdxl.unet)(noisy(), 481, told(sizes=other.info.size_ids))
    assert torch.equal(as_tuned, expected)


def test_a_saved_video_unet_keeps_its_sizes(sdxl, motion, tmp_path):
    unet = motion.apply_to(sdxl.unet)
    unet.save_pretrained(tmp_path)
    back = InflatedUNet.from_pretrained(tmp_path)
    assert back.size_ids == unet.size_ids == SIZES
    with torch.no_grad():
        assert torch.equal(back(noisy(), 481, told(sizes=None)), unet(noisy(), 481, told(sizes=None)))


def test_a_tuned_clip_is_inverted_and_sampled_back(sdxl, motion, close):
    tuned = UNetDenoiser(unet=motion.apply_to(sdxl.unet), schedule=NoiseSchedule.from_config(sdxl.scheduler))
    context, clip = told(sizes=None), noisy(seed=1)
    trajectory = invert(tuned, clip, context, num_steps=4, method="o_belm")
    config = EditConfig(num_steps=4, guidance_scale=1.0)
    back = edit(tuned, trajectory, context, told(3, sizes=None), config=config)
    close(back, clip, 1e-4)
    edited = edit(tuned, trajectory, told(4, sizes=None), context, config=EditConfig(num_steps=4, guidance_scale=5.0))
    assert torch.isfinite(edited).all() and (edited - clip).abs().max() > 1e-2


def test_a_motion_does_not_go_on_another_family(sd2, motion):
    with pytest.raises(MotionError, match=r"cross_attention_dim|block_out_channels"):
        motion.apply_to(sd2.unet)


def test_a_motion_does_not_go_on_other_depths(sdxl, motion):
    info = dataclasses.replace(
        motion.info, architecture={**motion.info.architecture, "transformer_layers_per_block": [1, 2, 10]}
    )
    with pytest.raises(MotionError, match=r"transformer_layers_per_block \[1, 2, 10\].*\[1, 2, 3\]"):
        dataclasses.replace(motion, info=info).apply_to(sdxl.unet)


def test_the_originals_motions_are_of_other_families(sdxl):
    with pytest.raises(MotionError, match="import for Stable Diffusion XL"):
        import_original({}, sdxl.unet)


def test_a_checkpoints_prompts_are_what_its_unet_takes(sdxl, write_folder, tmp_path):
    from tav_core.models.text import encode_prompt

    checkpoint = load_checkpoint(write_folder(sdxl, tmp_path / "model"))
    context = encode_prompt(checkpoint, "a cat")
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)
    assert torch.isfinite(denoiser.epsilon(noisy(), 481, context)).all()


def test_a_motion_goes_on_another_checkpoint_of_the_family(sdxl, motion, close):
    """A DreamBooth model is another checkpoint: the tuned differences come on top of its own queries."""
    other = copy.deepcopy(sdxl.unet)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.9)
    tuned = motion.apply_to(other)
    for name, delta in motion.deltas.items():
        close(tuned.get_parameter(name), 0.9 * sdxl.unet.get_parameter(name) + delta, 1e-6)
