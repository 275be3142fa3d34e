"""New noise inside a mask moves along with the mask."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch

from tav_core.errors import InputError
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.local_edit import keep_outside
from tav_core.sampling.moving_noise import mask_moves, move_along
from tav_core.sampling.samplers import noise_again

SIDE = 64


def boxes(*corners: tuple[int, int], size: int = 20) -> torch.Tensor:
    """A mask with a square of pixels at each of these upper left corners (row, column), one per frame."""
    mask = torch.zeros(len(corners), SIDE, SIDE)
    for frame, (row, column) in zip(mask, corners, strict=True):
        frame[max(row, 0) : row + size, max(column, 0) : column + size] = 1
    return mask


class TestMoves:
    """In cells of eight pixels, counted from the first frame."""

    def test_a_square_is_followed(self):
        assert mask_moves(boxes((8, 8), (16, 8), (24, 16), (8, 32))) == ((0, 0), (1, 0), (2, 1), (0, 3))

    def test_steps_below_a_cell_add_up(self):
        assert mask_moves(boxes(*((8, 8 + 3 * i) for i in range(6)))) == tuple((0, round(3 * i / 8)) for i in range(6))

    def test_specks_are_not_followed(self):
        mask = boxes((8, 8), (16, 8), (24, 16))
        mask[1, 60, 60] = mask[2, 1:4, 1] = 1
        assert mask_moves(mask) == ((0, 0), (1, 0), (2, 1))

    def test_a_mask_of_many_small_parts_is_followed_as_a_whole(self):
        """As of leaves or letters, of which none is a large part of the mask."""
        squares = torch.zeros(2, SIDE, SIDE)
        for row in range(6):
            for column in range(5):
                squares[0, 2 + 10 * row : 8 + 10 * row, 2 + 10 * column : 8 + 10 * column] = 1
        squares[1] = squares[0].roll(8, 1)
        assert mask_moves(squares) == ((0, 0), (0, 1))

    def test_all_but_an_object_stays(self):
        assert set(mask_moves(1 - boxes((8, 8), (16, 16), (24, 32)))) == {(0, 0)}

    def test_an_object_that_comes_in_and_goes_out_is_followed_by_the_side_that_is_seen(self):
        crossing = boxes(*((20, column) for column in range(-12, 64, 8)))
        assert mask_moves(crossing) == tuple((0, i) for i in range(len(crossing)))

    def test_a_mask_that_grows_on_both_sides_stays(self):
        grown = boxes((24, 24), size=16) + boxes((16, 16), size=32)
        assert mask_moves(torch.cat([boxes((24, 24), size=16), grown])) == ((0, 0), (0, 0))

    def test_frames_without_a_mask_stay_where_the_one_before_is(self):
        mask = boxes((8, 8), (8, 16), (8, 24), (8, 40))
        mask[[0, 2]] = 0
        assert mask_moves(mask) == ((0, 0), (0, 0), (0, 0), (0, 3))

    @pytest.mark.parametrize("mask", [torch.zeros(3, SIDE, SIDE), torch.ones(3, SIDE, SIDE), 0.4 * torch.ones(3, 8, 8)])
    def test_nothing_and_everything_stay(self, mask):
        assert set(mask_moves(mask)) == {(0, 0)}


class TestWithoutOpenCV:
    """A masked edit needs it only where it takes steps again."""

    @pytest.fixture(autouse=True)
    def gone(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cv2", None)

    def test_a_plain_masked_edit_does_without(self, denoiser, clip_latents, context):
        way, config = invert(denoiser, clip_latents, context, num_steps=2), EditConfig(num_steps=2)
        correct = keep_outside(way, boxes((16, 16)))
        assert edit(denoiser, way, context, context, config=config, correct=correct).isfinite().all()
        again = dataclasses.replace(config, resample=2)
        with pytest.raises(InputError, match=r"no OpenCV .*to follow the mask.*set resample to 1"):
            edit(denoiser, way, context, context, config=again, correct=correct)


class TestNoise:
    def test_it_lies_at_the_same_place_of_what_moves(self):
        noise = torch.randn(1, 4, 1, 8, 8)
        moved = move_along(noise, ((0, 0), (1, 2), (-1, 0)))
        torch.testing.assert_close(moved[:, :, 1, 3:, 4:], noise[:, :, 0, 2:-1, 2:-2], rtol=0, atol=0)
        torch.testing.assert_close(moved[:, :, 2, :-1], noise[:, :, 0, 1:], rtol=0, atol=0)
        assert torch.equal(moved[:, :, 1].flatten().sort().values, noise.flatten().sort().values)

    def test_one_noise_serves_all_frames_of_what_lies_still(self):
        noise = torch.randn(1, 4, 1, 8, 8)
        assert move_along(noise, ((0, 0),) * 3) is noise
        assert move_along(noise, ()) is noise

    def test_it_reaches_the_steps_that_are_taken_again(self, denoiser, clip_latents, context):
        way = invert(denoiser, clip_latents, context, num_steps=3)
        frames = clip_latents.shape[2]
        moves = keep_outside(way, boxes(*((16, 8 * i) for i in range(frames)))).moves
        assert moves == tuple((0, i) for i in range(frames))
        again = noise_again(torch.zeros_like(clip_latents), 0.6, 0.2, torch.Generator(), moves=moves)
        assert torch.equal(again[:, :, 1, :, 1:], again[:, :, 0, :, :-1])
        assert not torch.equal(again[:, :, 1], again[:, :, 0])
