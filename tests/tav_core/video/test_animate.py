"""tav_core/video/animate.py and what it stands on: where the object goes, what is behind it, how the camera moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tav_core.errors import ClipError, ConfigError
from tav_core.metrics.drift import measure_drift
from tav_core.video.animate import animate, find_centres
from tav_core.video.config import AnimateConfig, CameraConfig
from tav_core.video.fill import fill_holes
from tav_core.video.warp import camera_maps, shifts, warp_frames

HEIGHT, WIDTH = 48, 64


def place():
    """A smooth place, `h w 3`, that is different everywhere."""
    y, x = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, 1, WIDTH), indexing="ij")
    return torch.stack([x, y, 0.5 + 0.3 * torch.sin(9 * x) * torch.cos(7 * y)], dim=-1)


def disc(x, y, radius=6.0):
    """A mask `h w` of a disc with an even edge."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    return (radius + 0.5 - torch.hypot(columns - x, rows - y)).clamp(0, 1)


def scene(*centres):
    """Frames `f h w 3` of a red disc over the place, and its masks."""
    masks = torch.stack([disc(*centre) for centre in centres])
    red = torch.tensor([1.0, 0.0, 0.0])
    return torch.lerp(
        place().expand(len(masks), -1, -1, -1), red.expand(len(masks), HEIGHT, WIDTH, 3), masks[..., None]
    ), masks


@pytest.fixture
def picture():
    return scene((20, 24))


@pytest.mark.parametrize("scale", [1.0, 0.5, -0.4])
def test_the_object_of_a_picture_follows_the_path_from_where_it_is(picture, scale):
    frames, mask = picture
    made = animate(frames, mask, [(0.1, 0.1), (0.4, 0.3)], config=AnimateConfig(num_frames=5, scale=scale))
    assert made.frames.shape == (5, HEIGHT, WIDTH, 3) and made.mask.shape == (5, HEIGHT, WIDTH)
    gone = np.linspace(0, 1, 5)[:, None] * scale * np.array([0.3 * WIDTH, 0.2 * HEIGHT])
    np.testing.assert_allclose(find_centres(made.mask), np.array([20, 24]) + gone, atol=0.05)
    # The picture is where its mask is.
    redness = (made.frames[..., 0] - made.frames[..., 1:].amax(-1)).clamp(min=0)
    assert float((redness - made.mask).abs()[made.mask > 0.95].max()) < 0.05


def test_its_centre_can_be_put_on_the_path_and_leave_the_frame(picture):
    config = AnimateConfig(num_frames=3, begin="path")
    made = animate(*picture, [(-0.5, 0.5), (0.5, 0.5)], config=config)
    assert float(made.mask[0].max()) == 0
    np.testing.assert_allclose(find_centres(made.mask)[2], (WIDTH / 2, HEIGHT / 2), atol=0.05)


def test_what_was_behind_the_object_is_filled(picture):
    made = animate(*picture, [(0.0, 0.0), (0.5, 0.0)], config=AnimateConfig(num_frames=2))
    left = disc(20, 24) > 0
    assert float((made.frames[1] - place()).abs()[left].mean()) < 0.1
    untouched = (made.mask[1] == 0) & (disc(20, 24, 14) == 0)
    assert torch.equal(made.frames[1][untouched], picture[0][0][untouched])


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.5])
def test_a_clips_own_motion_is_scaled_and_its_place_comes_from_other_frames(scale):
    centres = np.array([(12, 14), (24, 22), (36, 30), (48, 36)], float)
    made = animate(*scene(*centres), config=AnimateConfig(scale=scale))
    asked = centres[0] + scale * (centres - centres[0])
    inside = (asked < (WIDTH - 7, HEIGHT - 7)).all(1)
    np.testing.assert_allclose(find_centres(made.mask)[inside], asked[inside], atol=0.05)
    free = made.mask == 0
    assert float((made.frames - place()).abs()[free].max()) < 1e-6


def test_the_inputs_stay_as_they_are(picture):
    frames, mask = picture
    before = frames.clone(), mask.clone()
    animate(frames, mask, [(0, 0), (1, 0)], camera=CameraConfig(zoom=2.0))
    assert torch.equal(frames, before[0]) and torch.equal(mask, before[1])


def test_still_takes_the_first_frame_alone():
    frames, masks = scene((12, 14), (24, 22))
    config = AnimateConfig(still=True, num_frames=6)
    made = animate(frames, masks, [(0, 0), (0.2, 0)], config=config)
    alone = animate(frames[:1], masks[:1], [(0, 0), (0.2, 0)], config=config)
    assert len(made.frames) == 6 and torch.equal(made.frames, alone.frames)


