"""The model in Stable Diffusion XL's layout: the library and diffusers read what is written, and it is taught."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline

from demo import train_creatures
from demo.creatures.settings import MODEL as WORLD
from demo.creatures.trainers import stills, text, unet, xl
from demo.creatures.trainers.xl_sampler import XLSampler
from tav_core.checkpoints.load import load_checkpoint
from tav_core.models.text import encode_prompt

PROMPTS = ["a red fox in a forest", ""]


@pytest.fixture(scope="module")
def random(tmp_path_factory):
    """A folder with the same random weights in both layouts."""
    folder = tmp_path_factory.mktemp("random")
    xl.write_random(folder)
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """The folder of a course that was shortened: 12 stills, two steps for each text encoder."""
    folder = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        for module in (text, xl):
            patch.setattr(module, "NUM_STEPS", 2)
        for module in (unet, xl):
            patch.setattr(module, "prepare_device", lambda: None)
        patch.setattr(text, "BATCH", 4)
        patch.setattr(stills, "CAPTIONS", folder / "none")
        patch.setattr(stills, "CHUNK", 12)
        patch.setattr(stills, "ProcessPoolExecutor", lambda: nullcontext(SimpleNamespace(map=map)))
        patch.setattr(unet, "BATCHES", ((0, 2), (2, 3)))
        for stage in ("stills", "text"):
            train_creatures.run_xl_stage(stage, 0, stills=12, folder=folder)
        yield folder


@torch.no_grad()
def test_folder_and_file_are_one_model_of_xl(random):
    folder = load_checkpoint(random / "model")
    file = load_checkpoint(random / "model.safetensors", tokenizer=random / "model" / "tokenizer")
    assert folder.architecture == file.architecture == "sdxl-64-128-192-text256"
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        one, other = (getattr(each, part).state_dict() for each in (folder, file))
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    one, other = (encode_prompt(each, PROMPTS) for each in (folder, file))
    assert torch.equal(one.text, other.text) and torch.equal(one.pooled_text, other.pooled_text)
    size = sum(path.stat().st_size for path in (random / "model").rglob("*") if path.is_file())
    assert size < 45e6


@torch.no_grad()
def test_diffusers_own_pipeline_draws_with_the_folder(random):
    pipeline = StableDiffusionXLPipeline.from_pretrained(random / "model")
    pipeline.set_progress_bar_config(disable=True)
    (picture,) = pipeline(PROMPTS[0], num_inference_steps=2, height=64, width=64, output_type="np").images
    assert picture.shape == (64, 64, 3)
    assert not pipeline.config.force_zeros_for_empty_prompt


def test_stills_are_drawn_for_the_scores_as_those_of_the_worlds_own_model(random):
    sampler = XLSampler(random / "model")
    pictures = sampler.sample(PROMPTS, seed=3, steps=2, guidance=4.0)
    assert pictures.shape == (2, 128, 128, 3) and 0 <= pictures.min() <= pictures.max() <= 1
    latents = sampler.vae.config.scaling_factor * sampler.vae.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mean
    assert sampler.decode(latents.detach()).shape == (1, 32, 32, 3)


@torch.no_grad()
def test_scaled_latents_are_decoded_as_before(close):
    plain, scaled = (AutoencoderKL.from_pretrained(WORLD / "vae").float() for _ in range(2))
    xl.scale_latents(scaled, 3.0)
    assert scaled.config.scaling_factor == 0.13025
    picture = torch.rand(1, 3, 32, 32)
    one, other = (vae.encode(picture).latent_dist for vae in (plain, scaled))
    close(other.mean, 3 * one.mean, 1e-5)
    close(other.std, 3 * one.std, 1e-5)
    close(scaled.decode(other.mean).sample, plain.decode(one.mean).sample, 1e-5)


def test_the_unet_is_told_in_training_what_it_is_told_in_use(taught):
    model = taught / "model"
    hidden, pooled = xl.embed_texts(PROMPTS, model)
    unet.train_unet(0, xl.lesson(taught))
    xl.write_index(model)
    told = encode_prompt(load_checkpoint(model), PROMPTS)
    assert torch.allclose(hidden, told.text, atol=1e-6) and torch.allclose(pooled, told.pooled_text, atol=1e-6)


def test_latents_have_unit_variance_by_xls_factor(taught):
    vae = AutoencoderKL.from_pretrained(taught / "model" / "vae").float()
    pictures, _ = stills.first_stills(12)
    assert (0.13025 * xl.encode(vae, pictures)).std().item() == pytest.approx(1, abs=0.01)


def test_a_course_that_was_stopped_gives_the_same_weights(taught):
    course = unet.UNetCourse(xl.lesson(taught))
    assert [table.shape[1:] for table in course.tables] == [(77, 256), (128,)]
    for _ in range(3):
        course.train_step()
    train_creatures.run_xl_stage("unet", 2, stills=12, folder=taught)
    resumed = unet.UNetCourse(xl.lesson(taught))
    assert resumed.step == 2
    resumed.train_step()
    pairs = zip(course.averaged().parameters(), resumed.averaged().parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert (taught / "model" / "model_index.json").is_file()


def test_the_pooled_text_and_the_sizes_reach_the_unet(taught):
    course = unet.UNetCourse(xl.lesson(taught))
    predict, told = unet.Predictor(course.unet), [table[:2] for table in course.tables]
    noisy, timesteps = torch.randn(2, 4, 16, 16), torch.tensor([500, 500])
    assert predict.sizes.tolist() == [[128, 128, 0, 0, 128, 128]]
    with torch.no_grad():
        plain = predict(noisy, timesteps, *told)
        assert not torch.equal(plain, predict(noisy, timesteps, told[0], told[1] + 1))
        predict.sizes += 8
        assert not torch.equal(plain, predict(noisy, timesteps, *told))
