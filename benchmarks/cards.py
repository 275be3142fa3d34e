"""What a card can do at best, as its maker publishes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Card:
    """The rates of a device.

    Args:
        name: how it is sold.
        half, full: operations per second of matrix products in bf16 (dense, sums in float32) and in float32.
        bandwidth: bytes per second between memory and processor.
        convolution, attention: rates of their own where they were measured; None for those of matrix products.
    """

    name: str
    half: float
    full: float
    bandwidth: float
    convolution: float | None = None
    attention: float | None = None

    def rate(self, kind: str, itemsize: int) -> float:
        """Operations per second of a kind of operation on numbers of so many bytes."""
        own = {"convolution": self.convolution, "attention": self.attention}.get(kind)
        return own or (self.half if itemsize < 4 else self.full)


# H100, H200, A100: NVIDIA's data sheets, SXM, without sparsity; float32 is TF32 switched off, PyTorch's default for
# matrix products. RTX 4090 and 3090: NVIDIA's white papers on Ada (appendix A) and GA102 (table 4). RTX 3060: 28
# multiprocessors of 1.777 GHz, each with the 256 multiply-adds per cycle of the other GA10x cards.
CARDS = {
    "h200": Card(name="H200 SXM", half=989e12, full=67e12, bandwidth=4.8e12),
    "h100": Card(name="H100 SXM", half=989e12, full=67e12, bandwidth=3.35e12),
    "a100": Card(name="A100 SXM 80 GB", half=312e12, full=19.5e12, bandwidth=2.039e12),
    "4090": Card(name="RTX 4090", half=165.2e12, full=82.6e12, bandwidth=1.008e12),
    "3090": Card(name="RTX 3090", half=71e12, full=35.6e12, bandwidth=0.936e12),
    "3060": Card(name="RTX 3060 12 GB", half=25.5e12, full=12.7e12, bandwidth=0.36e12),
}
