"""What a card can do at best, as its maker publishes it."""

from __future__ import annotations

from tav_core.models.device_rates import DeviceRates

# H100, H200, A100: NVIDIA's data sheets, SXM, without sparsity; float32 is TF32 switched off, PyTorch's default for
# matrix products. RTX 4090 and 3090: NVIDIA's white papers on Ada (appendix A) and GA102 (table 4). RTX 3060: 28
# multiprocessors of 1.777 GHz, each with the 256 multiply-adds per cycle of the other GA10x cards.
CARDS = {
    "h200": DeviceRates(name="H200 SXM", half=989e12, full=67e12, bandwidth=4.8e12),
    "h100": DeviceRates(name="H100 SXM", half=989e12, full=67e12, bandwidth=3.35e12),
    "a100": DeviceRates(name="A100 SXM 80 GB", half=312e12, full=19.5e12, bandwidth=2.039e12),
    "4090": DeviceRates(name="RTX 4090", half=165.2e12, full=82.6e12, bandwidth=1.008e12),
    "3090": DeviceRates(name="RTX 3090", half=71e12, full=35.6e12, bandwidth=0.936e12),
    "3060": DeviceRates(name="RTX 3060 12 GB", half=25.5e12, full=12.7e12, bandwidth=0.36e12),
}
