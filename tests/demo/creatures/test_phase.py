"""demo/creatures/oracle/phase.py: the gait of clips as they are, standing still and backwards, and of drawn edits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from demo.creatures.clips import all_clips, clip_named
from demo.creatures.edited_scenes import edited_scenes
from demo.creatures.oracle.phase import CROP_SIDE, boxes, crop
from demo.creatures.oracle.scores import first_oracle, gait_correlation
from demo.creatures.scene import render


def gait(frames, clip):
    return gait_correlation(first_oracle().read(frames), clip.phases())


def test_a_box_is_around_the_subject():
    mask = torch.zeros(1, 32, 32)
    mask[0, 8:16, 4:28] = 1
    x, y, half = boxes(mask)[0].tolist()
    assert (x, y) == pytest.approx((0.5, 0.375)) and 0.5 <= half <= 0.6
    assert torch.isfinite(boxes(torch.zeros(1, 32, 32))).all()


def test_a_crop_is_the_square_asked_for():
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    picture = torch.stack([rows, columns, rows])[None] / 95
    cut = crop(picture, torch.tensor([[0.5, 0.25, 0.125]]))[0]
    assert cut.shape == (3, CROP_SIDE, CROP_SIDE)
    assert cut[1].mean().item() == pytest.approx(0.5, abs=0.01) and cut[0].mean().item() == pytest.approx(
        0.25, abs=0.01
    )
    assert (cut[1].max() - cut[1].min()).item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("clip", all_clips(), ids=lambda clip: clip.name)
def test_a_gait_that_stands_still_or_goes_backwards_is_none(clip):
    frames = clip.frames()
    assert abs(gait(np.repeat(frames[2:3], len(frames), axis=0), clip)) < 0.05
    assert gait(frames[::-1].copy(), clip) < 0.3


@pytest.mark.parametrize("name", ["rabbit", "elephant", "turtle"])
def test_the_gait_of_drawn_edits_is_read_too(name):
    clip = clip_named(name)
    drawn = [np.stack([render(scene) for scene in edited_scenes(clip, edit)]) for edit in clip.edits]
    assert np.mean([gait(frames, clip) for frames in drawn]) > 0.93


def test_another_phase_is_read_as_another():
    clip = clip_named("bear")
    shifted = [dataclasses.replace(scene, phase=(scene.phase + 0.5) % 1) for scene in clip.scenes]
    assert gait(np.stack([render(scene) for scene in shifted]), clip) < -0.9
