"""--lora on the command line: tune, invert, edit and generate with one; a run goes on with the same one alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tav_core.cli.inputs import split_scale
from tav_core.cli.main import main
from tav_core.errors import ConfigError
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.motion import Motion
from tav_core.video.notes import read_notes
from tav_core.video.write import write_video

SIZE = ["--num-frames", "3", "--width", "32", "--height", "32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, write_folder):
    """A folder with a tiny checkpoint, a clip, and a LoRA on its queries and on its text encoder."""
    place = tmp_path_factory.mktemp("lora")
    write_folder(small, place / "model")
    write_video(place / "clip.mp4", np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32), fps=12)
    generator, tensors = torch.Generator().manual_seed(0), {}
    layers = {
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v": (64, 64),
        "text_encoder.text_model.encoder.layers.0.mlp.fc1": (128, 64),
    }
    for name, (out, width) in layers.items():
        tensors[f"{name}.lora_A.weight"] = torch.randn(2, width, generator=generator)
        tensors[f"{name}.lora_B.weight"] = 0.3 * torch.randn(out, 2, generator=generator)
    save_file(tensors, place / "look.safetensors")
    return place


def tune(place, *more, out="run"):
    files = ["--model", f"{place / 'model'}", "--clip", f"{place / 'clip.mp4'}", "--out", f"{place / out}"]
    return main(["tune", *files, *SIZE, "--prompt", "a cat", "--num-steps", "1", "--memory", "speed", *more])


def invert(place, *more, out):
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    clip = ["--clip", f"{place / 'clip.mp4'}", "--out", f"{place / out}"]
    assert main(["invert", *files, *clip, "--num-steps", "2", *more]) == 0
    return Trajectory.load(place / out).latents


def test_a_lora_counts_in_every_command(place, capsys):
    lora = ["--lora", f"{place / 'look.safetensors'}:0.5"]
    assert tune(place, *lora) == 0
    assert "LoRA look.safetensors at 0.5: 2 layers" in capsys.readouterr().err
    plain, with_lora = invert(place, out="plain.safetensors"), invert(place, *lora, out="with.safetensors")
    assert not torch.allclose(plain, with_lora, atol=1e-3)
    # Twice half of it is the whole.
    twice, whole = (
        invert(place, *lora, *lora, out="a.safetensors"),
        invert(place, *whole_of(place), out="b.safetensors"),
    )
    torch.testing.assert_close(twice, whole, rtol=1e-4, atol=1e-4)
    model = ["--model", f"{place / 'model'}", *lora, "--num-steps", "2", "--prompt", "a dog"]
    edited = ["--motion", f"{place / 'run' / 'motion.safetensors'}", "--trajectory", f"{place / 'with.safetensors'}"]
    assert main(["edit", *model, *edited, "--out", f"{place / 'plain'}"]) == 0
    assert "comment" not in read_notes(place / "plain" / "a-dog.mp4")
    assert main(["edit", *model, *edited, "--metadata", "--out", f"{place / 'edits'}"]) == 0
    about = json.loads(read_notes(place / "edits" / "a-dog.mp4")["comment"])
    assert about["prompt"] == "a dog" and about["num_steps"] == 2 and about["motion"] == "motion.safetensors"
    assert about["lora"] == ["look.safetensors:0.5"]
    assert main(["generate", *model, *SIZE, "--width", "64", "--height", "64", "--out", f"{place / 'new'}"]) == 0
    assert (place / "edits" / "a-dog.mp4").is_file() and (place / "new" / "a-dog.mp4").is_file()


def whole_of(place):
    return ["--lora", f"{place / 'look.safetensors'}"]


def test_a_run_goes_on_with_its_own_lora_alone(place, capsys):
    assert tune(place, *whole_of(place), out="mine") == 0
    assert tune(place, *whole_of(place), "--num-steps", "2", out="mine") == 0
    capsys.readouterr()
    for other in ([], ["--lora", f"{place / 'look.safetensors'}:-1"]):
        assert tune(place, *other, "--num-steps", "3", out="mine") == 1
        assert "its model is not the one asked for" in capsys.readouterr().err
    assert tune(place, out="without") == 0
    motions = [Motion.load(place / out / "motion.safetensors").info for out in ("mine", "without")]
    assert motions[0].base_hash != motions[1].base_hash and motions[0].architecture == motions[1].architecture


def test_info_says_what_a_lora_is_and_why_another_file_is_none(place, tmp_path, capsys):
    assert main(["info", f"{place / 'look.safetensors'}"]) == 0
    told = capsys.readouterr().out
    assert "kind  LoRA" in told and "1 in text_encoder, 1 in unet" in told and "rank  2" in told
    # The same in a pickle, as trainers of kohya's time wrote it.
    torch.save(load_file(place / "look.safetensors"), tmp_path / "look.pt")
    assert main(["info", f"{tmp_path / 'look.pt'}"]) == 0
    assert capsys.readouterr().out == told
    save_file({"lora_unet_mid_block.lokr_w1": torch.ones(2, 2)}, tmp_path / "lokr.safetensors")
    assert main(["info", f"{tmp_path / 'lokr.safetensors'}"]) == 1
    assert "a LoKr (LyCORIS)" in capsys.readouterr().err


def test_lavie_has_a_model_of_its_own(place, capsys):
    given = ["--model", f"{place / 'model'}", "--prompt", "x", "--out", f"{place}", "--lavie", "x.pt"]
    assert main(["generate", *given, *whole_of(place)]) == 1
    assert "--lavie with --lora" in capsys.readouterr().err


def test_a_missing_lora_is_told_before_the_model_is_read(place, capsys):
    assert tune(place, "--lora", f"{place / 'no.safetensors'}") == 1
    told = capsys.readouterr().err
    assert "no such file" in told and "reading" not in told


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.8", "a.safetensors", 0.8),
        ("a.safetensors:-1", "a.safetensors", -1.0),
        (r"C:\loras\a.safetensors", r"C:\loras\a.safetensors", 1.0),
        (r"C:\loras\a.safetensors:.5", r"C:\loras\a.safetensors", 0.5),
        ("C:/loras/a.safetensors", "C:/loras/a.safetensors", 1.0),
    ],
)
def test_file_and_scale(text, path, scale):
    assert split_scale(text) == (Path(path), scale)


@pytest.mark.parametrize("text", ["a.safetensors:", "a.safetensors:strong", "a:b"])
def test_a_scale_that_is_no_number(text):
    with pytest.raises(ConfigError, match="a scale of"):
        split_scale(text)
