import numpy as np
import pytest
import torch

from demo.trainers import common as train_common
from demo.trainers.adapter import early_timesteps, make_adapter
from demo.trainers.common import learning_rate, training_scenes
from demo.trainers.text import ATTRIBUTES, read_caption
from demo.trainers.unet import COURSES, NUM_STEPS, course_at, make_scheduler, make_unet, snr_weights
from demo.trainers.vae import make_vae, reconstruction_loss, to_input
from demo.trainers.vae_start import start_linear
from demo.world.world import Scene, render


def test_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate(step, 100, 1e-3, 10) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == pytest.approx(1e-3)
    assert rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_each_step_lies_in_its_course():
    start = 0
    for steps, peak in COURSES:
        assert course_at(start) == (0, steps, peak)
        assert course_at(start + steps - 1) == (steps - 1, steps, peak)
        start += steps
    assert start == NUM_STEPS
    with pytest.raises(ValueError, match="end 0 steps before"):
        course_at(NUM_STEPS)


def test_captions_are_read_as_they_are_meant():
    read = read_caption("a sketch of a small blue star, green background")
    assert {name: ATTRIBUTES[name][i] for name, i in read.items()} == {
        "shape": "star",
        "colour": "blue",
        "background": "green",
        "size": "small",
        "style": "sketch",
    }
    assert set(read_caption("a thing").values()) == {0}
    white = read_caption("a thing on a white background")
    assert white["colour"] == 0 and ATTRIBUTES["background"][white["background"]] == "white"


def test_loss_weights_are_min_snr_for_epsilon():
    weights = snr_weights(make_scheduler().alphas_cumprod)
    assert weights.max() == 1 and weights[-1] == 1
    assert weights[0] == pytest.approx(5 * 0.00085, rel=0.01)


def test_the_untrained_models_have_stable_diffusions_groups_and_heads():
    unet, vae = make_unet(), make_vae()
    for model in (unet, vae):
        groups = {m.num_groups for m in model.modules() if isinstance(m, torch.nn.GroupNorm)}
        assert groups == {32}
    heads = {m.heads for name, m in unet.named_modules() if name.endswith(("attn1", "attn2"))}
    assert heads == {8}


def test_the_linear_start_passes_colours_through():
    torch.manual_seed(0)
    colours = ((0.8, 0.1, 0.1), (0.1, 0.6, 0.2), (0.1, 0.2, 0.9), (0.95, 0.8, 0.1))
    scenes = [
        Scene(shape="circle", colour="red", rgb=rgb, background="white", background_rgb=behind, radius=20)
        for rgb, behind in zip(colours, colours[1:] + colours[:1], strict=True)
    ]
    pictures = to_input(np.stack([(render(scene) * 255).astype(np.uint8) for scene in scenes]))
    vae = make_vae()
    with torch.no_grad():
        random_error = (vae(pictures).sample - pictures).square().mean()
        start_linear(vae, pictures)
        error = (vae(pictures).sample - pictures).square().mean()
    assert error < 0.2 * random_error and error < 0.1


def test_reconstruction_loss_is_zero_only_for_the_same_picture():
    picture = torch.rand(2, 3, 16, 16)
    assert reconstruction_loss(picture, picture) == 0
    assert reconstruction_loss(picture + 0.1, picture) > 0.05


def test_the_scenes_are_those_of_the_stills(monkeypatch):
    monkeypatch.setattr(train_common, "_CHUNK", 2)
    monkeypatch.setattr(train_common, "NUM_STILLS", 4)
    pictures = np.concatenate([train_common._make_chunk(index)[0] for index in range(2)])
    assert np.array_equal(pictures, [(render(scene) * 255).round().astype(np.uint8) for scene in training_scenes()])


def test_an_adapter_has_a_feature_map_for_each_resolution():
    features = make_adapter()(torch.zeros(1, 1, 96, 96))
    assert [tuple(each.shape[1:]) for each in features] == [(64, 12, 12), (128, 6, 6), (128, 3, 3)]
    assert [each.shape[1] for each in features] == list(make_unet().config.block_out_channels)


def test_an_adapter_is_trained_on_noisy_steps_more_often():
    torch.manual_seed(0)
    timesteps = early_timesteps(4000)
    assert timesteps.min() >= 0 and timesteps.max() == 999
    # The mean of 1 - u^3 is 3/4.
    assert timesteps.float().mean() == pytest.approx(750, abs=15)
