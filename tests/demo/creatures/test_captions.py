"""Captions of the second world: what they say, and that the text model's classes read them back."""

import numpy as np
import pytest

from demo.creatures.captions import phrase, vocabulary
from demo.creatures.clips import all_clips
from demo.creatures.stills import random_scene
from demo.creatures.trainers.stills import describe_chunk
from demo.creatures.trainers.text import SAID, read_caption
from demo.world.vocabulary import learn_merges


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"subject": "rabbit", "place": "meadow"}, "a rabbit is running on the meadow"),
        ({"subject": "elephant", "place": "city"}, "an elephant is running in the city at night"),
        (
            {"subject": "cat", "thing": "hat", "place": "snow", "style": "sketch"},
            "a cat with a hat is running in the snow, sketch style",
        ),
        ({"subject": "duck", "thing": "apple", "verb": ""}, "a duck with an apple"),
        ({"place": "water", "style": "pixel art"}, "something is moving under water, pixel art style"),
        ({}, "something is moving"),
    ],
)
def test_phrases(words, sentence):
    assert phrase(**words) == sentence


def test_what_a_phrase_says_is_read_back():
    rng = np.random.default_rng(0)
    for _ in range(300):
        words = {name: str(rng.choice(classes)) for name, classes in SAID.items()}
        style = words["style"] or "plain"
        read = read_caption(phrase(**words | {"style": style}, verb=str(rng.choice(["", "running", "flying"]))))
        assert {name: SAID[name][row] for name, row in read.items()} == words


def test_captions_leave_parts_out_but_never_a_style():
    captions = [(scene, text) for scene, texts in describe_chunk(0)[:150] for text in texts]
    said = [read_caption(text) for _, text in captions]
    for name, least, most in (("subject", 0.85, 0.97), ("place", 0.8, 0.95)):
        assert least < np.mean([read[name] > 0 for read in said]) < most
    for (scene, _), read in zip(captions, said, strict=True):
        style = SAID["style"][read["style"]] or "plain"
        assert style == scene.style
        assert SAID["subject"][read["subject"]] in ("", scene.subject)
        assert SAID["place"][read["place"]] in ("", scene.place)


def test_every_word_of_every_prompt_is_one_token():
    words = set(vocabulary())
    prompts = [clip.prompt for clip in all_clips()] + [edit.prompt for clip in all_clips() for edit in clip.edits]
    for prompt in prompts:
        assert set(prompt.replace(",", " ,").split()) <= words
    assert learn_merges(vocabulary())


def test_a_scene_is_the_same_for_the_same_seed():
    one, other = (random_scene(np.random.default_rng(7)) for _ in range(2))
    assert one == other
