"""`train-video` at the command line, end to end on tiny models: what it writes is LaVie's base again."""

from __future__ import annotations

import pytest
import torch

from tav_core.checkpoints.lavie import load_lavie
from tav_core.cli.main import main
from tav_core.models.parameter_names import is_temporal
from tav_core.tensor_files import load_header
from tests.tav_core.lavie_models import save_small_lavie
from tests.tav_core.tuning.video_layers.captioned import write_examples

SIZE = ["--num-frames", "3", "--stride", "1", "--width", "64", "--height", "48"]
STEPS = ["--clips-per-step", "2", "--images-per-clip", "2", "--learning-rate", "1e-3", "--device", "cpu"]


@pytest.fixture(scope="module")
def place(small, write_folder, tmp_path_factory):
    """A folder with a tiny checkpoint, LaVie's files and examples."""
    place = tmp_path_factory.mktemp("train")
    write_folder(small, place / "model")
    for kind in ("base", "interpolation"):
        save_small_lavie(kind, place)
    write_examples(place / "data")
    return place


def train(place, *more, out="out", lavie="lavie_base.pt"):
    files = ["--sd", f"{place / 'model'}", "--lavie", f"{place / lavie}", "--data", f"{place / 'data'}"]
    return main(["train-video", *files, "--out", f"{place / out}", *SIZE, *STEPS, *more])


def weights(path):
    return load_lavie(path, "base").unet.state_dict()


def test_it_writes_a_base_that_loads_and_generates(place, capsys):
    assert train(place, "--num-steps", "2") == 0
    path = place / "out" / "lavie_base.safetensors"
    assert capsys.readouterr().out.strip() == f"{path}"
    before, after = weights(place / "lavie_base.pt"), weights(path)
    assert before.keys() == after.keys()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if is_temporal(name)}
    _, metadata = load_header(path, error=ValueError, what="a base")
    assert metadata == {"lavie": "base", "scaling_factor": "0.18215"}
    made = ["--prompt", "clip a", "--out", f"{place / 'made'}", "--num-steps", "1", "--num-frames", "2"]
    size = ["--width", "64", "--height", "64", "--device", "cpu"]
    assert main(["generate", "--lavie", f"{path}", "--sd", f"{place / 'model'}", *made, *size]) == 0
    # The file beside it, which is taken for the model by mistake.
    state = f"{path.with_name('state.safetensors')}"
    assert main(["generate", "--lavie", state, "--sd", f"{place / 'model'}", *made, *size]) == 1
    told = capsys.readouterr().err
    assert "the saved state of a training" in told and "lavie_base.safetensors" in told


def test_the_same_command_goes_on(place):
    """With more steps, it ends where a run of all steps ends."""
    assert train(place, "--num-steps", "1", out="parts") == train(place, "--num-steps", "2", out="parts") == 0
    assert train(place, "--num-steps", "2", out="whole") == 0
    one, other = (weights(place / out / "lavie_base.safetensors") for out in ("parts", "whole"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_whole_unet_on_video_alone(place):
    assert train(place, "--num-steps", "1", "--train", "all", "--images-per-clip", "0", out="all") == 0
    before, after = weights(place / "lavie_base.pt"), weights(place / "all" / "lavie_base.safetensors")
    assert not any(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_what_cannot_be_learnt_from_is_told(place, capsys):
    (place / "data" / "new.mp4").write_text("no video")
    (place / "data" / "e.txt").rename(place / "kept.txt")
    try:
        assert train(place, out="refused") == 1
    finally:
        (place / "data" / "new.mp4").unlink()
        (place / "kept.txt").rename(place / "data" / "e.txt")
    told = capsys.readouterr().err
    assert "new.mp4" in told and "e.png: no caption, there is no e.txt" in told
    assert not (place / "refused").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--width", "20"], "a multiple of 8"),
        (["--long-prompts"], "--long-prompts in a training"),
        (["--num-frames", "9"], "clips of 9 frames or more"),
        (["--lavie", "lavie_interpolation.pt"], "(lavie_interpolation.pt)"),
    ],
)
def test_refusals_are_in_words(place, capsys, monkeypatch, more, told):
    monkeypatch.chdir(place)
    assert train(place, *more, out="wrong") == 1
    assert told in capsys.readouterr().err
