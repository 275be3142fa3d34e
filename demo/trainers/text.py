"""Stage 2: the text model, which is trained to tell what captions say, and then frozen."""

import random
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..world import palette, sdf
from ..world.captions import vocabulary
from ..world.vocabulary import MAX_LENGTH, write_tokenizer
from .common import CACHE, MODEL, SEED, Log, learning_rate, load_stills, set_learning_rate

WIDTH = 128
NUM_STEPS = 500
BATCH = 64
PEAK_RATE = 1e-3
# Class 0 of each means "not said".
ATTRIBUTES = {
    "shape": ("", *sdf.SHAPES),
    "colour": ("", *palette.COLOURS),
    "background": ("", *palette.BACKGROUNDS),
    "size": ("", "small", "big"),
    "style": ("", "sketch"),
}
_OPENINGS = ("a photo of ", "a picture of ", "a video of ", "the image of ")
_CLOSINGS = (" moving", " in the picture", " and with an object", " of the photo")


def split_caption(text: str) -> tuple[list[str], list[str]]:
    """The words about the object, and those about the background."""
    thing, _, behind = text.partition("," if "," in text else " on a ")
    return thing.split(), behind.split()


def read_caption(text: str) -> dict[str, int]:
    """The class of each attribute that a caption names; 0 if it does not name one."""
    thing, behind = split_caption(text)
    found = {}
    for name, words in ATTRIBUTES.items():
        said = behind if name == "background" else thing
        found[name] = next((i for i, word in enumerate(words) if word and word in said), 0)
    return found


def text_config(
    vocabulary_size: int, *, layers: int = 2, activation: str = "quick_gelu", heads: int = 8
) -> CLIPTextConfig:
    """The config of a small CLIP text model whose pooled token is the vocabulary's last."""
    end = vocabulary_size - 1
    return CLIPTextConfig(
        vocab_size=vocabulary_size,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=MAX_LENGTH,
        hidden_act=activation,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )


def make_text_model(vocabulary_size: int) -> CLIPTextModel:
    """An untrained two-layer CLIP text model."""
    return CLIPTextModel(text_config(vocabulary_size))


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids, `n 77`, padded with the end token."""
    kwargs = {"padding": "max_length", "max_length": MAX_LENGTH, "truncation": True, "return_tensors": "pt"}
    return tokenizer(texts, **kwargs).input_ids


def decorate(text: str, rng: random.Random) -> str:
    """The caption as people might type it, because words without meaning here must not change the embedding."""
    opening = rng.choice(_OPENINGS) if rng.random() < 0.2 else ""
    return opening + text + (rng.choice(_CLOSINGS) if rng.random() < 0.2 else "")


def loss_of(hidden: torch.Tensor, ids: torch.Tensor, heads: nn.ModuleDict, truth: dict[str, list[int]], end: int):
    """Cross entropy at the end token and all the padding after it: in Stable Diffusion these carry the summary."""
    after = (ids == end).float()
    total, right = 0.0, 1.0
    for name, head in heads.items():
        target = torch.tensor(truth[name])
        logits = head(hidden)
        each = F.cross_entropy(logits.transpose(1, 2), target[:, None].expand(ids.shape), reduction="none")
        total = total + (each * after).sum() / after.sum()
        right = min(right, (((logits.argmax(-1) == target[:, None]) * after).sum() / after.sum()).item())
    return total, right


def train_text() -> None:
    """Write the tokenizer, train the text model, and save both into the model's folder."""
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    model = make_text_model(write_tokenizer(MODEL / "tokenizer", vocabulary()))
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    heads = nn.ModuleDict({name: nn.Linear(WIDTH, len(words)) for name, words in ATTRIBUTES.items()})
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-3)
    texts = [*sorted({text for row in load_stills()[1] for text in row}), *[""] * 20]
    log = Log("text", NUM_STEPS)
    for step in range(NUM_STEPS):
        set_learning_rate(optimizer, learning_rate(step, NUM_STEPS, PEAK_RATE, 50))
        chosen = rng.choices(texts, k=BATCH)
        read = [read_caption(text) for text in chosen]
        ids = tokenize(tokenizer, [decorate(text, rng) for text in chosen])
        truth = {name: [one[name] for one in read] for name in ATTRIBUTES}
        loss, right = loss_of(model(ids).last_hidden_state, ids, heads, truth, model.config.eos_token_id)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % 25 == 0:
            log.write(step + 1, loss=loss.item(), right=right)
    save_text_model(model, MODEL / "text_encoder")


def save_text_model(model: CLIPTextModel, folder: Path) -> None:
    """Writes the weights in half precision and names float32 in the config.

    transformers reads weights into the dtype that the config names (since 5.0), and diffusers reads the other parts of
    a pipeline into float32: a text model in half precision would not fit them.
    """
    model.half().save_pretrained(folder)
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)


@torch.no_grad()
def embed_captions() -> tuple[torch.Tensor, torch.Tensor]:
    """(embeddings `n 77 128` float32 of all different captions, the empty one first; index `stills captions` into
    them), computed by the text model as saved; cached."""
    cached = CACHE / "embeddings.pt"
    if not cached.exists():
        model = CLIPTextModel.from_pretrained(MODEL / "text_encoder").float()
        tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
        rows = load_stills()[1]
        texts = ["", *sorted({text for row in rows for text in row})]
        position = {text: i for i, text in enumerate(texts)}
        ids = tokenize(tokenizer, texts)
        table = torch.cat([model(part).last_hidden_state for part in ids.split(256)])
        torch.save((table, torch.tensor([[position[text] for text in row] for row in rows])), cached)
    return torch.load(cached, weights_only=True)
