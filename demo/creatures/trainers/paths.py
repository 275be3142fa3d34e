"""Where the trainers read and write."""

from ...trainers.common import HERE
from ..settings import MODEL

__all__ = ["CACHE", "LOG", "MODEL"]

CACHE = HERE.parent / "out" / "creatures_training"
LOG = HERE / "creatures" / "training" / "log.csv"
