"""Canny edges: lines where a picture has edges, and nowhere else."""

import pytest
import torch

from tav_core.errors import ClipError
from tav_core.video.edges import edges


def test_a_square_has_lines_along_its_sides_alone():
    frames = torch.zeros(2, 64, 64, 3)
    frames[1, 16:48, 16:48] = 1
    found = edges(frames)
    assert found.shape == frames.shape and set(found.unique().tolist()) == {0.0, 1.0}
    assert not found[0].any()
    assert found[1, 32, 14:18].any() and not found[1, 24:40, 24:40].any()
    assert torch.equal(found[..., 0], found[..., 2])


def test_higher_thresholds_find_fewer_edges():
    frames = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    assert edges(frames, low=400, high=900).sum() < edges(frames).sum()


@pytest.mark.parametrize(
    "frames, thresholds", [(torch.zeros(2, 8, 8), {}), (torch.zeros(1, 8, 8, 3), {"low": 300.0, "high": 100.0})]
)
def test_what_makes_no_sense_is_refused(frames, thresholds):
    with pytest.raises(ClipError):
        edges(frames, **thresholds)
