"""How models of the world of shapes are tuned and edited with.

The settings fit a tiny model, not a real one (see tav_core's own defaults).

Higher guidance pushes this model's colours away from the source's shades. More tuning steps keep more of the source,
but also change less of it.
"""

from pathlib import Path

from tav_core import EditConfig, TuneConfig

MODEL = Path(__file__).parents[1] / "model"
# The original's recipe, for a tiny model; the variants of the ablation change it.
TUNE = TuneConfig(num_steps=100, learning_rate=1e-3, memory="speed", save_every=50)
EDIT = EditConfig(num_steps=20, guidance_scale=3.2)
