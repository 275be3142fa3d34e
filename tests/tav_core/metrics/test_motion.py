"""Flow scores on clips whose motion is known, and against loops over pixels."""

from __future__ import annotations

import builtins
import math
import sys
from types import ModuleType

import pytest
import torch

from tav_core.errors import InputError
from tav_core.metrics.flow import FlowPair, measure_flow, to_grey
from tav_core.metrics.motion import (
    angle_entropy,
    angle_histogram,
    flow_magnitudes,
    visible_pixels,
    warp_errors,
    warp_frames,
)
from tav_core.opencv import has_opencv

cv2 = pytest.importorskip("cv2")
original_import = builtins.__import__


def entropy_of(flow):
    return float(angle_entropy(angle_histogram(flow)))


class TestKnownMotion:
    """DIS on textures that move as we moved them."""

    def test_a_shift_is_measured_in_pixels(self, shifted):
        flow = measure_flow(shifted)
        assert flow.forward.shape == flow.backward.shape == (5, 96, 96, 2)
        middle = flow.forward[:, 16:-16, 16:-16]
        torch.testing.assert_close(middle.mean((1, 2)), torch.tensor([[-3.0, -1.0]] * 5), rtol=0, atol=0.05)
        torch.testing.assert_close(flow.backward.mean((1, 2)), torch.tensor([[3.0, 1.0]] * 5), rtol=0, atol=0.15)
        expected = torch.full((5,), math.sqrt(10))
        torch.testing.assert_close(flow_magnitudes(flow.forward), expected, rtol=0.05, atol=0)

    def test_a_shift_leaves_no_warp_error(self, shifted):
        still = (shifted[1:] - shifted[:-1]).abs().mean()
        errors = warp_errors(shifted, measure_flow(shifted))
        assert errors.shape == (5,)
        assert errors.max() < 0.003 < still / 10

    def test_flicker_raises_the_warp_error_to_its_size(self, shifted):
        brighter = shifted * 0.8 + torch.tensor([0.0, 0.1] * 3)[:, None, None, None]
        errors = warp_errors(brighter, measure_flow(shifted))
        torch.testing.assert_close(errors, torch.full((5,), 0.1), rtol=0, atol=0.004)

    def test_one_direction_has_no_entropy_and_a_turn_has_nearly_all(self, shifted, turned):
        assert entropy_of(measure_flow(shifted).forward) < 0.1
        assert entropy_of(measure_flow(turned).forward) > 2.9

    def test_a_cut_has_no_visible_pixel_or_few(self, shifted):
        cut = torch.cat([shifted[:3], shifted[3:].flip(1, 2)])
        shares = visible_pixels(measure_flow(cut)).float().mean((1, 2))
        assert shares[2] < 0.5 < shares[[0, 1, 3, 4]].min()

    def test_a_still_video(self, shifted):
        still = shifted[:1].expand(4, -1, -1, -1)
        flow = measure_flow(still)
        assert flow_magnitudes(flow.forward).max() < 0.01
        assert warp_errors(still, flow).max() < 1e-3


@pytest.fixture
def flow():
    generator = torch.Generator().manual_seed(2)
    return FlowPair(*(torch.randn((2, 5, 7, 2), generator=generator) for _ in range(2)))


def fetch(picture, x, y):
    """One pixel between four, the nearest of the border beyond it."""
    height, width = picture.shape[:2]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - left, y - top
    upper = (1 - a) * picture[top, left] + a * picture[top, left + 1]
    lower = (1 - a) * picture[top + 1, left] + a * picture[top + 1, left + 1]
    return (1 - b) * upper + b * lower


