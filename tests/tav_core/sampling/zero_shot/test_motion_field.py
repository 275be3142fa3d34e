"""Motion fields: the original's warp to the pixel, and what goes beyond it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.sampling.zero_shot.motion_field import MotionField, nearest, warp

SIZE = (512, 512)


def read_name(name):
    """Height, width and motion in a name such as warp.16x24.f8.dx-6_dy4.out."""
    parts = name.split(".")
    height, width = map(int, parts[1].split("x"))
    motion = next(part for part in parts if part.startswith("dx"))
    return height, width, tuple(int(part[2:]) for part in motion.split("_"))


def test_latents_are_moved_as_by_the_original(original):
    pieces = original("pieces")
    names = [name for name in pieces if name.startswith("warp") and name.endswith(".out")]
    assert len(names) >= 12
    for name in names:
        height, width, move = read_name(name)
        stem = ".".join(name.split(".")[:3])
        latents = pieces[f"{stem}.in"].float()
        num_frames = latents.shape[2] + 1
        places = MotionField(move=move, size=SIZE).places(
            range(1, num_frames), num_frames=num_frames, height=height, width=width
        )
        frames = [warp(latents[:, :, i : i + 1], places[i : i + 1]) for i in range(len(places))]
        assert torch.equal(torch.cat(frames, dim=2), pieces[name].float()), name


def test_positions_are_the_originals_far_beyond_the_border(original, settings):
    pieces = original("pieces")
    names = [name for name in pieces if name.endswith(".cols")]
    assert any(".far." in name for name in names)
    for name in names:
        height, width, move = read_name(name)
        frames = settings["warp"]["far_frame_ids"] if ".far." in name else range(1, 8)
        places = MotionField(move=move, size=SIZE).places(list(frames), num_frames=200, height=height, width=width)
        assert torch.equal(nearest(places[:, 0, :, 0], width), pieces[name].long()), name
        rows = pieces[name.replace("cols", "rows")].long()
        assert torch.equal(nearest(places[:, :, 0, 1], height), rows), name


@pytest.mark.parametrize("height, width", [(64, 64), (40, 96)])
def test_a_field_of_the_videos_own_size_moves_by_pixels_of_the_video(height, width):
    """Beyond the original: 16 pixels are two latent pixels, whatever the size is."""
    places = MotionField(move=(16, -8)).places([1], num_frames=2, height=height, width=width)
    latents = torch.randn(1, 4, 1, height, width)
    moved = warp(latents, places)
    assert torch.equal(moved[..., 1:, :-2], latents[..., :-1, 2:])


def test_zoom_keeps_the_middle_and_moves_the_rim_outwards():
    latents = torch.arange(32.0).repeat(32, 1)[None, None, None]
    places = MotionField(zoom=2.0).places([1], num_frames=2, height=32, width=32)
    row = warp(latents, places)[0, 0, 0, 16]
    assert 7 <= row[0] <= 8 and 23 <= row[-1] <= 24
    assert torch.all(row.diff() >= 0)


def test_a_quarter_turn_clockwise_turns_the_picture_counterclockwise():
    latents = torch.randn(1, 4, 1, 16, 16)
    places = MotionField(turn=90.0).places([1], num_frames=2, height=16, width=16)
    turned = torch.rot90(latents, 1, dims=(-2, -1))
    # The original's half pixel moves all of it by a sixteenth of a latent pixel, which rounding takes away.
    assert torch.equal(warp(latents, places), turned)


def test_a_path_is_passed_at_even_speed_from_point_to_point():
    field = MotionField(path=[(5, 5), (25, 5), (25, 45)])
    moved = field.displacement(range(5), num_frames=5)
    np.testing.assert_allclose(moved, [(0, 0), (10, 0), (20, 0), (20, 20), (20, 40)])


def test_a_flow_moves_each_pixel_by_itself():
    flow = torch.zeros(2, 64, 64, 2)
    flow[1, :, 32:, 0] = 16.0
    places = MotionField(flow=flow).places([1], num_frames=2, height=8, width=8)
    latents = torch.arange(8.0).repeat(8, 1)[None, None, None]
    assert warp(latents, places)[0, 0, 0, 3].tolist() == [0, 1, 2, 3, 6, 7, 7, 6]


def test_a_constant_flow_equals_a_move():
    move = MotionField(move=(13, -7)).places([0, 1, 2], num_frames=3, height=12, width=20)
    flow = (
        torch.stack([torch.tensor([13.0, -7.0]) * frame for frame in range(3)]).view(3, 1, 1, 2).expand(3, 96, 160, 2)
    )
    torch.testing.assert_close(MotionField(flow=flow).places([0, 1, 2], num_frames=3, height=12, width=20), move)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"move": (1, float("nan"))}, "Got move"),
        ({"move": (1,)}, "2 finite numbers"),
        ({"zoom": 0.0}, "zoom 0.0"),
        ({"path": [(0, 0)]}, "a path of one point"),
        ({"path": [(0, 0), ("a", 1)]}, "a point of a path"),
        ({"flow": torch.zeros(4, 8, 8)}, "f h w 2"),
    ],
)
def test_fields_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        MotionField(**settings)


def test_a_flow_that_is_too_short_is_refused():
    field = MotionField(flow=torch.zeros(2, 8, 8, 2))
    with pytest.raises(ConfigError, match="a flow of 2 frames for a video of 3"):
        # Also before a chunk that has its frames.
        field.places([1], num_frames=3, height=8, width=8)


def test_a_path_may_be_an_array():
    points = [(0.0, 0.0), (16.0, 8.0)]
    one, other = (
        MotionField(path=path).places([0, 1], num_frames=2, height=8, width=8) for path in (points, np.array(points))
    )
    assert torch.equal(one, other)
