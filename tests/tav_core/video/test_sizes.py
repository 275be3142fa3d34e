import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.errors import ConfigError, InputError
from tav_core.video.sizes import fit_boxes, fit_image, resize_frames, size_inside


class TestFitBoxes:
    @pytest.mark.parametrize(
        ("source", "target", "fit", "aspect", "wanted"),
        [
            ((200, 100), (50, 50), "crop", 1, ((50, 0, 150, 100), (50, 50), (0, 0))),
            ((100, 200), (50, 50), "crop", 1, ((0, 50, 100, 150), (50, 50), (0, 0))),
            ((200, 100), (50, 50), "pad", 1, ((0, 0, 200, 100), (50, 25), (0, 12))),
            ((100, 200), (50, 50), "pad", 1, ((0, 0, 100, 200), (25, 50), (12, 0))),
            ((200, 100), (50, 50), "stretch", 1, ((0, 0, 200, 100), (50, 50), (0, 0))),
            ((100, 100), (50, 50), "crop", 2, ((25, 0, 75, 100), (50, 50), (0, 0))),
            ((100, 100), (50, 50), "pad", 0.5, ((0, 0, 100, 100), (25, 50), (12, 0))),
            ((200, 100), (50, 25), "crop", 1, ((0, 0, 200, 100), (50, 25), (0, 0))),
            ((5000, 1), (8, 8), "pad", 1, ((0, 0, 5000, 1), (8, 1), (0, 3))),
        ],
    )
    def test_geometry(self, source, target, fit, aspect, wanted):
        assert fit_boxes(source, target, fit, aspect) == wanted


class TestResizeFrames:
    @pytest.fixture
    def frames(self):
        return torch.rand(3, 40, 72, 3, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
    def test_agrees_with_the_eight_bit_way_of_reading(self, frames, fit):
        # Away from black and white, where the 8-bit way also rounds and clips between its two passes.
        pixels = (frames * 128 + 64).round().to(torch.uint8)
        resized = resize_frames(pixels, 32, 24, fit)
        assert resized.shape == (3, 24, 32, 3) and resized.dtype == torch.float32
        for given, result in zip(pixels, resized, strict=True):
            wanted = np.asarray(fit_image(Image.fromarray(given.numpy()), 32, 24, fit)) / 255
            assert np.abs(result.numpy() - wanted).max() < 1.5 / 255

    @pytest.mark.parametrize("kind", [torch.float16, torch.float64, torch.bfloat16])
    def test_takes_every_float_and_numpy(self, frames, kind):
        wanted = resize_frames(frames, 32, 24)
        assert torch.allclose(resize_frames(frames.to(kind), 32, 24), wanted, atol=0.01)
        assert torch.equal(resize_frames(frames.numpy(), 32, 24), wanted)

    def test_keeps_floats_finer_than_eight_bits(self):
        frames = torch.full((1, 16, 16, 1), 0.50012)
        assert torch.allclose(resize_frames(frames, 8, 8), torch.tensor(0.50012), atol=1e-6)

    def test_filters_before_it_shrinks(self):
        # A chequerboard of single pixels: without a filter it would come out black or white.
        board = ((torch.arange(128)[:, None] + torch.arange(128)) % 2).float()[None, ..., None]
        assert (resize_frames(board, 16, 16) - 0.5).abs().max() < 0.05

    def test_stays_within_range(self):
        edge = torch.cat([torch.zeros(1, 16, 8, 3), torch.ones(1, 16, 8, 3)], 2)
        resized = resize_frames(edge, 64, 64)
        assert resized.min() == 0 and resized.max() == 1

    @pytest.mark.parametrize("size", [(72, 40), (32, 24)])
    def test_gives_a_new_tensor_and_leaves_the_old(self, frames, size):
        before = frames.clone()
        resize_frames(frames, *size).zero_()
        assert torch.equal(frames, before)

    def test_same_size_changes_nothing(self, frames):
        assert torch.equal(resize_frames(frames, 72, 40), frames)

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [({"width": 30}, ConfigError), ({"fit": "fill"}, ConfigError), ({"frames": torch.rand(4, 4, 3)}, InputError)],
    )
    def test_refuses(self, frames, wrong, error):
        with pytest.raises(error):
            resize_frames(**{"frames": frames, "width": 32, "height": 24} | wrong)


class TestSizeInside:
    @pytest.mark.parametrize(
        ("source", "box", "aspect", "size"),
        [
            ((1920, 1080), (512, 512), 1.0, (512, 288)),
            ((1080, 1920), (512, 512), 1.0, (288, 512)),
            ((640, 480), (512, 512), 1.0, (512, 384)),
            ((96, 96), (512, 768), 1.0, (512, 512)),
            ((720, 576), (768, 512), 64 / 45, (768, 432)),
            ((1000, 10), (512, 512), 1.0, (512, 8)),
            ((2000, 999), (504, 512), 1.0, (504, 248)),
        ],
    )
    def test_is_the_largest_of_the_own_aspect(self, source, box, aspect, size):
        assert size_inside(source, box, aspect) == size