def test_frames_without_the_object_stay_without_it():
    frames, masks = scene((12, 24), (30, 24), (48, 24))
    frames[1], masks[1] = place(), 0
    made = animate(frames, masks, config=AnimateConfig(scale=0.5))
    assert [bool(mask.any()) for mask in made.mask] == [True, False, True]
    assert torch.equal(made.frames[1], place())


def test_one_mask_of_a_clip_does_not_say_how_it_moves():
    frames, masks = scene((12, 14), (24, 22))
    for camera in (CameraConfig(), CameraConfig(pan_x=0.2)):
        with pytest.raises(ConfigError, match="a mask per frame"):
            animate(frames, masks[:1], config=AnimateConfig(scale=0.5), camera=camera)


def test_a_path_may_be_an_array(picture):
    made = [animate(*picture, kind([[0.0, 0.0], [0.25, 0.0]])) for kind in (list, np.array, torch.tensor)]
    assert torch.equal(made[0].frames, made[1].frames) and torch.equal(made[0].frames, made[2].frames)


def test_a_camera_that_loses_the_object_is_refused():
    frames, masks = scene((12, 14), (56, 22))
    masks[0] = 0
    drift = np.array([[0.0, 0.0], [20.0, 0.0]])
    with pytest.raises(ConfigError, match="own_scale 10, with which the object is in no frame"):
        animate(frames, masks, camera=CameraConfig(own_scale=10.0), measure=lambda *_: drift)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_moves_as_full_precision_does(picture, dtype):
    frames, mask = picture
    full = animate(frames, mask, [(0, 0), (0.3, 0.1)], camera=CameraConfig(turn=10.0))
    half = animate(frames.to(dtype), mask.to(dtype), [(0, 0), (0.3, 0.1)], camera=CameraConfig(turn=10.0))
    assert half.frames.dtype == dtype
    assert float((half.frames.float() - full.frames).abs().max()) < 0.02


def test_the_noise_of_a_masks_compression_is_no_object():
    # Two levels of 255 all over, as a mask from a video file has them: they would pull the centre to the middle.
    frames, masks = scene((12, 14), (24, 22), (36, 24))
    frames[2], masks[2] = place(), 0
    config = AnimateConfig(scale=0.5)
    clean = animate(frames, masks, config=config)
    noisy = animate(frames, masks.clamp(min=2 / 255), config=config)
    torch.testing.assert_close(noisy.mask, clean.mask, atol=0.02, rtol=0)
    torch.testing.assert_close(noisy.frames, clean.frames, atol=0.02, rtol=0)


def test_a_mask_of_yes_and_no_is_one_of_1_and_0(picture):
    frames, mask = picture
    moved = [animate(frames, each, [(0, 0), (0.2, 0)]) for each in (mask > 0.5, (mask > 0.5).float())]
    assert torch.equal(moved[0].frames, moved[1].frames)


def test_a_margin_that_leaves_nothing_of_the_frame_is_refused(picture):
    # It would be filled with itself, and the object would be seen twice.
    with pytest.raises(ConfigError, match="margin 64"):
        animate(*picture, [(0, 0), (0.2, 0)], config=AnimateConfig(margin=64))


