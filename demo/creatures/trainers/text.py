"""The text model, which is trained to tell what captions say, and then frozen."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from ...trainers.common import Log, learning_rate, set_learning_rate
from ...trainers.text import WIDTH, decorate, loss_of, make_text_model, save_text_model, tokenize
from ...world.vocabulary import write_tokenizer
from ..captions import PLAIN, WHERE, vocabulary
from ..stills import SEED
from ..styles import STYLES
from ..subjects import SUBJECTS
from ..things import THINGS
from .device import DEVICE
from .paths import CACHE, LOG, MODEL
from .stills import load_stills

NUM_STEPS, BATCH, PEAK_RATE = 800, 64, 1e-3
Shown = Callable[[Tensor], list[Tensor]]
# Class 0 of each means "not said".
SAID = {
    "subject": ("", *SUBJECTS),
    "place": ("", *WHERE),
    "thing": ("", *THINGS),
    "style": ("", *(style for style in STYLES if style != PLAIN)),
}


def read_caption(text: str) -> dict[str, int]:
    """The class of each part that a caption names; 0 if it does not name one."""
    sentence, _, style = text.partition(", ")
    rest = sentence
    for phrase in WHERE.values():
        rest = rest.removesuffix(phrase)
    words = {
        "subject": rest.split(),
        "place": [name for name, phrase in WHERE.items() if sentence.endswith(phrase)],
        "thing": rest.split(),
        "style": [style.removesuffix(" style")],
    }
    return {
        name: next((row for row, word in enumerate(classes) if word and word in words[name]), 0)
        for name, classes in SAID.items()
    }


def train_text() -> None:
    """Writes the tokenizer, trains the text model, and saves both into the model's folder."""
    torch.manual_seed(SEED)
    model = make_text_model(write_tokenizer(MODEL / "tokenizer", vocabulary()))
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    teach(model, tokenizer, load_stills()[1], lambda ids: [model(ids).last_hidden_state], Log("text", NUM_STEPS, LOG))
    save_text_model(model, MODEL / "text_encoder")


def teach(model: Any, tokenizer: CLIPTokenizer, rows: list[list[str]], shown: Shown, log: Log) -> None:
    """Trains a text model, in place, to tell what captions say.

    Args:
        rows: the captions of each still.
        shown: what a UNet is shown of token ids `n 77`: hidden states `n 77 c`, each of which learns to tell it.
    """
    rng = random.Random(SEED)
    readers = [nn.ModuleDict({name: nn.Linear(WIDTH, len(words)) for name, words in SAID.items()})]
    count = len(shown(tokenize(tokenizer, [""])))
    readers += [copy.deepcopy(readers[0]) for _ in range(count - 1)]
    parameters = [*model.parameters(), *(p for heads in readers for p in heads.parameters())]
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-3)
    texts = [*sorted({text for row in rows for text in row}), *[""] * 20]
    for step in range(NUM_STEPS):
        set_learning_rate(optimizer, learning_rate(step, NUM_STEPS, PEAK_RATE, 50))
        chosen = rng.choices(texts, k=BATCH)
        read = [read_caption(text) for text in chosen]
        ids = tokenize(tokenizer, [decorate(text, rng) for text in chosen])
        truth = {name: [one[name] for one in read] for name in SAID}
        pairs = zip(shown(ids), readers, strict=True)
        found = [loss_of(hidden, ids, heads, truth, model.config.eos_token_id) for hidden, heads in pairs]
        loss, right = sum(each for each, _ in found), min(right for _, right in found)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            log.write(step + 1, loss=loss.item(), right=right)


@torch.no_grad()
def embed(rows: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Embeddings `n 77 c` float32 of all different captions, the empty one first, and `stills captions` indices into
    them; computed by the text model as saved."""
    model = CLIPTextModel.from_pretrained(MODEL / "text_encoder").float().to(DEVICE)
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    texts, numbers = number_captions(rows)
    parts = tokenize(tokenizer, texts).to(DEVICE).split(256)
    return torch.cat([model(part).last_hidden_state.cpu() for part in parts]), numbers


def number_captions(rows: list[list[str]]) -> tuple[list[str], Tensor]:
    """All different captions, the empty one first, and `stills captions` indices into them."""
    texts = ["", *sorted({text for row in rows for text in row})]
    position = {text: index for index, text in enumerate(texts)}
    return texts, torch.tensor([[position[text] for text in row] for row in rows])


def embed_captions() -> tuple[Tensor, Tensor]:
    """What `embed` says of the captions of all stills; computed once, then cached."""
    kept = CACHE / "embeddings.pt"
    if not kept.exists():
        torch.save(embed(load_stills()[1]), kept)
    return torch.load(kept, weights_only=True)
