"""Videos from prompts on a GPU: the CPU's video at the same seed, and no NaN in half precision."""

import pytest
import torch

from tav_core.models.unet import cast
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import generate
from tav_core.sampling.zero_shot.motion_field import MotionField

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CONFIG = ZeroShotConfig(num_frames=4, width=128, height=128, num_steps=10, chunk_size=3)
FIELD = MotionField(move=(12, 4), zoom=1.02, turn=2)


def video(denoiser, prompts, device, dtype=torch.float32):
    cast(denoiser.unet, torch.device(device), dtype)
    text, negative = (prompt.to(device) for prompt in prompts)
    foreground = torch.zeros(4, 16, 16)
    foreground[:, 4:9, 4:9] = 1
    return generate(denoiser, text, negative, config=CONFIG, motion=FIELD, foreground=foreground).cpu()


def test_a_seed_gives_the_same_video_on_cpu_and_gpu(make_denoiser, prompts):
    expected = video(make_denoiser(), prompts, "cpu")
    torch.testing.assert_close(video(make_denoiser(), prompts, "cuda"), expected, atol=2e-2, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_no_nan_and_nearly_the_same_video(make_denoiser, prompts, dtype):
    expected = video(make_denoiser(), prompts, "cpu")
    made = video(make_denoiser(), prompts, "cuda", dtype)
    assert made.isfinite().all()
    assert (made - expected).norm() / expected.norm() < 0.1
