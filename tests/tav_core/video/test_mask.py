"""tav_core/video/mask.py: pictures and videos as masks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.errors import ClipError
from tav_core.video.clip import open_source, read_clip
from tav_core.video.mask import read_mask, to_mask
from tav_core.video.write import write_video
from tests.tav_core.video.test_clip import encode


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


@pytest.mark.parametrize("ending", ["png", "webp", "gif"])
def test_white_on_transparent_is_the_mask(clip, tmp_path, ending):
    drawn = np.zeros((32, 48, 4), np.uint8)
    drawn[:, 10:20] = 255
    path = tmp_path / f"mask.{ending}"
    Image.fromarray(drawn).save(path, **({"lossless": True} if ending == "webp" else {}))
    (tmp_path / "folder").mkdir()
    Image.fromarray(drawn).save(tmp_path / "folder" / "0.png")
    for mask in (read_mask(path, clip), read_mask(tmp_path / "folder", clip)):
        # Cropped as the clip: the middle 32 of 48 columns.
        assert mask[0, 0].nonzero().flatten().tolist() == [*range(2, 12)]


@pytest.mark.parametrize("size", [(48, 32), (24, 16), (96, 64), (97, 64), (32, 32), (64, 64)])
def test_a_mask_of_the_sources_shape_or_of_the_clips_lies_where_it_was_drawn(clip, tmp_path, size):
    # The middle third of the clip's 32 columns, drawn into the whole source or into the clip.
    width, height = size
    shown = 32 if width == height else 48
    edges = [round((column + (shown - 32) / 2) * width / shown) for column in (8, 24)]
    drawn = np.zeros((height, width), np.uint8)
    drawn[:, edges[0] : edges[1]] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", clip)[0, 0]
    assert (mask[9:23] > 0.9).all() and (mask[:7] < 0.1).all() and (mask[25:] < 0.1).all()


@pytest.mark.parametrize("size", [(64, 32), (40, 32), (32, 48)])
def test_a_mask_of_another_shape_would_lie_elsewhere(clip, tmp_path, place, size):
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    with pytest.raises(ClipError, match=rf"a mask of {size[0]}x{size[1]}, mask.png.*shape of frames, 48x32.*32x32"):
        read_mask(tmp_path / "mask.png", clip)
    stretched = read_clip(place / "frames", num_frames=3, width=32, height=32, fit="stretch")
    assert read_mask(tmp_path / "mask.png", stretched).all()


def write_anamorphic(path):
    """A video of 48x32 pixels that are twice as wide as high."""
    return encode(path, [np.zeros((32, 48, 3), np.uint8)] * 2, rate=8, aspect=Fraction(2))


@pytest.mark.parametrize("width", [48, 96])
def test_a_mask_of_an_anamorphic_video_has_its_pixels_or_the_shape_that_is_shown(tmp_path, width):
    clip = read_clip(write_anamorphic(tmp_path / "clip.mp4"), num_frames=2, width=32, height=32)
    assert clip.source_size == (48, 32) and clip.pixel_aspect == 2
    # The clip is the middle third of the picture; so is the mask.
    drawn = np.zeros((32, width), np.uint8)
    drawn[:, width // 3 : 2 * width // 3] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", clip)[0]
    assert (mask[:, 1:-1] == 1).all()
    drawn[:, width // 2 :] = 0
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", clip)[0]
    assert (mask[:, 1:15] > 0.9).all() and (mask[:, 17:] < 0.1).all()


def test_a_mask_of_the_clips_own_size_was_drawn_on_the_clip(tmp_path):
    clip = read_clip(write_anamorphic(tmp_path / "clip.mp4"), num_frames=2, width=24, height=16)
    drawn = np.zeros((16, 24), np.uint8)
    drawn[:, :8] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", clip)[0, 0].nonzero().flatten().tolist() == [*range(8)]


@pytest.mark.parametrize("label", [(128, 0, 0), (0, 128, 0), (128, 128, 0), (255, 0, 0)])
def test_labels_in_dark_colours_are_refused(clip, tmp_path, label):
    # As DAVIS has them. Read as greys, they would hardly act, and nobody would be told.
    labels = Image.new("P", (48, 32))
    labels.putpalette([0, 0, 0, *label])
    labels.paste(1, (8, 8, 24, 24))
    labels.save(tmp_path / "labels.png")
    with pytest.raises(ClipError, match=r"brighter than \d+% of white, labels.png"):
        read_mask(tmp_path / "labels.png", clip)
    # Scores take what is not black.
    assert (read_mask(tmp_path / "labels.png", clip, may_be_faint=True)[0, 8:24, :16] > 0).all()


def test_an_empty_mask_is_left_to_who_uses_it(clip, tmp_path):
    Image.new("L", (48, 32)).save(tmp_path / "black.png")
    assert not read_mask(tmp_path / "black.png", clip).any()


def test_a_mask_for_each_frame_of_the_source_is_taken_as_the_clip_was(clip, tmp_path):
    folder = write_pictures(tmp_path / "masks", [columns(8 + i) for i in range(12)])
    mask = read_mask(folder, clip)
    assert [frame[0].nonzero().tolist() for frame in mask] == [[[2]], [[5]], [[8]]]


def test_a_mask_for_each_frame_of_the_clip_is_taken_whole(clip, tmp_path):
    folder = write_pictures(tmp_path / "masks", [columns(i, width=32) for i in (4, 6, 9)])
    assert [frame[0].nonzero().tolist() for frame in read_mask(folder, clip)] == [[[4]], [[6]], [[9]]]


@pytest.fixture
def uneven(tmp_path):
    """A GIF of six frames, the second of which stays for 300 ms and the next two for 20."""
    pictures = [Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)) for i in range(6)]
    held = [100, 300, 20, 20, 60, 100]
    pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:], duration=held, disposal=2)
    return tmp_path / "clip.gif"


def test_at_a_variable_rate_a_mask_goes_with_its_frame(uneven, tmp_path):
    """Even steps in time, which a clip takes, are not the pictures of a folder one by one."""
    clip = read_clip(uneven, num_frames=6, width=32, height=32)
    shown = [round(float(frame.mean()) * 255 / 40) for frame in clip.frames]
    assert shown != list(range(6)) and list(clip.positions) == shown
    folder = write_pictures(tmp_path / "masks", [columns(8 + i, width=32) for i in range(6)])
    assert [int(frame[0].nonzero()) - 8 for frame in read_mask(folder, clip)] == shown


def test_all_frames_of_a_mask_for_the_clip_are_taken_however_long_they_are_shown(uneven, place):
    clip = read_clip(place / "frames", num_frames=6, width=32, height=32)
    masks = read_mask(uneven, clip)
    assert torch.equal(masks, to_mask(torch.arange(6).mul(40).div(255)[:, None, None, None].expand(6, 32, 32, 3)))


def test_a_clip_brought_to_a_rate_has_the_masks_of_its_frames(place, tmp_path):
    """At 2.5 frames a second instead of 5: every other frame of the source."""
    clip = read_clip(place / "frames", folder_fps=5, rate=2.5, num_frames=3, width=32, height=32)
    folder = write_pictures(tmp_path / "masks", [columns(8 + i) for i in range(12)])
    assert [int(frame[0].nonzero()) for frame in read_mask(folder, clip)] == [0, 2, 4]


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
