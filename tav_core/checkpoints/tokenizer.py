"""The tokenizer of a CLIP text encoder, from a folder or from the vocabulary that comes with this library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CLIP_TOKENIZER = Path(__file__).parents[1] / "data" / "clip_tokenizer"


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer's vocabulary."""
    return any((folder / name).is_file() for name in ("vocab.json", "tokenizer.json"))


def load_tokenizer(folder: Path, *, vocab_size: int | None = None, **settings: Any) -> CLIPTokenizer:
    """Loads a tokenizer for a text encoder.

    Args:
        folder: with vocab.json and merges.txt; `CLIP_TOKENIZER` is the one that comes with this library.
        vocab_size: how many tokens the text encoder knows; None if it is not loaded.
        settings: what the tokenizer should hold other than the folder says, as in `model_max_length`.

    Raises:
        CheckpointError: no tokenizer there, one that cannot be read, or one of more tokens than the encoder knows.
    """
    from transformers import CLIPTokenizer

    if not has_tokenizer(folder):
        raise CheckpointError(
            got=f"{folder} without a tokenizer",
            expected="vocab.json and merges.txt",
            mend="Get the complete folder again, or give a folder that holds them as the tokenizer.",
        )
    # transformers has no error class of its own for vocabularies that it cannot read.
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, **settings)
    except Exception as error:
        raise CheckpointError(
            got=f"{folder}, a tokenizer that cannot be read ({error})",
            expected="vocab.json and merges.txt in CLIP's format",
            mend="Get the tokenizer's folder again.",
        ) from error
    if vocab_size is not None and len(tokenizer) > vocab_size:
        raise CheckpointError(
            got=f"a tokenizer of {len(tokenizer)} tokens, a text encoder of {vocab_size}: {folder}",
            expected="no more tokens than the text encoder has",
            mend="Use the vocab.json and merges.txt that belong to this model.",
        )
    return tokenizer
