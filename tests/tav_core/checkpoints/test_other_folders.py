"""Folders that are no model: what they are, and what to give instead."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("offline")
STATE = ("optimizer.bin", "scheduler.bin", "random_states_0.pkl")


@pytest.fixture
def step(tmp_path):
    """What accelerate writes after 500 steps."""
    folder = tmp_path / "out" / "checkpoint-500"
    folder.mkdir(parents=True)
    for name in STATE:
        torch.save({}, folder / name)
    return folder


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert "optimizer.bin" not in str(caught.value)
    return str(caught.value)


def test_the_state_of_a_training_run_names_the_base_model(step):
    torch.save({}, step / "pytorch_model.bin")
    said = refusal(step)
    assert "checkpoint-500, the state of a training run with the weights that were trained" in said
    assert "the folder above" in said and "the base model" in said


@pytest.mark.parametrize("names, best", [(["unet"], "unet"), (["unet", "unet_ema"], "unet_ema")])
def test_a_unet_in_it_is_named(step, sd1, names, best):
    for name in names:
        sd1.unet.save_pretrained(step / name)
    for path in (step, step / "unet"):
        said = refusal(path)
        assert f"a UNet ({best}) without the other parts" in said
        assert f"put {step / best} in place of its unet" in said


def test_the_advice_for_a_unet_in_it_works(step, sd1, sd2, write_folder, tmp_path):
    sd1.unet.save_pretrained(step / "unet_ema")
    base = write_folder(sd1, tmp_path / "base")
    shutil.rmtree(base / "unet")
    shutil.copytree(step / "unet_ema", base / "unet")
    loaded = load_checkpoint(base).unet.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in sd1.unet.state_dict().items())


def test_the_model_that_the_training_wrote_at_its_end_is_named(step, sd1, write_folder):
    write_folder(sd1, step.parent)
    assert f"Give the folder above, the model that the training wrote at its end: {step.parent}" in refusal(step)
    # The folder above is a model in spite of the states in it.
    assert load_checkpoint(step.parent).architecture.startswith("sd1")


def test_the_state_of_a_lora_training(step):
    save_file({"unet.x.lora_A.weight": torch.ones(2)}, step / "pytorch_lora_weights.safetensors")
    said = refusal(step)
    assert "the state of a training run with a LoRA" in said and "give the model that it was trained from" in said
    assert "above" not in said


def test_a_run_that_has_not_written_its_model(step):
    assert "a training run that has not written its model yet (it holds checkpoint-500)" in refusal(step.parent)


def test_a_model_one_folder_further_in(sd1, write_folder, tmp_path):
    inner = write_folder(sd1, tmp_path / "models" / "sd15")
    assert f"Give the folder in it: {inner}" in refusal(inner.parent)
    cache = tmp_path / "models--x--y" / "snapshots"
    cache.mkdir(parents=True)
    shutil.move(inner, cache / "0a1b")
    assert f"Give the folder in it: {cache / '0a1b'}" in refusal(cache.parent)


@pytest.mark.parametrize("part", ["vae", "tokenizer", "scheduler"])
def test_a_folder_of_one_part(sd1, write_folder, tmp_path, part):
    folder = write_folder(sd1, tmp_path / "model")
    assert f"Give the folder above: {folder}." in refusal(folder / part)
