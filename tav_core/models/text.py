"""Encodes prompts into a conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import torch

from ..errors import PromptError, explain_out_of_memory
from .conditioning import Conditioning

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer


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
def encode_prompt(checkpoint: TextModel, prompts: str | Sequence[str]) -> Conditioning:
    """The conditioning of one or several prompts: text alone.

    Its `text` is `p m d`: m = 77 tokens, padded, as the models were trained; d is 768 for Stable Diffusion 1.x and 1024
    for 2.x, whose text encoder ends at OpenCLIP's penultimate layer. The empty prompt "" is valid. On the text
    encoder's device, in its dtype.

    Raises:
        PromptError: no prompt, or one with more tokens than the text encoder takes.
        OutOfMemory: says what to lower.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts:
        raise PromptError(got="no prompts", expected="at least one", mend='The empty prompt is "".')
    encoder, tokenizer = checkpoint.text_encoder, checkpoint.tokenizer
    limit = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    for prompt in prompts:
        _check_length(tokenizer, prompt, limit)
    tokens = tokenizer(prompts, padding="max_length", max_length=limit, return_tensors="pt").input_ids
    return Conditioning(text=encoder(tokens.to(encoder.device)).last_hidden_state)


def _check_length(tokenizer: CLIPTokenizer, prompt: str, limit: int) -> None:
    count = _count_tokens(tokenizer, prompt)
    if count + 2 <= limit:
        return
    # No CLIP token crosses a space, so the tokens of a prompt are those of its words.
    words = prompt.split()
    ends = accumulate(_count_tokens(tokenizer, word) for word in words)
    cut = [word for word, end in zip(words, ends, strict=True) if end + 2 > limit]
    raise PromptError(
        got=f"a prompt of {count} tokens, not counting start and end",
        expected=f"at most {limit - 2}",
        mend=f"Shorten the prompt. These words would be cut: {' '.join(cut)!r}.",
    )


def _count_tokens(tokenizer: CLIPTokenizer, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
