"""The tokenizer of a text encoder: the one that comes with the library, and folders that are none."""

from __future__ import annotations

import pytest

from tav_core.checkpoints.tokenizer import CLIP_TOKENIZER, has_tokenizer, load_tokenizer
from tav_core.errors import CheckpointError


def test_the_own_vocabulary_takes_settings():
    assert has_tokenizer(CLIP_TOKENIZER)
    tokenizer = load_tokenizer(CLIP_TOKENIZER, vocab_size=49408, pad_token="!", model_max_length=20)
    assert (tokenizer.pad_token_id, tokenizer.model_max_length) == (0, 20)
    assert load_tokenizer(CLIP_TOKENIZER, vocab_size=49408).pad_token_id == 49407


def test_what_is_no_tokenizer_or_anothers_is_refused(tmp_path):
    assert not has_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match="without a tokenizer"):
        load_tokenizer(tmp_path, vocab_size=49408)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(CheckpointError, match="a tokenizer that cannot be read"):
        load_tokenizer(tmp_path, vocab_size=49408)
    with pytest.raises(CheckpointError, match=r"49408 tokens, a text encoder of 1000.*belong to this model"):
        load_tokenizer(CLIP_TOKENIZER, vocab_size=1000)
