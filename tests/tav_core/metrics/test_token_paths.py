"""The paths of tokens: on clips whose motion is known, and where paths meet, leave, or are hidden."""

from __future__ import annotations

import pytest
import torch

from tav_core.metrics.flow import FlowPair
from tav_core.metrics.token_paths import LEVELS, follow, token_paths

cv2 = pytest.importorskip("cv2")
FRAMES, SIDE, OBJECT = 8, 128, 48


def texture(seed, height, width):
    """Smooth noise, which flow can be measured in, `h w 3`."""
    noise = torch.rand((1, 3, height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)


def moving(step):
    """A textured square that goes right over a still background, and its mask: `f h w 3` and `f h w`."""
    frames = texture(0, SIDE, SIDE).repeat(FRAMES, 1, 1, 1)
    mask = torch.zeros(FRAMES, SIDE, SIDE, dtype=torch.bool)
    for i in range(FRAMES):
        place = (i, slice(40, 40 + OBJECT), slice(8 + i * step, 8 + i * step + OBJECT))
        frames[place], mask[place] = texture(1, OBJECT, OBJECT), True
    return frames, mask


def on_object(mask):
    """The tokens at least nine tenths of which the object covers, `f 16 16`."""
    return torch.nn.functional.avg_pool2d(mask[:, None].float(), 8)[:, 0] > 0.9


@pytest.mark.parametrize("step", [2, 3, 6])
def test_a_token_on_the_object_stays_on_it(step):
    """Also where a step is a quarter of a token: rounded to tokens, frame by frame, such a path would stand still."""
    frames, mask = moving(step)
    paths, inside = token_paths(frames)[0], on_object(mask)
    begun = paths[0][inside[0]]
    # Not at the very edge, where a step of rounding leaves the mask.
    covered = torch.nn.functional.max_pool2d(mask[:, None].float(), 8)[:, 0] > 0
    lengths, stayed = [], []
    for path in begun.tolist():
        tokens = paths == path
        stayed.append(covered[tokens])
        lengths.append(int(tokens.sum()))
    # DIS smears the flow across the object's edges, so a few of the outermost tokens are left behind.
    assert torch.cat(stayed).float().mean() >= 0.97
    assert sum(length == FRAMES for length in lengths) >= 0.75 * len(lengths)
    # Over seven frames the object has moved by so many tokens, and so has what stayed on it.
    whole = [path for path, length in zip(begun.tolist(), lengths, strict=True) if length == FRAMES]
    shifts = [int((paths[-1] == path).nonzero()[0, 1] - (paths[0] == path).nonzero()[0, 1]) for path in whole]
    assert sum(shifts) / len(shifts) == pytest.approx(7 * step / 8, abs=0.5)


def test_the_background_stays_where_it_is():
    frames, mask = moving(3)
    paths = token_paths(frames)[0]
    away = ~torch.nn.functional.max_pool2d(mask[:, None].float(), 24, stride=8, padding=8)[:, 0].any(0).bool()
    assert (paths[:, away] == paths[0, away]).float().mean() > 0.95


@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 104), (104, 72)])
def test_every_token_is_on_one_path_and_no_path_is_twice_in_a_frame(height, width):
    frames = torch.rand((5, height, width, 3), generator=torch.Generator().manual_seed(3))
    levels = token_paths(frames)
    assert len(levels) == LEVELS
    rows, columns = height // 8, width // 8
    for level in levels:
        assert level.shape == (5, rows, columns) and level.dtype == torch.int64
        for frame in level:
            assert len(frame.unique()) == rows * columns
        for path in level.unique().tolist():
            (seen,) = (level == path).flatten(1).any(1).nonzero(as_tuple=True)
            assert (seen.diff() == 1).all()
        rows, columns = -(-rows // 2), -(-columns // 2)


def test_a_still_picture_has_paths_of_one_token():
    assert [tuple(level.shape) for level in token_paths(torch.rand(1, 48, 64, 3))[:2]] == [(1, 6, 8), (1, 3, 4)]


def steady(flow, num_frames=3, side=32):
    """A flow that is the same everywhere and always, and a mask that hides nothing, for tokens of 8 pixels."""
    forward = torch.tensor(flow).expand(num_frames - 1, side, side, 2).clone()
    return forward, torch.ones(num_frames - 1, side, side, dtype=torch.bool)


def test_paths_that_leave_the_frame_end_and_new_ones_begin_behind():
    paths = follow(*steady([8.0, 0.0]), 4, 4)
    assert torch.equal(paths[1][:, 1:], paths[0][:, :-1]) and torch.equal(paths[2][:, 2:], paths[0][:, :-2])
    assert not torch.isin(paths[1][:, 0], paths[0]).any() and not torch.isin(paths[0][:, -1], paths[1]).any()


def test_what_is_hidden_ends():
    forward, visible = steady([0.0, 0.0])
    visible[0, :8, :8] = False
    paths = follow(forward, visible, 4, 4)
    assert paths[0, 0, 0] != paths[1, 0, 0] == paths[2, 0, 0]
    assert torch.equal(paths[0].flatten()[1:], paths[2].flatten()[1:])


def test_where_paths_meet_the_nearest_goes_on():
    forward, visible = steady([0.0, 0.0])
    # The second token moves into the first one, which stays at its own centre; the third one comes nearer than that.
    forward[0, :8, 8:16, 0] = -6
    forward[1, :8, :8, 0] = 3
    forward[1, :8, 16:24, 0] = -16
    paths = follow(forward, visible, 4, 4)
    first, second, third = paths[0, 0, :3].tolist()
    assert paths[1, 0, 0] == first and not (paths[1:] == second).any()
    assert paths[2, 0, 0] == third and not (paths[2] == first).any()


def test_a_slow_drift_adds_up():
    """Three pixels a frame: after four frames a path is more than one token of 8 pixels further."""
    paths = follow(*steady([3.0, 0.0], num_frames=5), 4, 4)
    assert paths[4, 0, 2] == paths[0, 0, 0] or paths[4, 0, 1] == paths[0, 0, 0]
    assert (paths[4, :, 0] >= 16).all()


def test_a_flow_can_be_given():
    frames, flow = torch.rand(3, 32, 32, 3), steady([8.0, 0.0])[0]
    given = token_paths(frames, FlowPair(forward=flow, backward=-flow))[0]
    assert torch.equal(given[1][:, 1:], given[0][:, :-1])
