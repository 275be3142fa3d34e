"""tav_core/tuning/state.py: what a state keeps of a conditioning; test_tune.py tests the rest."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import UNet2DConditionModel

from tav_core import Conditioning, InflatedUNet, TuneConfig, UNetDenoiser, tune
from tav_core.errors import ConfigError
from tav_core.tensor_files import load_tensors

SHORT, LONG = (TuneConfig(num_steps=steps, memory="speed") for steps in (1, 2))


# How a part of the conditioning that differs is called.
WHAT = {"text": "its prompt is", "pooled_text": "its prompt is", "size_ids": "its size that the model is told is"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def inputs_in(path):
    tensors, _ = load_tensors(path, error=ConfigError, what="a state")
    return {name: tensor for name, tensor in tensors.items() if name.startswith("input.")}


@pytest.fixture
def told(context):
    """What SDXL's UNet is told."""
    sizes = torch.tensor([[512, 512, 0, 37, 1016, 1016]])
    return Conditioning(text=context, pooled_text=torch.linspace(-1, 1, 16)[None], size_ids=sizes)


@pytest.fixture
def told_more(unet_2d, schedule):
    """A denoiser whose UNet takes pooled text and sizes."""
    config = {name: value for name, value in unet_2d.config.items() if not name.startswith("_")}
    config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    config["projection_class_embeddings_input_dim"] = 16 + 6 * 8
    unet = UNet2DConditionModel(**config).eval().requires_grad_(False)
    return UNetDenoiser(unet=InflatedUNet.from_2d(unet), schedule=schedule)


def test_text_alone_is_kept_as_it_was_before_there_was_more(path, untuned, clip_latents, context):
    tune(untuned, clip_latents, Conditioning(text=context), config=SHORT, state_path=path)
    kept = inputs_in(path)
    assert kept.keys() == {"input.mean", "input.std", "input.context"}
    assert torch.equal(kept["input.context"], context)


def test_a_tilde_is_the_users_folder_for_reading_and_writing(tmp_path, monkeypatch, untuned, clip_latents, context):
    """It was written there and looked for in a folder named ~, so that a run began again and replaced the saved one."""
    monkeypatch.setenv("HOME", f"{tmp_path / 'home'}")
    monkeypatch.setenv("USERPROFILE", f"{tmp_path / 'home'}")
    monkeypatch.chdir(tmp_path)
    text = Conditioning(text=context)
    tune(untuned, clip_latents, text, config=SHORT, state_path="~/run/state.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    begun = []

    class Watcher:
        def on_begin(self, start):
            begun.append(start.step)

        def __call__(self, progress):
            begun.append(progress.step)

    tune(untuned, clip_latents, text, config=LONG, state_path="~/run/state.safetensors", on_step=Watcher())
    assert begun == [1, 2]


def test_each_part_has_a_name_and_the_run_goes_on(path, told_more, clip_latents, told):
    whole = tune(told_more, clip_latents, told, config=LONG)
    tune(told_more, clip_latents, told, config=SHORT, state_path=path)
    kept = inputs_in(path)
    assert torch.equal(kept["input.pooled_text"], told.pooled_text)
    assert torch.equal(kept["input.size_ids"], told.size_ids)
    resumed = tune(told_more, clip_latents, told, config=LONG, state_path=path)
    assert all(torch.equal(tensor, whole.temporal[name]) for name, tensor in resumed.temporal.items())


@pytest.mark.parametrize("part", ["text", "pooled_text", "size_ids"])
def test_another_part_is_another_run(path, told_more, clip_latents, told, part):
    tune(told_more, clip_latents, told, config=SHORT, state_path=path)
    # One pixel more is less than what encodings of one prompt may differ by.
    other = told.parts()[part] + 1
    with pytest.raises(ConfigError, match=WHAT[part]):
        tune(told_more, clip_latents, dataclasses.replace(told, **{part: other}), config=LONG, state_path=path)


def test_a_part_more_or_less_is_another_run(path, told_more, clip_latents, told):
    from tav_core.tuning.state import RunState
    from tav_core.tuning.training_run import TuningRun

    less = Conditioning(text=told.text)
    for saved, asked in ((told, less), (less, told)):
        first, second = (TuningRun(told_more, clip_latents, each, config=SHORT) for each in (saved, asked))
        first.step, first.losses = 1, [0.5]
        RunState(path, first).save()
        with pytest.raises(ConfigError, match="its prompt is not the one"):
            RunState(path, second).begin()


def test_text_in_half_precision_goes_on(path, untuned, clip_latents, context):
    """As a text encoder in float16, the command line's on a GPU, gives it."""
    tune(untuned, clip_latents, context.half(), config=SHORT, state_path=path)
    assert tune(untuned, clip_latents, context.half(), config=LONG, state_path=path).info.steps_done == 2
