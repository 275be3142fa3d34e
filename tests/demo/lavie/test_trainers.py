"""demo/lavie/trainers: the networks are read by the loader that people use, and a course resumes where it stopped."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from demo.lavie.trainers import course as course_module
from demo.lavie.trainers.base import Clips
from demo.lavie.trainers.course import Budget, Course, in_turn, pick_texts, rate_at
from demo.lavie.trainers.nets import (
    make_autoencoder,
    make_base,
    make_interpolation,
    make_stills_unet,
    make_upscaler,
    save_unet,
)
from demo.lavie.trainers.schedules import linear_alphas, matching_timesteps
from demo.lavie.trainers.settings import SD_MODEL
from demo.lavie.trainers.stills import copy_what_fits, trained_stills
from demo.trainers.unet import make_scheduler
from tav_core import load_checkpoint, load_lavie, repeat_keys
from tav_core.models.conditioning import Conditioning
from tav_core.sampling.interpolate import key_of_each

MAKERS = {"base": make_base, "interpolation": make_interpolation, "super_resolution": make_upscaler}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_trained_is_read_as_lavies(kind, tmp_path):
    unet = MAKERS[kind]()
    save_unet(unet, tmp_path / f"{kind}.safetensors")
    read = load_lavie(tmp_path / f"{kind}.safetensors", kind)
    expected = 0.08333 if kind == "super_resolution" else load_checkpoint(SD_MODEL).vae.config.scaling_factor
    assert read.scaling_factor == expected
    own = unet.state_dict()
    assert read.unet.state_dict().keys() == own.keys()
    assert all(torch.equal(tensor, own[name].half().float()) for name, tensor in read.unet.state_dict().items())


def test_all_files_together_have_at_most_15_mb():
    parts = [*(make() for make in MAKERS.values()), make_autoencoder()]
    assert sum(2 * p.numel() for part in parts for p in part.parameters()) < 15e6


@pytest.mark.parametrize("kind", MAKERS)
def test_the_last_norm_keeps_the_strengths_of_channels_apart(kind):
    """With one channel in each group, a network predicts noise of unit strength whatever it is shown."""
    norm = MAKERS[kind]().conv_norm_out
    assert norm.num_channels >= 2 * norm.num_groups


def test_examples_differ_in_the_strength_and_the_mean_of_their_noise():
    noise = course_module.noise_for(torch.zeros(400, 4, 2, 8, 8)).flatten(1).std(dim=1)
    expected = (1 + course_module.OFFSET**2 + course_module.SHARED**2) ** 0.5
    assert noise.mean() == pytest.approx(expected, abs=0.03)
    assert noise.std() == pytest.approx(course_module.STRENGTH_SPREAD, rel=0.2)
    noise = course_module.noise_for(torch.zeros(100, 4, 64, 8, 8))
    assert noise.mean((2, 3, 4)).std() == pytest.approx(course_module.OFFSET, rel=0.2)
    # What independent noise leaves of a mean over 64 frames is 1/8.
    shared = (noise.mean(2).flatten(2).var(dim=2).mean() - 1 / 64) ** 0.5
    assert shared == pytest.approx(course_module.SHARED, rel=0.2)


def test_the_keys_in_training_are_those_of_the_library():
    for num_keys in (2, 5, 16):
        given = repeat_keys(torch.arange(float(num_keys))[None, None, :, None, None]).flatten()
        assert key_of_each(num_keys) == given.tolist()


def test_both_schedules_have_as_much_noise_at_matching_timesteps():
    alphas, own = linear_alphas().cpu(), make_scheduler().alphas_cumprod
    found = matching_timesteps(alphas)
    # LaVie's noise begins weaker and ends stronger than Stable Diffusion's.
    assert found[[0, 999]].isnan().all() and not found[50:700].isnan().any()
    steps = found[50:700]
    low = steps.long()
    between = torch.lerp(own[low].logit(), own[low + 1].logit(), steps - low)
    assert torch.allclose(between.sigmoid(), alphas[50:700], atol=1e-5)


def test_a_small_unet_starts_with_what_fits_of_its_teacher():
    teacher, unet = make_stills_unet((64, 128, 128)), make_stills_unet()
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    theirs = teacher.state_dict()
    for name, tensor in copy_what_fits(unet, teacher).state_dict().items():
        fits = name in theirs and theirs[name].shape == tensor.shape
        assert torch.equal(tensor, theirs[name] if fits else before[name])
    assert torch.equal(unet.conv_in.weight, teacher.conv_in.weight)


def test_the_saved_stills_are_read_back(tmp_path, monkeypatch):
    unet = make_stills_unet()
    monkeypatch.setattr("demo.lavie.trainers.stills.TRAINED", tmp_path / "stills.safetensors")
    save_unet(unet, tmp_path / "stills.safetensors")
    own = unet.state_dict()
    assert all(torch.equal(tensor, own[name].half().float()) for name, tensor in trained_stills().state_dict().items())


def test_the_interpolation_starts_with_what_the_stills_taught():
    stills = make_stills_unet().eval()
    unet = make_interpolation(stills).eval()
    latents, text = torch.randn(1, 4, 1, 8, 8), torch.randn(1, 77, 128)
    with torch.no_grad():
        keys = Conditioning(text=text, channels=torch.randn(1, 4, 1, 8, 8))
        found = unet(latents, torch.tensor([500]), keys)
        expected = stills(latents[:, :, 0], 500, text).sample
    torch.testing.assert_close(found[:, :, 0], expected, rtol=0, atol=1e-5)


class TestClips:
    """Each frame of these clips holds its own number: 100 for each clip, 1 for each frame."""

    @pytest.fixture
    def clips(self):
        def numbered(count, frames, first):
            numbers = 100 * torch.arange(first, first + count)[:, None] + torch.arange(frames)
            return numbers.half().view(count, frames, 1, 1, 1)

        table = torch.zeros(1, 77, 2)
        return Clips(numbered(2, 16, 0), numbered(3, 61, 2), (table, torch.zeros(5, 6, dtype=torch.long)))

    def test_a_clip_is_all_of_a_short_one_or_a_window_of_a_dense_one(self, clips):
        torch.manual_seed(0)
        clean, chosen, backwards = clips.draw(200)
        for frames, index, back in zip(clean.flatten(1), chosen.tolist(), backwards.tolist(), strict=True):
            frames = frames.flip(0) if back else frames
            steps, places = frames.diff(), frames - 100 * index
            assert (steps == steps[0]).all() and steps[0] in ((1,) if index < 2 else (2, 3, 4))
            assert places[0] >= 0 and places[-1] < (16 if index < 2 else 61)
        assert set(chosen.tolist()) == set(range(5)) and 50 < backwards.sum() < 150

    def test_a_clip_that_is_played_backwards_is_called_so(self):
        table = torch.arange(6.0).view(6, 1, 1)
        texts = (table, torch.arange(6)[None])
        chosen, backwards = torch.zeros(300, dtype=torch.long), torch.arange(300) % 2 == 1
        told = pick_texts(texts, chosen, no_text=1, share=0.0, backwards=backwards).flatten()
        assert set(told[~backwards].tolist()) == {0, 1, 2} and set(told[backwards].tolist()) == {3, 4, 5}


def test_windows_take_turns_as_often_as_planned():
    plan = ((8, 6, 2), (16, 3, 1))
    assert sorted(in_turn(step, plan) for step in range(30)) == [(8, 6)] * 20 + [(16, 3)] * 10


def test_the_rate_warms_up_and_falls_to_zero():
    assert rate_at(0, 0.0, 1.0) == pytest.approx(0.01)
    assert rate_at(500, 0.5, 1.0) == 1.0
    assert 0 < rate_at(500, 0.9, 1.0) < 1
    assert rate_at(500, 1.0, 1.0) == 0


class TestCourse:
    @pytest.fixture(autouse=True)
    def _places(self, tmp_path, monkeypatch):
        monkeypatch.setattr(course_module, "CACHE", tmp_path)
        monkeypatch.setattr(course_module, "LOG", tmp_path / "log.csv")

    def course(self, steps):
        torch.manual_seed(0)
        net = nn.Linear(3, 1).to(course_module.DEVICE)

        def loss(step):
            inputs = torch.randn(8, 3, device=course_module.DEVICE)
            return (net(inputs) - inputs.sum(1, keepdim=True)).square().mean()

        budget = Budget(steps=steps, seconds=1e9)
        return Course("line", net, loss, budget=budget, peak=0.05, every=10)

    def test_a_course_learns_and_keeps_an_average(self):
        course = self.course(300)
        before = float(course.loss(0).detach())
        course.run()
        assert float(course.loss(0).detach()) < before / 10
        assert course.step == 300

    def test_a_course_that_was_stopped_goes_on(self):
        first = self.course(5)
        first.run()
        second = self.course(10)
        assert second.step == 5
        assert torch.equal(second.net.weight, first.net.weight)
        second.run()
        assert second.step == 10
