"""Encodes prompts into a conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import torch
from einops import rearrange
from torch import Tensor

from ..errors import PromptError, explain_out_of_memory
from ..prompts import plain_text, read_weights
from .conditioning import Conditioning, repeat_to_one_length

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

# A piece of a prompt with fewer tokens is not broken between two chunks, as in ComfyUI.
SHORTEST_BROKEN = 8


class TextModel(Protocol):
    """A model that encodes prompts: a `Checkpoint`, or anything else with these two attributes."""

    @property
    def text_encoder(self) -> CLIPTextModel:
        """CLIP's text tower."""
        ...

    @property
    def tokenizer(self) -> CLIPTokenizer:
        """What cuts a prompt into its tokens."""
        ...


@explain_out_of_memory("encoding prompts", "Give fewer prompts at once, or close other programs.")
@torch.no_grad()
def encode_prompt(checkpoint: TextModel, prompts: str | Sequence[str], *, long_prompts: bool = False) -> Conditioning:
    """The conditioning of one or several prompts: text alone.

    Its `text` is `p m d`: m = 77 tokens, padded, as the models were trained; d is 768 for Stable Diffusion 1.x and 1024
    for 2.x, whose text encoder ends at OpenCLIP's penultimate layer. The empty prompt "" is valid. On the text
    encoder's device, in its dtype.

    `(word:1.2)` weights a word, see `tav_core/prompts.py`, as ComfyUI does: an embedding e with the weight w becomes
    w e + (1 - w) e_0, where e_0 is the empty prompt's at the same place.

    Args:
        long_prompts: takes prompts of any length, as ComfyUI does: each 75 tokens, with start and end, are encoded by
            themselves. Shorter prompts of the same call are repeated to the length of the longest, which does not
            change what a model makes of them.

    Raises:
        PromptError: no prompt, one that is not text, or one with more tokens than the text encoder takes.
        OutOfMemory: says what to lower.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts:
        raise PromptError(got="no prompts", expected="at least one", mend='The empty prompt is "".')
    encoder, tokenizer = checkpoint.text_encoder, checkpoint.tokenizer
    limit = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    chunked = [_cut(tokenizer, prompt, limit) for prompt in prompts]
    if not long_prompts:
        for prompt, chunks in zip(prompts, chunked, strict=True):
            _check_length(tokenizer, prompt, sum(map(len, chunks)), limit)
    texts = [_encode(encoder, tokenizer, chunks, limit) for chunks in chunked]
    return Conditioning(text=torch.cat(repeat_to_one_length(texts)))


def _cut(tokenizer: CLIPTokenizer, prompt: str, limit: int) -> list[list[tuple[int, float]]]:
    """The tokens of a prompt and their weights, in chunks that leave room for start and end."""
    chunks: list[list[tuple[int, float]]] = [[]]
    for text, weight in read_weights(prompt):
        tokens = [(token, weight) for token in _tokens(tokenizer, text)]
        breaks = len(tokens) >= SHORTEST_BROKEN
        while tokens:
            room = limit - 2 - len(chunks[-1])
            if len(tokens) <= room or breaks:
                chunks[-1] += tokens[:room]
                tokens = tokens[room:]
            if tokens:
                chunks.append([])
    return chunks


def _encode(
    encoder: CLIPTextModel, tokenizer: CLIPTokenizer, chunks: list[list[tuple[int, float]]], limit: int
) -> Tensor:
    """The embeddings of the chunks of one prompt, `1 m d`."""
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    # The last row is the empty prompt's, from which weights are counted.
    rows = [[start, *(token for token, _ in chunk), end] for chunk in (*chunks, [])]
    tokens = torch.tensor([row + [pad] * (limit - len(row)) for row in rows], device=encoder.device)
    rows = [[1.0, *(weight for _, weight in chunk), *[1.0] * (limit - 1 - len(chunk))] for chunk in chunks]
    weights = torch.tensor(rows, dtype=torch.float32, device=encoder.device)[..., None]
    if bool((weights == 1).all()):
        embedded = encoder(tokens[:-1]).last_hidden_state
    else:
        *told, empty = encoder(tokens).last_hidden_state.split([len(chunks), 1])
        weights = weights.to(empty)
        embedded = torch.where(weights == 1, told[0], (told[0] - empty) * weights + empty)
    return rearrange(embedded, "c m d -> 1 (c m) d")


def _check_length(tokenizer: CLIPTokenizer, prompt: str, count: int, limit: int) -> None:
    if count + 2 <= limit:
        return
    # No CLIP token crosses a space, so the tokens of a prompt are those of its words.
    words = plain_text(prompt).split()
    ends = accumulate(len(_tokens(tokenizer, word)) for word in words)
    cut = [word for word, end in zip(words, ends, strict=True) if end + 2 > limit]
    raise PromptError(
        got=f"a prompt of {count} tokens, not counting start and end",
        expected=f"at most {limit - 2}",
        mend=f"Shorten it, or allow long prompts (--long-prompts). These words would be cut: {' '.join(cut)!r}.",
    )


def _tokens(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False).input_ids
