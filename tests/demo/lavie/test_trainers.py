"""demo/lavie/trainers: the networks are read by the loader that people use, and a course resumes where it stopped."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from demo.lavie.trainers import course as course_module
from demo.lavie.trainers.course import Budget, Course, rate_at
from demo.lavie.trainers.nets import make_autoencoder, make_base, make_interpolation, make_upscaler, save_unet
from demo.lavie.trainers.settings import SD_MODEL
from tav_core import load_checkpoint, load_lavie, repeat_keys
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


def test_examples_differ_in_the_strength_of_their_noise():
    noise = course_module.noise_for(torch.zeros(64, 4, 2, 8, 8)).flatten(1).std(dim=1)
    assert noise.mean() == pytest.approx(1.0, abs=0.03)
    assert 0.03 < noise.std() < 0.09


def test_the_keys_in_training_are_those_of_the_library():
    for num_keys in (2, 5, 16):
        given = repeat_keys(torch.arange(float(num_keys))[None, None, :, None, None]).flatten()
        assert key_of_each(num_keys) == given.tolist()


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
