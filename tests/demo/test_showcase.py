"""The demo from end to end with a random model of the demo's own layout, a few steps long."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from demo import showcase as demo
from demo.creatures.oracle.scores import Scores
from demo.creatures.scene import draw
from demo.make_clip import MASK
from tav_core import Motion, read_clip
from tav_core.tuning.training_run import TuningRun

STEPS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that knows nothing, in the bundled one's layout but smaller."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    from demo.creatures.captions import vocabulary
    from demo.trainers.text import make_text_model
    from demo.world.vocabulary import write_tokenizer

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    text = make_text_model(write_tokenizer(folder / "tokenizer", vocabulary()))
    widths = (32, 32)
    unet = UNet2DConditionModel(
        block_out_channels=widths,
        layers_per_block=1,
        cross_attention_dim=text.config.hidden_size,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
    )
    parts = {"unet": unet, "vae": vae, "text_encoder": text, "scheduler": DDIMScheduler(steps_offset=1)}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    return folder


def short_showcase(model, out):
    return demo.Showcase(
        out=out,
        model=model,
        tuning=dataclasses.replace(demo.TUNE_BEST, num_steps=STEPS),
        sampling=dataclasses.replace(demo.EDIT, num_steps=2),
    )


@pytest.fixture(scope="module")
def first(model, tmp_path_factory):
    """A first run and its scores; tests must not change its folder."""
    showcase = short_showcase(model, tmp_path_factory.mktemp("first") / "out")
    return showcase, demo.run_showcase(showcase)


@pytest.fixture
def again(first, tmp_path):
    """A showcase whose folder holds what the first run left."""
    return dataclasses.replace(first[0], out=shutil.copytree(first[0].out, tmp_path / "out"))


def test_it_leaves_the_videos_pictures_scores_and_motion(first):
    small, scores = first
    assert len(scores) == 3
    kept = {path.name for path in small.out.glob("trajectory_*.safetensors")}
    assert len(kept) == 1
    assert {path.name for path in small.out.iterdir()} == kept | {
        "source.mp4",
        *(f"{prompt.replace(' ', '-')}.mp4" for prompt in scores),
        "contact_sheet.png",
        "loss_curve.png",
        "scores.json",
        "motion.safetensors",
        "tuning-state.safetensors",
    }
    video = read_clip(small.out / "source.mp4", num_frames=8, width=512, height=512)
    assert video.source_size == (512, 512) and video.source_frames == 8 and video.fps == 8
    assert Image.open(small.out / "contact_sheet.png").width > 8 * 128
    assert Motion.load(small.out / "motion.safetensors").info.steps_done == STEPS
    report = json.loads((small.out / "scores.json").read_text(), parse_constant=pytest.fail)
    assert [each["prompt"] for each in report["edits"]] == list(scores)
    assert report["settings"]["tune"]["num_steps"] == STEPS
    assert set(report["seconds"]) == {"load", "tune", "invert", "edit", "decode"}


def test_a_second_run_reuses_the_tuning_and_gives_the_same(first, again, monkeypatch, capsys):
    before = Motion.load(again.out / "motion.safetensors")
    monkeypatch.setattr(TuningRun, "advance", lambda self: pytest.fail("it tuned again"))
    monkeypatch.setattr(demo, "invert", lambda *_, **__: pytest.fail("it inverted again"))
    second = demo.run_showcase(again)
    assert "continuing the tuning found in" in capsys.readouterr().out
    after = Motion.load(again.out / "motion.safetensors")
    assert all(torch.equal(after.deltas[name], delta) for name, delta in before.deltas.items())
    assert all(torch.equal(after.temporal[name], weight) for name, weight in before.temporal.items())
    np.testing.assert_equal([vars(s) for s in second.values()], [vars(s) for s in first[1].values()])


def test_a_tuning_of_another_model_is_not_reused(first, again, model, tmp_path, capsys):
    from diffusers import UNet2DConditionModel

    other = shutil.copytree(model, tmp_path / "other")
    unet = UNet2DConditionModel.from_pretrained(other / "unet")
    torch.nn.init.normal_(unet.conv_in.weight)
    unet.save_pretrained(other / "unet")
    demo.run_showcase(dataclasses.replace(again, model=other))
    assert "starting the tuning again instead: the state of another run" in capsys.readouterr().out
    names = [{path.name for path in run.out.glob("trajectory_*")} for run in (first[0], again)]
    assert len(names[1]) == 1 and names[0] != names[1], "another motion has an inversion of its own"


def test_errors_end_it_with_a_message_and_ctrl_c_with_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "load_checkpoint", lambda *_, **__: demo.read_clip(tmp_path / "none.mp4"))
    assert demo.main(["--out", str(tmp_path)]) == 1
    assert "error: Got" in capsys.readouterr().err

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "load_checkpoint", interrupt)
    assert demo.main(["--out", str(tmp_path)]) == 130
    assert "continues from the last saved step" in capsys.readouterr().err


def test_the_bundled_clip_is_the_one_the_edits_are_for():
    clip = demo.clip_named(demo.NAME)
    bundled = read_clip(demo.CLIP, num_frames=len(clip.scenes), width=demo.SIZE, height=demo.SIZE)
    assert bundled.source_frames == len(clip.scenes) and bundled.source_size == (demo.SIZE, demo.SIZE)
    assert np.abs(bundled.frames.numpy() - clip.frames()).mean() < 0.02


def test_the_bundled_mask_is_where_the_clips_subject_is():
    strip = np.asarray(Image.open(MASK)) / 255
    drawn = [draw(scene).mask for scene in demo.clip_named(demo.NAME).scenes]
    assert np.abs(strip - np.concatenate(drawn, axis=1)).max() < 0.01


def test_the_table_has_a_row_for_each_edit_with_its_verdict():
    values = {"distance": 1.0, "gait": 1.0, "agreement": 1.0, "kept": 1.0, "background_kept": 1.0, "flicker": 0.0123}
    table = demo.format_table(
        {"a cat": Scores(right=1.0, path=0.987, **values), "a car": Scores(right=0.5, path=-0.2, **values)}
    )
    right, wrong = (next(line for line in table.splitlines() if prompt in line) for prompt in ("a cat", "a car"))
    assert "yes (100%)" in right and "0.987" in right and "0.0123" in right
    assert "no   (50%)" in wrong and "-0.200" in wrong
