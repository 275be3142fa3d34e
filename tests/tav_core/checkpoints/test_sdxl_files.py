"""Single files of Stable Diffusion XL as trainers and merges write them: more tensors, fewer, or other names."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import CheckpointError
from tav_core.models.text import encode_prompt

FIRST, SECOND = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
PROJECTION = f"{SECOND}text_projection"
UNET = "model.diffusion_model."


@pytest.fixture(scope="module")
def tensors(sdxl, to_ldm):
    return {name: tensor.contiguous() for name, tensor in to_ldm(sdxl).items()}


@pytest.fixture
def write(tmp_path):
    def save(tensors, metadata=None):
        path = tmp_path / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
        return path

    return save


@pytest.fixture(scope="module")
def expected(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "model.safetensors"
    save_file(tensors, path)
    return encode_prompt(load_checkpoint(path), "a photo of a cat")


EXTRAS = {
    "ids of positions, as older trainers and ComfyUI save them": {
        f"{FIRST}text_model.embeddings.position_ids": torch.arange(77)[None]
    },
    "the same, rounded with the weights": {f"{FIRST}text_model.embeddings.position_ids": torch.arange(77)[None].half()},
    "the sigmas of Stability's own file": {"denoiser.sigmas": torch.rand(1000)},
    "what a trainer leaves": {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(3)},
    "the schedule as tensors": {"betas": torch.rand(1000), "alphas_cumprod": torch.rand(1000)},
    "a projection of the first encoder, which merges carry along": {
        "conditioner.embedders.0.logit_scale": torch.tensor(4.6),
        f"{FIRST}text_projection.weight": torch.rand(64, 64),
    },
    "OpenCLIP's mask": {f"{SECOND}attn_mask": torch.rand(77, 77)},
}


@pytest.mark.parametrize("what", EXTRAS)
def test_tensors_that_say_nothing_are_left_out(tensors, expected, write, what):
    told = encode_prompt(load_checkpoint(write(tensors | EXTRAS[what])), "a photo of a cat")
    assert torch.equal(told.text, expected.text) and torch.equal(told.pooled_text, expected.pooled_text)


def test_a_projection_may_be_a_linear_layers(tensors, expected, write):
    """diffusers' converter writes it as transformers names and turns it."""
    others = {name: tensor for name, tensor in tensors.items() if name != PROJECTION}
    told = encode_prompt(
        load_checkpoint(write(others | {f"{PROJECTION}.weight": tensors[PROJECTION].T})), "a photo of a cat"
    )
    assert torch.equal(told.pooled_text, expected.pooled_text)
    with pytest.raises(CheckpointError, match="second text encoder has no text_projection"):
        load_checkpoint(write(others))


@pytest.mark.parametrize(
    "metadata, prediction",
    [
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base", "modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base", "modelspec.prediction_type": "v"}, "v_prediction"),
        ({"ss_v2": "False", "ss_base_model_version": "sdxl_base_v1-0"}, "epsilon"),
    ],
)
def test_what_sd_scripts_says_of_the_model_is_heard(tensors, write, metadata, prediction):
    assert load_checkpoint(write(tensors, metadata)).schedule.prediction_type == prediction


@pytest.mark.parametrize("metadata, marks", [({"ss_zero_terminal_snr": "True"}, ()), (None, ("v_pred", "ztsnr"))])
def test_zero_terminal_snr_is_refused_however_it_is_said(tensors, write, metadata, marks):
    """NoobAI's v-prediction version has empty tensors of these names; sd-scripts writes it into the metadata."""
    with pytest.raises(CheckpointError, match="zero terminal SNR"):
        load_checkpoint(write(tensors | {name: torch.zeros(0) for name in marks}, metadata))


def test_the_vae_that_is_missing_is_named_by_family(tensors, write):
    """A VAE of 1.x has the same shapes, and would give pale colours without a word."""
    others = {name: tensor for name, tensor in tensors.items() if not name.startswith("first_stage_model.")}
    with pytest.raises(CheckpointError, match=r"without its VAE.*such as sdxl_vae\.safetensors"):
        load_checkpoint(write(others))


def test_fp8_is_taken_unless_its_layers_multiply_it_again(tensors, write):
    small = {n: t.to(torch.float8_e4m3fn) if n.startswith(UNET) and t.ndim == 2 else t for n, t in tensors.items()}
    name = f"{UNET}middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    loaded = load_checkpoint(write(small)).unet.get_parameter(
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    )
    assert torch.equal(loaded, small[name].float())
    scaled = {name.replace(".weight", ".scale_weight"): torch.tensor(2.0)}
    with pytest.raises(CheckpointError, match=r"in fp8 with scales.*fp16 or bf16 version"):
        load_checkpoint(write(small | scaled))
