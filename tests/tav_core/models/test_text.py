"""Prompts to embeddings, and prompts that are too long."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import ConfigError, PromptError
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


@torch.no_grad()
def by_hand(checkpoint, *rows):
    """Embeddings of rows of token ids without start and end, each row by itself, one after another."""
    start, end, pad = 49406, 49407, checkpoint.tokenizer.pad_token_id
    tokens = torch.tensor([[start, *row, end, *[pad] * (75 - len(row))] for row in rows])
    return checkpoint.text_encoder(tokens).last_hidden_state


def test_long_prompts_are_encoded_in_parts_of_75(checkpoint):
    cat, dog = 2368, 1929
    long = encode_prompt(checkpoint, " ".join(["cat"] * 75 + ["dog"] * 3), long_prompts=True).text
    assert long.shape == (1, 154, 64)
    assert torch.allclose(long.reshape(2, 77, 64), by_hand(checkpoint, [cat] * 75, [dog] * 3), atol=1e-6)
    # A prompt that fits is the same with and without.
    assert torch.equal(*(encode_prompt(checkpoint, "a cat", long_prompts=how).text for how in (True, False)))


def test_a_weighted_word_is_not_broken_between_two_parts(checkpoint):
    cat, dog, filler = 2368, 1929, " ".join(["cat"] * 74)
    long = encode_prompt(checkpoint, f"{filler} (dog dog:1.0001)", long_prompts=True).text
    expected = by_hand(checkpoint, [cat] * 74, [dog] * 2)
    assert torch.allclose(long.reshape(2, 77, 64), expected, atol=1e-3)
    whole = encode_prompt(checkpoint, f"{filler} dog dog", long_prompts=True).text
    assert torch.allclose(whole.reshape(2, 77, 64), by_hand(checkpoint, [cat] * 74 + [dog], [dog]), atol=1e-6)


def test_the_shorter_of_two_prompts_is_repeated(checkpoint):
    short, long = "a cat", " ".join(["dog"] * 80)
    both = encode_prompt(checkpoint, [short, long], long_prompts=True).text
    assert both.shape == (2, 154, 64)
    assert torch.allclose(both[0].reshape(2, 77, 64), encode_prompt(checkpoint, short).text, atol=1e-6)
    three = encode_prompt(checkpoint, [" ".join(["dog"] * 80), " ".join(["dog"] * 160)], long_prompts=True)
    assert three.text.shape == (2, 462, 64)


def test_weights_lead_away_from_the_empty_prompt(checkpoint):
    plain, empty = (encode_prompt(checkpoint, text).text for text in ("a red cat", ""))
    weighted = encode_prompt(checkpoint, "a (red:1.5) cat").text
    expected = plain.clone()
    expected[:, 2] = 1.5 * plain[:, 2] - 0.5 * empty[:, 2]
    assert torch.allclose(weighted, expected, atol=1e-5)
    assert torch.equal(encode_prompt(checkpoint, "a (red:1) cat").text, plain)


def test_weights_count_no_tokens_and_are_not_named_as_words(checkpoint):
    assert encode_prompt(checkpoint, "(" + " ".join(["cat"] * 75) + ":1.1)").text.shape == (1, 77, 64)
    with pytest.raises(PromptError, match=r"of 76 tokens.*would be cut: 'dog'"):
        encode_prompt(checkpoint, " ".join(["cat"] * 75) + " (dog:1.1)")


@pytest.mark.parametrize("prompt", ["a \ud83c", "\udcff", ["a cat", "\udfff"]])
def test_half_of_a_surrogate_pair_is_no_prompt(checkpoint, prompt):
    with pytest.raises(PromptError, match="not Unicode text"):
        encode_prompt(checkpoint, prompt)


@pytest.fixture(scope="module")
def xl(sdxl, write_folder, tmp_path_factory):
    return load_checkpoint(write_folder(sdxl, tmp_path_factory.mktemp("xl") / "model"))


def as_diffusers(checkpoint, prompt):
    """Text and pooled text of a prompt, as diffusers' pipeline has them, and its sizes for a picture of 64x96."""
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    parts = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet")
    pipeline = StableDiffusionXLPipeline(
        **{part: getattr(checkpoint, part) for part in parts}, scheduler=DDIMScheduler()
    )
    text, negative, pooled, negative_pooled = pipeline.encode_prompt(prompt, negative_prompt="")
    # The sizes that its __call__ builds.
    added = pipeline._get_add_time_ids((64, 96), (0, 0), (64, 96), text.dtype, pooled.shape[-1])
    return text, negative, pooled, negative_pooled, added


@torch.no_grad()
def test_xl_encodes_as_diffusers_pipeline_does(xl):
    told = encode_prompt(xl, ["a photo of a cat", ""], size_ids=(64, 96, 0, 0, 64, 96))
    text, empty, pooled, empty_pooled, added = as_diffusers(xl, "a photo of a cat")
    assert torch.equal(told.text, torch.cat([text, empty]))
    assert torch.equal(told.pooled_text, torch.cat([pooled, empty_pooled]))
    assert torch.equal(told.size_ids, added.long().expand(2, -1))
    assert told.text.shape == (2, 77, 128) and told.pooled_text.shape == (2, 96)


def test_xls_empty_prompt_is_encoded_and_not_zeros(xl):
    empty = encode_prompt(xl, "")
    assert empty.text.abs().min() > 0 and empty.pooled_text.abs().min() > 0
    assert empty.size_ids is None


def test_xls_file_and_folder_encode_alike(xl, sdxl, to_ldm, tmp_path):
    save_file({n: t.contiguous().clone() for n, t in to_ldm(sdxl).items()}, tmp_path / "model.safetensors")
    one, other = (
        encode_prompt(each, "Wow! It's 2 (CATS:1.3)") for each in (xl, load_checkpoint(tmp_path / "model.safetensors"))
    )
    assert torch.equal(one.text, other.text) and torch.equal(one.pooled_text, other.pooled_text)


def test_xls_pooled_text_is_that_of_the_first_part_and_not_weighted(xl):
    long = encode_prompt(xl, " ".join(["cat"] * 75 + ["dog"] * 3), long_prompts=True)
    first = encode_prompt(xl, " ".join(["cat"] * 75))
    assert long.text.shape == (1, 154, 128)
    assert torch.allclose(long.pooled_text, first.pooled_text, atol=1e-6)
    weighted, plain = (encode_prompt(xl, prompt) for prompt in ("a (red:1.5) cat", "a red cat"))
    assert torch.allclose(weighted.pooled_text, plain.pooled_text, atol=1e-6)
    assert (weighted.text - plain.text).abs().max() > 1e-2


@pytest.mark.parametrize("sizes", [(1024, 1024), (1, 2, 3, 4, 5, -6), (1, 2, 3, 4, 5, 6.5)])
def test_sizes_are_six_whole_numbers(xl, sizes):
    with pytest.raises(ConfigError, match="6 whole numbers"):
        encode_prompt(xl, "a cat", size_ids=sizes)


def test_the_end_of_a_prompt_is_found_whatever_the_published_config_calls_it(xl, sdxl, write_folder, tmp_path):
    """stable-diffusion-xl-base-1.0 says eos_token_id 2, as all of transformers' older CLIPs; the end token is 49407."""
    folder = write_folder(sdxl, tmp_path / "model")
    config = folder / "text_encoder_2" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "eos_token_id": 2}))
    old, new = (encode_prompt(each, "a photo of a cat").pooled_text for each in (load_checkpoint(folder), xl))
    assert torch.equal(old, new)
