"""Where this world's model is, and how it is tuned and edited with: the original's recipe, for a small model."""

import dataclasses
from pathlib import Path

from tav_core import EditConfig, TuneConfig

MODEL = Path(__file__).parent / "model"
TUNE = TuneConfig(num_steps=100, learning_rate=1e-3, memory="speed", save_every=50)
# What is better than that, see docs/defaults.md: the demo tunes so.
TUNE_BEST, GROUP_NORM = dataclasses.replace(TUNE, min_snr_gamma=5.0), "frame"
EDIT = EditConfig(num_steps=20, guidance_scale=4.0)
