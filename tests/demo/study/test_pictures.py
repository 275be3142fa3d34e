"""The demo's pictures: what is where on a sheet, and that a curve shows what it should."""

from __future__ import annotations

import numpy as np
from PIL import Image

from demo.study.pictures import (
    GAP,
    LABEL_HEIGHT,
    as_bytes,
    enlarge,
    label_rows,
    running_mean,
    save_ablation_plot,
    save_loss_curve,
)


def test_enlarging_repeats_pixels():
    frames = np.arange(2 * 2 * 3 * 3).reshape(2, 2, 3, 3) / 36
    large = enlarge(frames, 4)
    assert large.shape == (2, 8, 12, 3)
    assert np.array_equal(large[:, ::4, ::4], frames) and np.array_equal(large[:, 3::4, 3::4], frames)


def test_frames_out_of_range_are_clamped():
    assert as_bytes(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [0, 0, 128, 255, 255]


def test_every_frame_is_in_its_place_below_its_label():
    grays = np.linspace(0.1, 0.9, 6).reshape(2, 3)
    first, second = (np.full((3, 8, 16, 3), 1.0) * row[:, None, None, None] for row in grays)
    sheet = np.asarray(label_rows({"one": first, "two": second[:2]}, scale=2))
    assert sheet.shape == (GAP + 2 * (LABEL_HEIGHT + 16 + GAP), GAP + 3 * (32 + GAP), 3)
    for row, column in ((0, 0), (0, 2), (1, 1)):
        top, left = GAP + row * (LABEL_HEIGHT + 16 + GAP) + LABEL_HEIGHT, GAP + column * (32 + GAP)
        frame = sheet[top : top + 16, left : left + 32]
        assert (frame == round(grays[row, column] * 255)).all()
    labels = [sheet[GAP + row * (LABEL_HEIGHT + 16 + GAP) :][:LABEL_HEIGHT] for row in (0, 1)]
    assert all(label.min() < 100 for label in labels)
    assert (sheet[-16 - GAP :, -32 - GAP :] == 255).all(), "the shorter video leaves its place empty"


def test_the_running_mean_of_a_short_run_is_the_mean_of_all():
    assert running_mean([1.0, 2.0, 3.0, 4.0], 2).tolist() == [1.5, 2.5, 3.5]
    assert running_mean([1.0, 3.0], 20).tolist() == [2.0]


def test_the_loss_curve_is_a_picture_with_a_blue_line(tmp_path):
    path = save_loss_curve(tmp_path / "curve.png", list(np.linspace(1, 0.1, 60)))
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    blue = (abs(picture - (31, 119, 180)) < 40).all(axis=-1)
    assert blue.sum() > 500
    rows = [np.nonzero(blue[:, column])[0].mean() for column in (450, 750)]
    assert rows[1] > rows[0] + 50, "it falls to the right"


def test_a_world_without_paths_has_a_plot_too(tmp_path):
    rows = {name: {"edits_right": share, "kept": 0.9} for name, share in (("plain", 0.0), ("mask", 0.5))}
    spread = {name: {"edits_right": 0.0, "kept": 0.0} for name in rows}
    with Image.open(save_ablation_plot(tmp_path / "plot.png", rows, spread)) as drawn:
        assert drawn.width > 500
