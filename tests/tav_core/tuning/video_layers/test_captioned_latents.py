"""tav_core/tuning/video_layers: what a folder holds, how it is encoded, and what is refused, at once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import ConfigError
from tav_core.models.latents import encode_frames
from tav_core.models.text import encode_prompt
from tav_core.tuning.video_layers.captioned_folder import find_examples
from tav_core.tuning.video_layers.captioned_latents import encode_folder
from tav_core.tuning.video_layers.config import VideoLayersConfig
from tav_core.video.clip import read_clip
from tests.tav_core.tuning.video_layers.captioned import QUICK, write_clip, write_examples

CONFIG = VideoLayersConfig(**QUICK)


@pytest.fixture(scope="module")
def parts(sd1, write_folder, tmp_path_factory):
    return load_checkpoint(write_folder(sd1, tmp_path_factory.mktemp("parts") / "model"))


@pytest.fixture
def folder(tmp_path):
    return write_examples(tmp_path / "examples")


def test_each_kind_of_file_is_found(folder):
    (folder / ".hidden.mp4").write_text("")
    (folder / "notes.md").write_text("of another kind")
    # `tune` read it, and here it was left out without a word.
    (folder / "a.mp4").with_suffix(".txt").rename(folder / "z.txt")
    (folder / "a.mp4").rename(folder / "z.MPG")
    write_clip(folder / "a.mp4")
    (folder / "a.txt").write_text("clip a")
    examples, problems = find_examples(folder)
    found = {example.name: (example.is_clip, example.caption) for example in examples}
    assert problems == []
    assert found == {
        "a.mp4": (True, "clip a"),
        "b.gif": (True, "clip b"),
        "c.webp": (True, "clip c"),
        "d.1": (True, "clip d"),
        "e.png": (False, "picture (of e)"),
        "f.jpg": (False, "picture (of f)"),
        "g.webp": (False, "picture (of g)"),
        "z.MPG": (True, "clip a"),
    }


def test_results_and_pictures_may_lie_among_the_clips(folder, parts):
    (folder / "out").mkdir()
    (folder / "out" / "state.safetensors").write_text("")
    (folder / "e.txt").unlink()
    assert find_examples(folder)[1] == ["e.png: no caption, there is no e.txt"]
    assert find_examples(folder, pictures=False)[1] == []
    data = encode_folder(parts, folder, config=replace(CONFIG, images_per_clip=0))
    assert [one.name for one in data.clips] == ["a.mp4", "b.gif", "c.webp", "d.1"] and not data.pictures


def test_a_metadata_file_gives_captions_too(folder):
    shelf = folder / "videos"
    shelf.mkdir()
    write_clip(shelf / "z.mp4")
    rows = [{"file_name": "videos/z.mp4", "text": "clip z"}, {"file_name": "a.mp4", "text": "clip one"}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    examples, problems = find_examples(folder)
    found = {example.name: example.caption for example in examples}
    assert problems == [] and len(found) == 8
    assert (found["videos/z.mp4"], found["a.mp4"], found["b.gif"]) == ("clip z", "clip one", "clip b")


def test_examples_are_what_the_vae_and_the_text_encoder_give(folder, parts):
    told = []
    data = encode_folder(parts, folder, config=CONFIG, on_read=lambda *done: told.append(done))
    assert told == [(i, 7) for i in range(1, 8)]
    assert [one.name for one in data.clips] == ["a.mp4", "b.gif", "c.webp", "d.1"]
    clip = read_clip(folder / "a.mp4", num_frames=3, width=64, height=48)
    expected = encode_frames(parts.vae, clip.frames)
    assert torch.equal(data.clips[0].latents.mean, expected.mean) and torch.equal(
        data.clips[0].latents.std, expected.std
    )
    assert torch.equal(data.clips[0].text, encode_prompt(parts, "clip a").text)
    assert torch.equal(data.no_text, encode_prompt(parts, "").text)
    assert [tuple(one.latents.mean.shape) for one in data.pictures] == [(1, 4, 1, 6, 8)] * 3
    assert data.pictures[0].latents.mean.dtype == torch.float32


def test_parentheses_weigh_nothing(folder, parts):
    (folder / "a.txt").write_text("a ((red:1.5)) star")
    data = encode_folder(parts, folder, config=CONFIG)
    assert torch.equal(data.clips[0].text, encode_prompt(parts, r"a \(\(red:1.5\)\) star").text)


def test_half_precision_is_kept_as_bf16(folder, parts):
    data = encode_folder(parts, folder, config=VideoLayersConfig(**QUICK, precision="fp16"))
    one = data.clips[0]
    assert {one.latents.mean.dtype, one.latents.std.dtype, one.text.dtype, data.no_text.dtype} == {torch.bfloat16}


def test_pictures_are_not_read_where_none_are_wanted(folder, parts):
    (folder / "e.png").write_text("no picture")
    config = VideoLayersConfig(**{**QUICK, "images_per_clip": 0})
    assert encode_folder(parts, folder, config=config).pictures == []


def test_all_that_is_wrong_is_named_at_once(folder, parts):
    write_clip(folder / "short.mp4", frames=2)
    (folder / "short.txt").write_text("two frames")
    (folder / "b.txt").unlink()
    (folder / "c.txt").write_text(" \n")
    (folder / "f.txt").write_bytes(b"\xff\xfe\xff")
    (folder / "e.png").write_text("no picture")
    (folder / "a.mp4").write_text("no video")
    (folder / "d.1.txt").write_text("word " * 80)
    (folder / "metadata.jsonl").write_text('{"file_name": "gone.mp4", "text": "x"}\n')
    with pytest.raises(ConfigError) as refused:
        encode_folder(parts, folder, config=CONFIG)
    message = str(refused.value)
    assert "8 problems" in message and "no step was taken" in message
    for told in (
        "short.mp4: ",
        "b.gif: no caption, there is no b.txt",
        "c.webp: its caption c.txt is empty",
        "f.jpg: its caption f.txt is empty, or no UTF-8 text",
        "e.png: ",
        "a.mp4: ",
        "d.1: a prompt of 80 tokens",
        "gone.mp4: named in metadata.jsonl, but not there",
    ):
        assert told in message, message


def test_a_folder_without_clips_or_pictures(folder, parts, tmp_path):
    for name in ("e.png", "f.jpg", "g.webp"):
        (folder / name).unlink()
    with pytest.raises(ConfigError, match=r"no picture in .* images_per_clip 2.*video alone"):
        encode_folder(parts, folder, config=CONFIG)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match=r"no clip in .*empty"):
        encode_folder(parts, empty, config=CONFIG)
    with pytest.raises(ConfigError, match="does not exist"):
        encode_folder(parts, tmp_path / "nowhere", config=CONFIG)


@pytest.mark.parametrize(
    "line",
    ["[1]", "{", '{"file_name": "a.mp4"}', '{"file_name": "../a.mp4", "text": "x"}', '{"file_name": "/a", "text": 1}'],
)
def test_a_broken_metadata_file_is_refused_with_its_line(folder, line):
    (folder / "metadata.jsonl").write_text(f'{{"file_name": "a.mp4", "text": "x"}}\n\n{line}\n')
    with pytest.raises(ConfigError, match=r"metadata\.jsonl, whose line 3"):
        find_examples(folder)
