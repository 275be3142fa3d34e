"""A tuning run in a process of its own, for the test that kills it: `tune_in_process.py FOLDER`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from diffusers import UNet2DConditionModel

from tav_core.denoiser import UNetDenoiser
from tav_core.schedule import NoiseSchedule
from tav_core.tune import tune
from tav_core.tune_config import TuneConfig
from tav_core.unet import InflatedUNet

torch.set_num_threads(1)
torch.manual_seed(0)
unet = UNet2DConditionModel(
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    layers_per_block=1,
    cross_attention_dim=32,
)
schedule = NoiseSchedule.from_config({"beta_schedule": "scaled_linear", "steps_offset": 1})
tune(
    UNetDenoiser(unet=InflatedUNet.from_2d(unet), schedule=schedule),
    torch.randn(1, 4, 4, 16, 16),
    torch.randn(1, 7, 32),
    config=TuneConfig(num_steps=40, save_every=3, learning_rate=1e-3, memory="speed"),
    state_path=Path(sys.argv[1]) / "state.safetensors",
)
