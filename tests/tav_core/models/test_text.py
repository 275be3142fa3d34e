"""Prompts to embeddings, and prompts that are too long."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import PromptError
from tav_core.models.text import encode_prompt


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def checkpoint(request, to_ldm, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "model.safetensors"
    tensors = to_ldm(request.getfixturevalue(request.param))
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return load_checkpoint(path)


@torch.no_grad()
def test_prompts_are_padded_to_77_tokens_as_the_models_were_trained(checkpoint, request):
    pad = {"sd1": 49407, "sd2": 0}["sd2" if checkpoint.unet.config.use_linear_projection else "sd1"]
    tokens = torch.full((2, 77), pad)
    tokens[0, :7] = torch.tensor([49406, 320, 1125, 539, 320, 2368, 49407])
    tokens[1, :2] = torch.tensor([49406, 49407])
    expected = checkpoint.text_encoder(tokens).last_hidden_state
    encoded = encode_prompt(checkpoint, ["a photo of a cat", ""])
    assert encoded.parts().keys() == {"text"}
    embeddings = encoded.text
    assert embeddings.shape == (2, 77, 64)
    assert torch.equal(embeddings, expected)
    assert not embeddings.requires_grad


def test_one_prompt_is_one_prompt_and_not_its_letters(checkpoint):
    assert torch.equal(encode_prompt(checkpoint, "a cat").text, encode_prompt(checkpoint, ["a cat"]).text)
    with pytest.raises(PromptError, match="no prompts"):
        encode_prompt(checkpoint, [])


def test_75_tokens_fit_and_the_words_beyond_are_named(checkpoint):
    assert encode_prompt(checkpoint, " ".join(["cat"] * 75)).text.shape == (1, 77, 64)
    with pytest.raises(PromptError, match=r"76 tokens.*words would be cut: 'dog'"):
        encode_prompt(checkpoint, " ".join(["cat"] * 75) + " dog")
    prompt = " ".join(["cat"] * 74) + "  Surfing  dogs, at\tDawn"
    with pytest.raises(PromptError, match=r"'dogs, at Dawn'") as caught:
        encode_prompt(checkpoint, ["a cat", prompt])
    assert "a prompt of 79 tokens" in caught.value.got
    assert "at most 75" in caught.value.expected
    kept = prompt[: prompt.index("dogs")]
    assert encode_prompt(checkpoint, kept).text.shape == (1, 77, 64)


def test_a_word_that_would_be_cut_in_two_is_named_whole(checkpoint):
    prompt = " ".join(["cat"] * 74) + " supercalifragilistic"
    with pytest.raises(PromptError, match=r"'supercalifragilistic'\."):
        encode_prompt(checkpoint, prompt)
