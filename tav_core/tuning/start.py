"""What the temporal layers were before the first step of a tuning: a run goes on only from where it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tensor_files import digest

if TYPE_CHECKING:
    from ..models.unet import InflatedUNet


def hash_start(unet: InflatedUNet) -> str | None:
    """A hash of the temporal weights that a tuning starts from; None where they add nothing, as in the original."""
    outputs = [block.attn_temp.to_out[0] for block in unet.blocks().values() if block.attn_temp is not None]
    if not any(bool(parameter.any()) for output in outputs for parameter in output.parameters()):
        return None
    return digest(unet.temporal_state())
