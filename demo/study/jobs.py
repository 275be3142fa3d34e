"""One job of the ablation: all edits of one clip under one variant and seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """All edits of one clip under one variant and seed."""

    variant: str
    clip: str
    seed: int

    def path(self, out: Path) -> Path:
        return out / f"{self.variant.replace(' ', '-')}_{self.clip}_{self.seed}.npz"
