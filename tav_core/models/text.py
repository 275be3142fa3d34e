"""Encodes prompts into a conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import torch
from einops import rearrange
from torch import Tensor

from ..errors import PromptError, explain_out_of_memory
from ..prompts import plain_text, read_weights
from .conditioning import Conditioning, repeat_size_ids, repeat_to_one_length

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

# A piece of a prompt with fewer tokens is not broken between two chunks, as in ComfyUI.
SHORTEST_BROKEN = 8


class TextModel(Protocol):
    """A model that encodes prompts: a `Checkpoint`, or anything else with these two attributes.

    Where it also has `text_encoder_2` and `tokenizer_2` that are not None, both encoders are used as in Stable
    Diffusion XL.
    """

    @property
    def text_encoder(self) -> CLIPTextModel:
        """CLIP's text tower."""
        ...

    @property
    def tokenizer(self) -> CLIPTokenizer:
        """What cuts a prompt into its tokens."""
        ...


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One of a model's text encoders with its tokenizer.

    Args:
        penultimate: whether the last layer but one is taken, without the final norm, as in Stable Diffusion XL; or the
            last, normed.
    """

    model: CLIPTextModel | CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    penultimate: bool = False

    @property
    def limit(self) -> int:
        """How many tokens are encoded at once, with start, end and padding."""
        return min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)

    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """The embeddings `c m d` of rows of tokens, and the pooled ones `c p` if the encoder projects them."""
        if not self.penultimate:
            return self.model(tokens).last_hidden_state, None
        output = self.model(tokens, output_hidden_states=True)
        return output.hidden_states[-2], getattr(output, "text_embeds", None)


@explain_out_of_memory("encoding prompts", "Give fewer prompts at once, or close other programs.")
@torch.no_grad()
def encode_prompt(
    checkpoint: TextModel,
    prompts: str | Sequence[str],
    *,
    long_prompts: bool = False,
    size_ids: Sequence[int] | None = None,
) -> Conditioning:
    """The conditioning of one or several prompts: the text, and for Stable Diffusion XL the pooled text and the sizes.

    Its `text` is `p m d`: m = 77 tokens, padded, as the models were trained; d is 768 for Stable Diffusion 1.x, 1024
    for 2.x, whose text encoder ends at OpenCLIP's penultimate layer, and 2048 for XL, the penultimate layers of CLIP
    and OpenCLIP side by side. XL's `pooled_text` is `p 1280`, of OpenCLIP's last layer. The empty prompt "" is valid,
    and is encoded like any other: diffusers' pipeline takes zeros for a prompt that is not given, ComfyUI does not. On
    the text encoder's device, in its dtype.

    `(word:1.2)` weights a word, see `tav_core/prompts.py`, as ComfyUI does: an embedding e with the weight w becomes
    w e + (1 - w) e_0, where e_0 is the empty prompt's at the same place. The pooled text is not weighted.

    Args:
        long_prompts: takes prompts of any length, as ComfyUI does: each 75 tokens, with start and end, are encoded by
            themselves. Shorter prompts of the same call are repeated to the length of the longest, which does not
            change what a model makes of them. The pooled text is that of the first 75.
        size_ids: for XL, the six sizes that `Conditioning` names. Without them, a model takes those that its motion was
            tuned with, else the size of the clip, as ComfyUI does. Other models are told no sizes.

    Raises:
        PromptError: no prompt, one that is not text, or one with more tokens than the text encoder takes.
        ConfigError: other than six sizes.
        OutOfMemory: says what to lower.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts:
        raise PromptError(got="no prompts", expected="at least one", mend='The empty prompt is "".')
    encoders = list_encoders(checkpoint)
    if not long_prompts:
        for prompt in prompts:
            check_length(prompt, encoders[0].tokenizer, encoders[0].limit)
    texts, pooled = zip(*(_encode_with_all(encoders, prompt) for prompt in prompts), strict=True)
    text = torch.cat(repeat_to_one_length(texts))
    if pooled[0] is None:
        return Conditioning(text=text)
    sizes = None if size_ids is None else repeat_size_ids(size_ids, len(prompts), text.device)
    return Conditioning(text=text, pooled_text=torch.cat(pooled), size_ids=sizes)


def list_encoders(checkpoint: TextModel) -> list[Encoder]:
    """A model's text encoders, in the order in which their embeddings stand side by side."""
    second = getattr(checkpoint, "text_encoder_2", None)
    first = Encoder(model=checkpoint.text_encoder, tokenizer=checkpoint.tokenizer, penultimate=second is not None)
    if second is None:
        return [first]
    tokenizer = getattr(checkpoint, "tokenizer_2", None) or checkpoint.tokenizer
    return [first, Encoder(model=second, tokenizer=tokenizer, penultimate=True)]


def _encode_with_all(encoders: Sequence[Encoder], prompt: str) -> tuple[Tensor, Tensor | None]:
    """The embeddings of a prompt by all encoders side by side, `1 m d`, and the last one's pooled text, `1 p`."""
    encoded = [_encode(encoder, _cut(encoder.tokenizer, prompt, encoder.limit)) for encoder in encoders]
    return torch.cat([text for text, _ in encoded], dim=-1), encoded[-1][1]


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


def _encode(encoder: Encoder, chunks: list[list[tuple[int, float]]]) -> tuple[Tensor, Tensor | None]:
    """The embeddings of one prompt's chunks, `1 m d`, and the first one's pooled text, `1 p`, if there is one."""
    tokenizer, limit, device = encoder.tokenizer, encoder.limit, encoder.model.device
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    # The last row is the empty prompt's, from which weights are counted.
    rows = [[start, *(token for token, _ in chunk), end] for chunk in (*chunks, [])]
    tokens = torch.tensor([row + [pad] * (limit - len(row)) for row in rows], device=device)
    rows = [[1.0, *(weight for _, weight in chunk), *[1.0] * (limit - 1 - len(chunk))] for chunk in chunks]
    weights = torch.tensor(rows, dtype=torch.float32, device=device)[..., None]
    if bool((weights == 1).all()):
        embedded, pooled = encoder(tokens[:-1])
    else:
        both, pooled = encoder(tokens)
        *told, empty = both.split([len(chunks), 1])
        weights = weights.to(empty)
        embedded = torch.where(weights == 1, told[0], (told[0] - empty) * weights + empty)
    return rearrange(embedded, "c m d -> 1 (c m) d"), None if pooled is None else pooled[:1]


def check_length(prompt: str, tokenizer: CLIPTokenizer, limit: int) -> None:
    """Raises `PromptError` for a prompt of more tokens than `limit`, with start and end; it names what would be cut."""
    count = sum(map(len, _cut(tokenizer, prompt, limit)))
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
