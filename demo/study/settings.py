"""How the demo tunes, inverts and edits: for a tiny model, not for a real one (see tav_core's own defaults).

A higher guidance pushes this model's colours out of the source's shades; more tuning steps keep more of the
source and change less of it.
"""

from pathlib import Path

from tav_core import EditConfig, TuneConfig

MODEL = Path(__file__).parents[1] / "model"
ADAPTER = MODEL / "t2i_adapter"
TUNE = TuneConfig(num_steps=100, learning_rate=1e-3, memory="speed", save_every=50)
EDIT = EditConfig(num_steps=20, guidance_scale=3.2)
