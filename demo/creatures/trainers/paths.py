"""Where the trainers read and write."""

from ...trainers.common import HERE

MODEL = HERE / "creatures" / "model"
CACHE = HERE.parent / "out" / "creatures_training"
LOG = HERE / "creatures" / "training" / "log.csv"
