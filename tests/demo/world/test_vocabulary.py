import numpy as np
import pytest

from demo.world.captions import caption, vocabulary
from demo.world.stills import random_scene
from demo.world.vocabulary import END, START, byte_letters, learn_merges, write_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    size = write_tokenizer(folder, vocabulary())
    loaded = transformers.CLIPTokenizer.from_pretrained(folder)
    assert len(loaded) == size
    return loaded


def test_every_byte_has_its_own_letter():
    letters = byte_letters()
    assert len(set(letters)) == 256 and all(letter.isprintable() for letter in letters)


def test_merges_build_every_word():
    merges = learn_merges(["red", "read", "a"])
    assert merges[0] == ("r", "e")
    assert {"".join(pair) for pair in merges} >= {"red</w>", "read</w>"}


def test_every_caption_word_is_one_token(tokenizer):
    for word in vocabulary():
        assert len(tokenizer(word).input_ids) == 3
    rng = np.random.default_rng(0)
    for _ in range(20):
        text = caption(random_scene(rng), rng)
        assert len(tokenizer(text).input_ids) == len(text.replace(",", " ,").split()) + 2


def test_start_and_end_are_the_last_two_ids(tokenizer):
    ids = tokenizer("a red circle").input_ids
    assert (ids[0], ids[-1]) == (len(tokenizer) - 2, len(tokenizer) - 1)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (START, END, END)


def test_any_other_text_has_tokens_and_comes_back(tokenizer):
    text = "zebras & 12 cafés"
    ids = tokenizer(text).input_ids[1:-1]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")
