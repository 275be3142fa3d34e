"""Names of weights, as the original published them."""

from __future__ import annotations

# What inflation adds to every transformer block.
TEMPORAL = (".attn_temp.", ".norm_temp.")


def is_temporal(name: str) -> bool:
    """Whether a parameter's name is one that inflation added."""
    return any(part in name for part in TEMPORAL)