class TestFilling:
    def test_other_frames_come_before_nearby_pixels(self):
        frames, holes = place().expand(3, -1, -1, -1).clone(), torch.zeros(3, HEIGHT, WIDTH, dtype=torch.bool)
        holes[0, 10:30, 10:30] = True
        frames[0, 10:30, 10:30] = 0
        filled = fill_holes(frames, holes)
        torch.testing.assert_close(filled[0], place())
        assert torch.equal(filled[1:], frames[1:])

    def test_frames_that_disagree_are_not_mixed(self):
        # The camera moves: the median of other places would be a third one.
        frames = torch.stack([place(), place().roll(WIDTH // 2, 1), place().flip(0)])
        holes = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.bool)
        holes[0, 20:24, 20:24] = True
        filled = fill_holes(frames, holes)
        assert float((filled[0] - place()).abs().max()) < 0.05


class TestCamera:
    def test_a_pan_shows_what_lay_beside(self):
        made = animate(place()[None], camera=CameraConfig(pan_x=0.25), config=AnimateConfig(num_frames=3))
        moved = WIDTH // 4
        torch.testing.assert_close(made.frames[2, :, :-moved], place()[:, moved:], atol=1e-5, rtol=0)
        # Beyond the border, the picture is mirrored.
        torch.testing.assert_close(made.frames[2, :, -moved:], place()[:, -moved:].flip(1), atol=1e-5, rtol=0)
        assert torch.equal(made.frames[0], place())
        assert not made.mask.any()

    @pytest.mark.parametrize(
        ("camera", "corner", "seen"),
        [
            ({"zoom": 2.0}, (16, 0), (8, 0)),
            ({"turn": 90.0}, (16, 0), (0, 16)),
            ({"zoom": 2.0, "turn": -90.0}, (0, 8), (4, 0)),
        ],
    )
    def test_zoom_and_turn_are_about_the_middle(self, camera, corner, seen):
        last = camera_maps(CameraConfig(**camera), 4, height=HEIGHT, width=WIDTH)[-1]
        np.testing.assert_allclose(last @ [*corner, 1], seen, atol=1e-9)

    def test_zoom_grows_by_the_same_factor_in_each_frame(self):
        maps = camera_maps(CameraConfig(zoom=4.0), 3, height=HEIGHT, width=WIDTH)
        np.testing.assert_allclose(1 / maps[:, 0, 0], [1, 2, 4])

    def test_the_object_moves_along_unless_the_camera_follows_it(self, picture):
        config, far = AnimateConfig(num_frames=2), [(0, 0), (0.0, 0.2)]
        along = animate(*picture, far, config=config, camera=CameraConfig(pan_x=0.25))
        followed = animate(*picture, far, config=config, camera=CameraConfig(pan_x=0.25, follows=True))
        down = 0.2 * HEIGHT
        np.testing.assert_allclose(find_centres(along.mask)[1], (20 - 16, 24 + down), atol=1.5)
        np.testing.assert_allclose(find_centres(followed.mask)[1], (20, 24 + down), atol=0.05)
        assert not torch.equal(followed.frames[1], animate(*picture, far, config=config).frames[1])

    @pytest.mark.parametrize("scale", [0.0, 0.5])
    def test_a_clips_own_camera_is_scaled(self, scale):
        noise = torch.rand(1, HEIGHT // 4, WIDTH // 4, 3, generator=torch.Generator().manual_seed(0))
        grain = torch.nn.functional.interpolate(noise.permute(0, 3, 1, 2), (HEIGHT, WIDTH), mode="bicubic")
        still = grain.permute(0, 2, 3, 1).clamp(0, 1)
        clip = animate(still, camera=CameraConfig(pan_x=0.2), config=AnimateConfig(num_frames=5)).frames
        assert measure_drift(clip)[-1] == pytest.approx([-0.2 * WIDTH, 0], abs=0.8)
        made = animate(clip, camera=CameraConfig(own_scale=scale), measure=measure_drift).frames
        assert measure_drift(made)[-1] == pytest.approx([-0.2 * WIDTH * scale, 0], abs=1.0)

    def test_the_drift_is_the_places_and_not_the_objects(self):
        frames, masks = scene(*((10 + 9 * i, 24) for i in range(5)))
        assert np.abs(measure_drift(frames, masks)).max() < 0.3


def test_a_frame_that_stays_is_the_same_bit_for_bit():
    frames = torch.rand(2, 8, 8, 3)
    assert torch.equal(warp_frames(frames, shifts(np.zeros((2, 2))), padding="zeros"), frames)


WAY = [(0.1, 0.5), (0.9, 0.5)]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"mask": None}, ConfigError, "a path without a mask"),
        ({"path": []}, ConfigError, "nothing that moves"),
        ({"path": [(0.5, 0.5)]}, ConfigError, "a path of one point"),
        ({"mask": torch.zeros(1, HEIGHT, WIDTH)}, ClipError, "an empty mask"),
        # Load Image of ComfyUI gives such a mask where none was painted.
        ({"mask": torch.zeros(1, 64, 64)}, ClipError, "an empty mask"),
        ({"mask": torch.ones(1, HEIGHT, WIDTH)}, ClipError, "covers a whole frame"),
        ({"mask": torch.ones(1, 8, 8)}, ClipError, "a mask of 8x8 pixels"),
        ({"mask": disc(20, 24).expand(3, -1, -1)}, ClipError, "a mask of 3 frames"),
        ({"mask": 255 * disc(20, 24)[None]}, ClipError, "Divide bytes by 255"),
        ({"frames": torch.zeros(HEIGHT, WIDTH, 3)}, ClipError, "a picture has one frame"),
        ({"frames": torch.full((1, HEIGHT, WIDTH, 3), torch.nan)}, ClipError, "finite"),
        ({"camera": CameraConfig(own_scale=0.5)}, ConfigError, "own_scale 0.5 for a picture"),
    ],
)
def test_what_cannot_move_is_refused(picture, change, error, told):
    frames, mask = picture
    with pytest.raises(error, match=told):
        animate(**{"frames": frames, "mask": mask, "path": WAY, **change})


@pytest.mark.parametrize("wrong", [{"num_frames": 1}, {"scale": float("nan")}, {"begin": "start"}, {"margin": -1}])
def test_settings_have_bounds(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AnimateConfig(**wrong)
