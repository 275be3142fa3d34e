"""What tests ask of motions."""

from __future__ import annotations

import torch


def equal(one, other):
    """Whether two motions hold the same weights, bit for bit."""
    parts = [(one.deltas, other.deltas), (one.temporal, other.temporal)]
    return all(a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a) for a, b in parts)
