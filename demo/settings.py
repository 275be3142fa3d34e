"""How the demo tunes, inverts and edits: for a tiny model, not for a real one (see tav_core's own defaults)."""

from pathlib import Path

from tav_core import EditConfig, TuneConfig

MODEL = Path(__file__).parent / "model"
TUNE = TuneConfig(num_steps=200, learning_rate=1e-3, gradient_checkpointing=False, save_every=50)
EDIT = EditConfig(num_steps=30, guidance_scale=7.5)
