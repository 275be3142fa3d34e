"""The demo's model as anyone's: a folder from which diffusers' own pipeline draws a still."""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTextModel

from demo.creatures import captions as creatures
from demo.creatures.oracle import Oracle
from demo.creatures.settings import MODEL as CREATURES
from demo.oracle.oracle import read_frame
from demo.trainers import index
from demo.trainers.common import MODEL
from demo.trainers.text import make_text_model, save_text_model, write_tokenizer
from demo.world.captions import phrase, vocabulary

MODELS, IDS = (MODEL, CREATURES), ("shapes", "creatures")
pytestmark = pytest.mark.usefixtures("offline")


@functools.cache
def load(model: Path) -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(model)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(params=MODELS, ids=IDS)
def pipeline(request):
    return load(request.param)


def draw(pipeline, prompt):
    generator = torch.Generator().manual_seed(0)
    return pipeline(prompt, num_inference_steps=20, guidance_scale=4.0, generator=generator, output_type="np").images[0]


SHAPES_CASE = MODEL, phrase, read_frame, {"shape": "star", "colour": "yellow", "background": "black"}
CREATURES_CASE = (
    CREATURES,
    creatures.phrase,
    lambda still: Oracle().read(still[None])[0],
    {"subject": "car", "place": "desert", "style": "plain"},
)


@pytest.mark.parametrize(("model", "phrase", "read", "wanted"), [SHAPES_CASE, CREATURES_CASE], ids=IDS)
def test_a_stock_pipeline_draws_the_still_that_was_asked_for(model, phrase, read, wanted):
    still = draw(load(model), phrase(**wanted))
    side = 8 * load(model).unet.config.sample_size
    assert still.shape == (side, side, 3)
    assert np.isfinite(still).all()
    assert still.std() > 0.05
    reading = read(still)
    assert {part: getattr(reading, part) for part in wanted} == wanted


def test_every_part_is_there_in_one_dtype_and_nothing_checks_or_downloads(pipeline, caplog):
    with caplog.at_level(logging.WARNING):
        StableDiffusionPipeline.from_pretrained(pipeline.config._name_or_path)
    assert not [record for record in caplog.records if "safety" in record.getMessage()]
    parts = {name: part for name, part in pipeline.components.items() if part is not None}
    assert set(parts) == {"vae", "text_encoder", "tokenizer", "unet", "scheduler"}
    assert {parts[name].dtype for name in ("vae", "text_encoder", "unet")} == {torch.float32}


def test_the_prompt_reaches_the_text_model_padded_to_its_length(pipeline):
    text, empty = pipeline.encode_prompt("a red circle", "cpu", 1, True)
    assert text.shape == empty.shape == (1, 77, 128)
    assert not torch.equal(text, empty)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_the_folder_is_written_as_it_is(tmp_path, model):
    listed = json.loads((model / "model_index.json").read_text())
    copied = tmp_path / "model"
    copied.mkdir()
    for part in model.iterdir():
        if part.is_dir():
            (copied / part.name).symlink_to(part)
    index.write_index(copied)
    written = json.loads((copied / "model_index.json").read_text())
    assert {**written, "_diffusers_version": listed["_diffusers_version"]} == listed


def test_the_text_model_is_small_on_disk_and_read_in_full_precision(tmp_path):
    model = make_text_model(write_tokenizer(tmp_path / "tokenizer", vocabulary()))
    wanted = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    save_text_model(model, tmp_path / "text_encoder")
    assert (tmp_path / "text_encoder" / "model.safetensors").stat().st_size < 2.2 * model.num_parameters()
    read = CLIPTextModel.from_pretrained(tmp_path / "text_encoder").state_dict()
    assert {tensor.dtype for tensor in read.values() if tensor.is_floating_point()} == {torch.float32}
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in read.items())


def test_a_part_alone_is_read_by_its_subfolder():
    assert AutoencoderKL.from_pretrained(Path(MODEL), subfolder="vae").config.latent_channels == 4
