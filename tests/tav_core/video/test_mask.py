"""tav_core/video/mask.py: pictures and videos as masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.errors import ClipError
from tav_core.video.clip import open_source, read_clip
from tav_core.video.mask import read_mask, to_mask
from tav_core.video.write import write_video


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Twelve frames of 48x32 in a folder, of which clips are taken."""
    place = tmp_path_factory.mktemp("masks")
    write_pictures(place / "frames", [np.random.default_rng(i).integers(0, 256, (32, 48, 3)) for i in range(12)])
    return place


def write_pictures(folder, pictures):
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def columns(number, width=48):
    """A mask `32 width` with one white column, at the number's place."""
    mask = np.zeros((32, width))
    mask[:, number] = 255
    return mask


@pytest.fixture
def clip(place):
    return read_clip(place / "frames", start=2, stride=3, num_frames=3, width=32, height=32)


def test_one_picture_is_for_all_frames(clip, tmp_path):
    Image.fromarray((np.arange(32 * 48).reshape(32, 48) % 2 * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", clip)
    # Cropped as the clip: the middle 32 of 48 columns.
    assert torch.equal(mask, (torch.arange(32) % 2).expand(1, 32, 32).float())


def test_a_mask_for_each_frame_of_the_source_is_taken_as_the_clip_was(clip, tmp_path):
    folder = write_pictures(tmp_path / "masks", [columns(8 + i) for i in range(12)])
    mask = read_mask(folder, clip)
    assert [frame[0].nonzero().tolist() for frame in mask] == [[[2]], [[5]], [[8]]]


def test_a_mask_for_each_frame_of_the_clip_is_taken_whole(clip, tmp_path):
    folder = write_pictures(tmp_path / "masks", [columns(i, width=32) for i in (4, 6, 9)])
    assert [frame[0].nonzero().tolist() for frame in read_mask(folder, clip)] == [[[4]], [[6]], [[9]]]


def test_a_mask_is_opened_once(clip, tmp_path, monkeypatch):
    folder, opened = write_pictures(tmp_path / "masks", [columns(8 + i) for i in range(12)]), []
    monkeypatch.setattr("tav_core.video.mask.open_source", lambda path: opened.append(path) or open_source(path))
    assert read_mask(folder, clip).shape == (3, 32, 32) and opened == [folder]


def test_another_number_of_frames_is_refused(clip, tmp_path):
    folder = write_pictures(tmp_path / "masks", [columns(i) for i in range(5)])
    with pytest.raises(ClipError, match=r"5 frames in the mask masks.*1, or 3 as in the clip, or 12 as in frames"):
        read_mask(folder, clip)


def test_compression_leaves_nothing_outside(tmp_path):
    rows, columns = np.mgrid[:96, :96]
    far = np.stack([np.hypot(columns - 40 - 3 * i, rows - 50) for i in range(8)])
    disc = np.repeat((far < 20).astype(np.float32)[..., None], 3, -1)
    write_video(tmp_path / "mask.mp4", disc, fps=8)
    clip = read_clip(tmp_path / "mask.mp4", num_frames=8, width=96, height=96)
    outside, inside = torch.from_numpy(far > 22), torch.from_numpy(far < 18)
    assert clip.frames[outside].max() > 0 and clip.frames[inside].min() < 1
    mask = read_mask(tmp_path / "mask.mp4", clip)
    assert not mask[outside].any() and mask[inside].eq(1).all()


def test_greys_stay_greys():
    frames = torch.tensor([0.0, 0.04, 0.05, 0.5, 0.95, 1.0]).reshape(1, 1, 6, 1).expand(1, 1, 6, 3)
    torch.testing.assert_close(to_mask(frames)[0, 0], torch.tensor([0, 0, 0, 0.5, 1, 1]))
