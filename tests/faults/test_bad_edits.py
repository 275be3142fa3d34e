"""Bad inputs of edits besides the clip: masks, sources of injection, inversions to blend, controls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter
from safetensors.torch import save_file

from tav_core.checkpoints.control_nets import load_control
from tav_core.denoisers.control import Control, add_controls
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import CheckpointError, ClipError, ConfigError, LatentsError, TavError
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.blend import blend
from tav_core.sampling.config import EditConfig, LocalEditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.injection import InjectedDenoiser
from tav_core.sampling.invert import invert
from tav_core.sampling.local_edit import composite, edit_mask, keep_outside
from tav_core.sampling.trajectory import Trajectory
from tests.faults.checks import refused

FRAMES, SIDE, NAN = 3, 8, float("nan")
SIZE = (FRAMES, 8 * SIDE, 8 * SIDE)


@pytest.fixture(scope="module")
def denoiser(tiny_2d):
    return UNetDenoiser(unet=InflatedUNet.from_2d(tiny_2d), schedule=NoiseSchedule.from_config({"steps_offset": 1}))


@pytest.fixture(scope="module")
def context(tiny_2d):
    return torch.zeros(1, 7, tiny_2d.config.cross_attention_dim)


@pytest.fixture(scope="module")
def trajectory(denoiser, context):
    latents = torch.randn((1, 4, FRAMES, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    return invert(denoiser, latents, context, num_steps=2)


MASKS = {
    "nothing": None,
    "a list": [[[1.0]]],
    "an array": np.ones(SIZE, np.float32),
    "a picture": torch.ones(SIZE[1:]),
    "colours": torch.ones(*SIZE, 3),
    "a batch": torch.ones(1, *SIZE),
    "no frame": torch.ones(0, *SIZE[1:]),
    "no width": torch.ones(FRAMES, SIZE[1], 0),
    "two frames of three": torch.ones(2, *SIZE[1:]),
    "too many frames": torch.ones(FRAMES + 1, *SIZE[1:]),
    "as large as the latents": torch.ones(FRAMES, SIDE, SIDE),
    "the wrong way round": torch.ones(FRAMES, SIZE[1], 2 * SIZE[2]),
    "bytes": torch.full(SIZE, 255, dtype=torch.uint8),
    "below zero": torch.full(SIZE, -0.1),
    "above one": torch.full(SIZE, 1.1),
    "NaN": torch.full(SIZE, NAN),
    "one NaN": torch.ones(SIZE).index_put((torch.tensor(0), torch.tensor(0), torch.tensor(0)), torch.tensor(NAN)),
    "infinite": torch.full(SIZE, float("inf")),
    "complex": torch.ones(SIZE, dtype=torch.complex64),
}


class TestMasks:
    @pytest.mark.parametrize("mask", MASKS)
    def test_of_latents(self, tmp_path, trajectory, mask):
        with refused(ClipError, "mask", folder=tmp_path):
            keep_outside(trajectory, MASKS[mask])

    @pytest.mark.parametrize("mask", MASKS)
    def test_of_pixels(self, tmp_path, mask):
        frames = torch.zeros(*SIZE, 3)
        with refused(ClipError, "mask", folder=tmp_path):
            composite(frames, frames, MASKS[mask])

    @pytest.mark.parametrize("mask", [name for name in MASKS if name != "nothing"])
    def test_of_a_range_of_frames(self, tmp_path, mask):
        with refused(ClipError, "mask", folder=tmp_path):
            edit_mask(MASKS[mask], LocalEditConfig(), num_frames=FRAMES, height=SIZE[1], width=SIZE[2])

    def test_a_mask_of_nothing(self, tmp_path):
        with refused(ConfigError, "0 everywhere", folder=tmp_path):
            edit_mask(torch.zeros(SIZE), LocalEditConfig(), num_frames=FRAMES, height=SIZE[1], width=SIZE[2])

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
    def test_zeros_and_ones_are_taken_in_any_dtype(self, trajectory, dtype):
        mask, frames = torch.zeros(SIZE), torch.rand(*SIZE, 3)
        mask[:, :16] = 1
        assert torch.equal(composite(frames, frames.flip(0), mask.to(dtype)), composite(frames, frames.flip(0), mask))
        latents = trajectory.latents[0]
        given, plain = (keep_outside(trajectory, x)(latents.flip(2), 0) for x in (mask.to(dtype), mask))
        assert torch.equal(given, plain)


FRAMES_OF_COMPOSITES = {
    "nothing": None,
    "a list": [0.0],
    "a picture": torch.zeros(*SIZE[1:], 3),
    "no frame": torch.zeros(0, *SIZE[1:], 3),
    "another size": torch.zeros(FRAMES, SIDE, SIDE, 3),
    "fewer frames": torch.zeros(FRAMES - 1, *SIZE[1:], 3),
    "grey": torch.zeros(*SIZE, 1),
    "bytes": torch.zeros((*SIZE, 3), dtype=torch.uint8),
    "NaN": torch.full((*SIZE, 3), NAN),
}


@pytest.mark.parametrize("which", ["source", "edited"])
@pytest.mark.parametrize("frames", FRAMES_OF_COMPOSITES)
def test_frames_to_composite(tmp_path, frames, which):
    given = {name: torch.zeros(*SIZE, 3) for name in ("source", "edited")} | {which: FRAMES_OF_COMPOSITES[frames]}
    with refused(ClipError, "frames", folder=tmp_path):
        composite(given["source"], given["edited"], torch.ones(SIZE))


def ends(trajectory):
    return replace(trajectory, latents=trajectory.latents[[0, -1]])


def become(change):
    return lambda trajectory: replace(trajectory, latents=change(trajectory.latents))


# Of the two axes in front, the first are the steps and the second the videos.
SOURCES = {
    "nothing": lambda _: None,
    "noise alone": lambda trajectory: trajectory.noise,
    "the two ends": ends,
    "two videos": become(lambda x: x.repeat(1, 2, 1, 1, 1, 1)),
    "no frame": become(lambda x: x[:, :, :, :0]),
    "NaN": become(lambda x: x * NAN),
    "whole numbers": become(lambda x: x.to(torch.int64)),
    "five axes": become(lambda x: x[:, 0]),
}


class TestSources:
    @pytest.mark.parametrize("source", SOURCES)
    def test_of_injection(self, tmp_path, denoiser, trajectory, context, source):
        with refused(LatentsError, "inversion", folder=tmp_path):
            InjectedDenoiser(denoiser=denoiser, trajectory=SOURCES[source](trajectory), source_context=context)

    @pytest.mark.parametrize("source", ["nothing", "noise alone", "the two ends"])
    def test_of_a_mask(self, tmp_path, trajectory, source):
        with refused(ConfigError, "trajectory", folder=tmp_path):
            keep_outside(SOURCES[source](trajectory), torch.ones(SIZE))

    @pytest.mark.parametrize("frames, side", [(FRAMES - 1, SIDE), (FRAMES + 1, SIDE), (FRAMES, 2 * SIDE)])
    def test_of_another_clip(self, tmp_path, denoiser, trajectory, context, frames, side):
        injected = InjectedDenoiser(denoiser=denoiser, trajectory=trajectory, source_context=context)
        start = torch.zeros(1, 4, frames, side, side)
        with refused(LatentsError, "frames", folder=tmp_path):
            edit(injected, start, context, context, config=EditConfig(num_steps=2))

    def test_of_another_vae(self, tmp_path, denoiser, trajectory, context):
        other = replace(trajectory, latents=trajectory.latents[:, :, :3])
        injected = InjectedDenoiser(denoiser=denoiser, trajectory=other, source_context=context)
        with refused(LatentsError, "channels", folder=tmp_path):
            edit(injected, trajectory, context, context, config=EditConfig(num_steps=2))

    @pytest.mark.parametrize(
        "text",
        [None, torch.zeros(1, 7, 5), torch.zeros(7, 32), torch.zeros(2, 7, 32), torch.full((1, 7, 32), NAN)],
        ids=["nothing", "another width", "two axes", "two prompts", "NaN"],
    )
    def test_texts(self, tmp_path, denoiser, trajectory, text):
        with refused(TavError, "text", folder=tmp_path):
            InjectedDenoiser(denoiser=denoiser, trajectory=trajectory, source_context=text)


OTHERS = {
    "nothing": lambda _: None,
    "noise alone": lambda trajectory: trajectory.noise,
    "the two ends": ends,
    "another size": become(lambda x: x.repeat(1, 1, 1, 1, 1, 2)),
    "fewer frames": become(lambda x: x[:, :, :, 1:]),
    "two videos": become(lambda x: x.repeat(1, 2, 1, 1, 1, 1)),
    "NaN": become(lambda x: x * NAN),
    "other steps": lambda trajectory: replace(trajectory, timesteps=(2, 502)),
    "another method": lambda trajectory: replace(trajectory, method="fixed_point"),
}


class TestBlends:
    @pytest.mark.parametrize("turned", [False, True], ids=["second", "first"])
    @pytest.mark.parametrize("other", OTHERS)
    def test_inversions(self, tmp_path, trajectory, other, turned):
        pair = (trajectory, OTHERS[other](trajectory))
        with refused(TavError, folder=tmp_path):
            blend(*(pair[::-1] if turned else pair), 0.5)

    @pytest.mark.parametrize("weight", [-0.1, 1.1, NAN, float("inf"), "0.5", None, [0.5], 0.5j], ids=repr)
    def test_weights(self, tmp_path, trajectory, weight):
        with refused(ConfigError, "weight", folder=tmp_path):
            blend(trajectory, trajectory, weight)


CONTROLS = {
    "nothing": None,
    "a list": [[[[0.0]]]],
    "an array": np.zeros((*SIZE, 3), np.float32),
    "a picture": torch.zeros(*SIZE[1:], 3),
    "no frame": torch.zeros(0, *SIZE[1:], 3),
    "no width": torch.zeros(FRAMES, SIZE[1], 0, 3),
    "two channels": torch.zeros(*SIZE, 2),
    "with alpha": torch.zeros(*SIZE, 4),
    "channels first": torch.zeros(FRAMES, 3, *SIZE[1:]),
    "bytes": torch.zeros((*SIZE, 3), dtype=torch.uint8),
    "NaN": torch.full((*SIZE, 3), NAN),
    "below zero": torch.full((*SIZE, 3), -1.0),
    "of 255": torch.full((*SIZE, 3), 255.0),
}


def make_controlnet(unet):
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8))


def make_adapter(unet):
    return T2IAdapter(in_channels=3, channels=list(unet.config.block_out_channels))


class TestControls:
    @pytest.mark.parametrize("kind", [make_controlnet, make_adapter])
    @pytest.mark.parametrize("frames", CONTROLS)
    def test_frames(self, tmp_path, tiny_2d, frames, kind):
        with refused(ClipError, "control frames", folder=tmp_path):
            Control(net=kind(tiny_2d), frames=CONTROLS[frames])

    @pytest.mark.parametrize("frames, side", [(1, SIDE), (FRAMES + 1, SIDE), (FRAMES, 2 * SIDE)])
    def test_of_another_clip(self, tmp_path, denoiser, tiny_2d, context, frames, side):
        control = Control(net=make_controlnet(tiny_2d), frames=torch.zeros(frames, 8 * side, 8 * side, 3))
        led = add_controls(denoiser, [control])
        with refused(LatentsError, "control", "frames", folder=tmp_path):
            edit(led, torch.zeros(1, 4, FRAMES, SIDE, SIDE), context, context, config=EditConfig(num_steps=1))

    @pytest.mark.parametrize("change", ["NaN", "half gone", "another net's", "empty", "a text"])
    def test_files(self, tmp_path, tiny_2d, change):
        tensors = {name: tensor.clone() for name, tensor in make_controlnet(tiny_2d).state_dict().items()}
        first = next(iter(tensors))
        tensors = {
            "NaN": {**tensors, first: tensors[first] * NAN},
            "half gone": dict(list(tensors.items())[::2]),
            "another net's": {f"lora.{name}": tensor for name, tensor in tensors.items()},
        }.get(change, {})
        path = tmp_path / "net.safetensors"
        save_file(tensors, path)
        if change == "a text":
            path.write_text("a net")
        with refused(CheckpointError, "net.safetensors", folder=tmp_path):
            load_control(path)


def test_what_these_tests_break_is_sound(denoiser, tiny_2d, trajectory, context):
    injected = InjectedDenoiser(denoiser=denoiser, trajectory=trajectory, source_context=context)
    control = Control(net=make_controlnet(tiny_2d), frames=torch.zeros(*SIZE, 3))
    config, correct = EditConfig(num_steps=2), keep_outside(trajectory, torch.ones(SIZE))
    for model in (injected, add_controls(denoiser, [control])):
        assert edit(model, trajectory, context, context, config=config, correct=correct).isfinite().all()
    assert isinstance(blend(trajectory, trajectory, 0.5), Trajectory)
