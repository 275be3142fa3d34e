"""How the demo tunes, inverts and edits. The settings fit a tiny model, not a real one (see tav_core's own defaults).

Higher guidance pushes this model's colours away from the source's shades. More tuning steps keep more of the source,
but also change less of it.
"""

import dataclasses
from pathlib import Path

from tav_core import EditConfig, TuneConfig

MODEL = Path(__file__).parents[1] / "model"
ADAPTER = MODEL / "t2i_adapter"
# The original's recipe, for a tiny model; the variants of the ablation change it.
TUNE = TuneConfig(num_steps=100, learning_rate=1e-3, memory="speed", save_every=50)
# What won against it, see docs/defaults.md: the demo tunes so.
TUNE_BEST = dataclasses.replace(TUNE, min_snr_gamma=5.0)
EDIT = EditConfig(num_steps=20, guidance_scale=3.2)
