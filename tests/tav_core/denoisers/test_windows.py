"""tav_core/denoisers/windows.py: which frames stand together, how they are fused, and a long clip from end to end."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.windows import (
    ContextWindows,
    WindowedDenoiser,
    fused_weights,
    pyramid,
    window_around,
    with_anchor,
)
from tav_core.errors import ConfigError
from tav_core.evaluation.reconstruct import reconstruct
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert

SMALL = ContextWindows(length=4, overlap=1)


def frames_of(windows):
    return [(window.start, window.stop) for window in windows]


@pytest.mark.parametrize(("length", "overlap"), [(16, 4), (8, 2), (5, 0), (4, 3), (6, 4), (16, 5), (2, 1)])
def test_windows_cover_every_frame_with_equal_lengths_and_the_overlap_asked_for(length, overlap):
    windows = ContextWindows(length=length, overlap=overlap)
    for num_frames in (1, length - 1, length, length + 1, 3 * length, 100):
        for timestep in range(40):
            found = windows.at(num_frames, timestep)
            assert {frame for window in found for frame in window} == set(range(num_frames))
            assert {len(window) for window in found} == {min(length, num_frames)}
            assert all(a.start < b.start <= a.stop - overlap for a, b in pairwise(found))


def test_windows_without_shift_are_those_of_the_paper_with_the_last_moved_back():
    still = ContextWindows(shifting=False)
    assert frames_of(still.at(40, 0)) == [(0, 16), (12, 28), (24, 40)]
    assert frames_of(still.at(33, 500)) == [(0, 16), (12, 28), (17, 33)]
    assert frames_of(still.at(16, 0)) == [(0, 16)]
    assert frames_of(still.at(5, 0)) == [(0, 5)]


def test_windows_shift_from_step_to_step_by_the_timestep_alone():
    windows = ContextWindows()
    assert list(windows.shifts) == [0, 4, 8]
    starts = {windows.shift_at(t): frames_of(windows.at(64, t)) for t in range(1, 1000, 20)}
    assert starts[0] == [(0, 16), (12, 28), (24, 40), (36, 52), (48, 64)]
    assert starts[4] == [(0, 16), (8, 24), (20, 36), (32, 48), (44, 60), (48, 64)]
    assert starts[8] == [(0, 16), (4, 20), (16, 32), (28, 44), (40, 56), (48, 64)]
    drawn = [windows.shift_at(t) for t in range(1000)]
    assert all(250 < drawn.count(shift) < 420 for shift in windows.shifts)
    assert drawn == [ContextWindows().shift_at(t) for t in range(1000)]


def test_over_all_shifts_each_frame_inside_is_as_often_shared():
    """So no frame is at a seam at every step: the first and last windows apart, one in three."""
    windows, shared = ContextWindows(), torch.zeros(100)
    for shift in windows.shifts:
        timestep = next(t for t in range(1000) if windows.shift_at(t) == shift)
        found = windows.at(100, timestep)
        for one, other in pairwise(found):
            shared[other.start : one.stop] += 1
    assert set(shared[16:80].tolist()) == {1.0}


def test_weights_are_pyramids_that_sum_to_one():
    assert pyramid(4) == [1, 2, 2, 1]
    assert pyramid(5) == [1, 2, 3, 2, 1]
    windows = ContextWindows().at(50, 21)
    total = torch.zeros(50, dtype=torch.float64)
    for window, weights in zip(windows, fused_weights(windows, 50), strict=True):
        total[window.start : window.stop] += torch.tensor(weights, dtype=torch.float64)
    torch.testing.assert_close(total, torch.ones(50, dtype=torch.float64))
    first, second = fused_weights([range(0, 4), range(2, 6)], 6)
    assert first == pytest.approx([1, 1, 2 / 3, 1 / 3])
    assert second == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_frame_0_stands_in_front_of_windows_that_lack_it():
    assert with_anchor(range(0, 3)) == [0, 1, 2]
    assert with_anchor(range(1, 3)) == [0, 1, 2]
    assert with_anchor(range(5, 8)) == [0, 5, 6, 7]


def test_window_around_a_frame_stays_in_the_clip():
    assert [window_around(f, 6, 4) for f in range(6)] == [range(0, 4)] * 3 + [range(1, 5)] + [range(2, 6)] * 2
    assert window_around(2, 3, 8) == range(3)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"length": 1}, "length"), ({"overlap": -1}, "overlap"), ({"length": 4, "overlap": 4}, "overlap")],
)
def test_settings_out_of_range_are_refused(wrong, word):
    with pytest.raises(ConfigError, match=word):
        ContextWindows(**wrong)


class Spy:
    """A denoiser whose epsilon is its latents, plus a number of its own for each call."""

    def __init__(self, schedule=None):
        self.schedule, self.seen = schedule, []

    def epsilon(self, latents, timestep, context):
        self.seen.append(latents[0, 0, :, 0, 0].tolist())
        return latents + len(self.seen)


def test_epsilon_is_the_weighted_mean_over_windows_and_the_anchor_is_dropped():
    latents = torch.arange(8.0)[None, None, :, None, None].expand(2, 3, 8, 2, 2).contiguous()
    timestep = next(t for t in range(100) if SMALL.shift_at(t) == 1)
    before, spy = latents.clone(), Spy()
    got = WindowedDenoiser(denoiser=spy, windows=SMALL).epsilon(latents, timestep, torch.zeros(2, 1, 1))
    assert spy.seen == [[0, 1, 2, 3], [0, 2, 3, 4, 5], [0, 4, 5, 6, 7]]
    added = torch.tensor(
        [1, 1, (2 * 1 + 1 * 2) / 3, (1 * 1 + 2 * 2) / 3, (2 * 2 + 1 * 3) / 3, (1 * 2 + 2 * 3) / 3, 3, 3]
    )
    torch.testing.assert_close(got, before + added[:, None, None])
    assert torch.equal(latents, before)


@pytest.fixture
def long_latents():
    return torch.randn((1, 4, 9, 8, 8), generator=torch.Generator().manual_seed(4))


def test_a_clip_that_fits_is_the_plain_denoiser_bit_for_bit(denoiser, clip_latents, context):
    windowed = WindowedDenoiser(denoiser=denoiser, windows=SMALL)
    config = EditConfig(num_steps=2)
    plain = invert(denoiser, clip_latents, context, num_steps=2)
    assert torch.equal(invert(windowed, clip_latents, context, num_steps=2).latents, plain.latents)
    ours = edit(windowed, plain, context, context * 0, config=config)
    assert torch.equal(ours, edit(denoiser, plain, context, context * 0, config=config))


def test_a_denoiser_that_sees_frames_one_by_one_gives_the_same_by_windows(unet_2d, schedule, long_latents, context):
    """With spatial attention, frame norms and silent temporal blocks a window changes nothing."""
    from tav_core.models.unet import InflatedUNet

    apart = InflatedUNet.from_2d(unet_2d, attention="spatial", group_norm="frame")
    plain = UNetDenoiser(unet=apart, schedule=schedule)
    windowed = WindowedDenoiser(denoiser=plain, windows=SMALL)
    expected = invert(plain, long_latents, context, num_steps=3).latents
    torch.testing.assert_close(invert(windowed, long_latents, context, num_steps=3).latents, expected)


def test_first_frame_attention_still_looks_at_the_first_frame_of_the_clip(unet_2d, schedule, long_latents, context):
    """The anchor's purpose: without it each window would look at its own first frame."""
    from tav_core.models.unet import InflatedUNet

    first = UNetDenoiser(unet=InflatedUNet.from_2d(unet_2d, attention="first", group_norm="frame"), schedule=schedule)
    windowed = WindowedDenoiser(denoiser=first, windows=SMALL)
    expected = invert(first, long_latents, context, num_steps=3).latents
    torch.testing.assert_close(invert(windowed, long_latents, context, num_steps=3).latents, expected)


def test_a_long_clip_inverts_and_comes_back(denoiser, long_latents, context):
    windowed = WindowedDenoiser(denoiser=denoiser, windows=SMALL)
    trajectory = invert(windowed, long_latents, context, num_steps=40)
    assert reconstruct(windowed, trajectory, context).error < 0.2
