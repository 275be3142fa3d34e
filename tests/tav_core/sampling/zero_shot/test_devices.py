"""Videos from prompts on a GPU, in full and in half precision: the CPU's video at the same seed, and no NaN."""

import pytest
import torch

from tav_core.models.shared_weights import cast
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_seed_gives_nearly_the_same_video_and_no_nan(make_denoiser, prompts, dtype):
    """In float32 too only nearly, because cuDNN's convolutions round to TensorFloat32."""
    expected = video(make_denoiser(), prompts, "cpu")
    made = video(make_denoiser(), prompts, "cuda", dtype)
    assert made.isfinite().all()
    assert (made - expected).norm() / expected.norm() < 0.1