class TestPlainTwins:
    """The same by loops over pixels."""

    def test_warp(self, flow):
        frames = torch.rand((2, 5, 7, 3), generator=torch.Generator().manual_seed(3))
        got = warp_frames(frames, flow.forward)
        for f in range(2):
            for y in range(5):
                for x in range(7):
                    dx, dy = flow.forward[f, y, x].tolist()
                    expected = fetch(frames[f], x + dx, y + dy)
                    torch.testing.assert_close(got[f, y, x], expected, rtol=0, atol=1e-5)

    def test_visible_pixels_and_warp_errors(self, flow):
        frames = torch.rand((3, 5, 7, 3), generator=torch.Generator().manual_seed(4))
        visible, errors = visible_pixels(flow), warp_errors(frames, flow)
        assert 0 < visible.float().mean() < 1
        for f in range(2):
            strayed = []
            for y in range(5):
                for x in range(7):
                    ahead = flow.forward[f, y, x]
                    at = (x + float(ahead[0]), y + float(ahead[1]))
                    back = fetch(flow.backward[f], *at)
                    bound = 0.01 * (ahead.square().sum() + back.square().sum()) + 0.5
                    inside = 0 <= at[0] <= 6 and 0 <= at[1] <= 4
                    sees = inside and bool((ahead + back).square().sum() < bound)
                    assert bool(visible[f, y, x]) == sees
                    if sees:
                        strayed.append((frames[f, y, x] - fetch(frames[f + 1], *at)).abs().mean())
            torch.testing.assert_close(errors[f], torch.stack(strayed).mean(), rtol=1e-5, atol=1e-6)


class TestDiversity:
    """The histogram's bins and what its entropy says."""

    @pytest.mark.parametrize("degrees", range(0, 360, 45))
    def test_each_direction_has_a_bin_around_it(self, degrees):
        angles = torch.deg2rad(degrees + torch.linspace(-20, 20, 9))
        flow = torch.stack([angles.cos(), angles.sin()], -1)[None, None]
        expected = torch.zeros(8, dtype=torch.float64)
        expected[degrees // 45] = 1
        torch.testing.assert_close(angle_histogram(flow), expected)
        assert entropy_of(flow) == pytest.approx(0, abs=1e-12)

    def test_long_ways_count_more(self):
        flow = torch.tensor([[3.0, 0.0], [0.0, 1.0]])[None, None]
        torch.testing.assert_close(angle_histogram(flow)[[0, 2]], torch.tensor([0.75, 0.25], dtype=torch.float64))
        assert entropy_of(flow) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))

    def test_all_directions_alike_are_three_bits(self):
        angles = torch.deg2rad(torch.arange(8) * 45.0)
        assert entropy_of(torch.stack([angles.cos(), angles.sin()], -1)[None, None]) == pytest.approx(3)

    def test_nothing_moves(self):
        assert entropy_of(torch.zeros(2, 4, 4, 2)) == 0


def test_grey_is_opencvs(shifted):
    frame = shifted[0].mul(255).round().to(torch.uint8).numpy()
    theirs = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(int)
    ours = to_grey(torch.from_numpy(frame)[None] / 255)[0].astype(int)
    assert abs(ours - theirs).max() <= 1


def without_libgl(name, *args, **kwargs):
    if name == "cv2":
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    return original_import(name, *args, **kwargs)


@pytest.mark.parametrize("how", ["not installed", "files removed", "no libGL"])
def test_without_opencv_it_says_what_to_install(shifted, monkeypatch, how):
    if how == "no libGL":
        monkeypatch.setattr(builtins, "__import__", without_libgl)
    else:
        monkeypatch.setitem(sys.modules, "cv2", None if how == "not installed" else ModuleType("cv2"))
    assert not has_opencv()
    with pytest.raises(InputError, match=r"Any one of the opencv packages.*--force-reinstall.*opencv-python-headless"):
        measure_flow(shifted)


def test_opencv_is_there():
    assert has_opencv()


def test_frames_too_small():
    with pytest.raises(InputError, match="16 pixels or more"):
        measure_flow(torch.rand(3, 8, 64, 3))
    assert measure_flow(torch.rand(3, 16, 16, 3)).forward.shape == (2, 16, 16, 2)
