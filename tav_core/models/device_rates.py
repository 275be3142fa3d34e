"""How fast a device computes, published or measured for a moment, and the time that counted operations take on it.

An operation takes at least its floating point operations over the device's rate, its bytes over the bandwidth, and as
long as the smallest operation does. The longest of the three is its floor (the roofline model, Williams et al. 2009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .traffic import Operation

# A convolution of Stable Diffusion's first level: channels, side of a frame of 512x512, kernel.
CHANNELS, SIDE, KERNEL = 320, 64, 3
# Attention of that level: heads, and width of a head.
HEADS, HEAD_WIDTH = 8, CHANNELS // 8
RUNS = 3
SMALLEST_RUNS = 200


@dataclass(frozen=True, kw_only=True)
class DeviceRates:
    """The rates of a device.

    Args:
        name: what people call it.
        half, full: operations per second of matrix products in bf16 (dense, sums in float32) and in float32.
        bandwidth: bytes per second between memory and processor.
        convolution, attention: rates of their own where they were measured; None for those of matrix products.
        smallest: seconds that an operation takes at least.
    """

    name: str
    half: float
    full: float
    bandwidth: float
    convolution: float | None = None
    attention: float | None = None
    smallest: float = 0.0

    def rate(self, kind: str, itemsize: int) -> float:
        """Operations per second of a kind of operation on numbers of so many bytes."""
        own = {"convolution": self.convolution, "attention": self.attention}.get(kind)
        return own or (self.half if itemsize < 4 else self.full)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is computed to measure a device: sides of matrices, pixels and frames, tokens, bytes that no cache holds."""

    side: int
    pixels: int = SIDE
    frames: int = 1
    tokens: int
    copied: int


# From small to large. Each operation stops at the first that takes long enough: a CPU without instructions for float16
# would take minutes for the last one. That takes a tenth of a second on one core, or fills a large card.
SMALL = (Probe(side=64, pixels=4, tokens=64, copied=2**22), Probe(side=256, pixels=16, tokens=256, copied=2**24))
PROBES = {"cpu": (*SMALL, Probe(side=1024, tokens=2048, copied=2**27))}
LARGE = (*SMALL, Probe(side=4096, frames=16, tokens=SIDE**2, copied=2**28))
# Seconds: the next probe takes up to 64 times as long; and after how many seconds an operation is not repeated.
LONG_ENOUGH, LONGEST = 0.01, 0.5


def floor_of(operation: Operation, rates: DeviceRates) -> float:
    """Seconds that an operation takes at least."""
    computing = operation.flops / rates.rate(operation.kind, operation.itemsize)
    return max(computing, operation.moved / rates.bandwidth, rates.smallest)


def seconds_on(operations: Iterable[Operation], rates: DeviceRates) -> float:
    """Seconds that all of them take at least, one after the other."""
    return sum(floor_of(operation, rates) for operation in operations)


@torch.no_grad()
def measure_device(
    device: torch.device, dtype: torch.dtype, *, clock: Callable[[], float] = time.perf_counter
) -> DeviceRates:
    """Measures a device for about a second, as busy as it is now: the fastest of three runs of each operation.

    Args:
        dtype: to compute in.
        clock: `time.process_time` for a CPU that no other program uses.
    """
    found = {name: measure_rate(make, device, clock) for name, make in probes(device, dtype).items()}
    one = torch.zeros(1, device=device, dtype=dtype)
    many = lambda: [one.add_(1) for _ in range(SMALLEST_RUNS)]  # noqa: E731
    product = found["product"]
    return DeviceRates(
        name=device_name(device),
        half=product,
        full=product,
        bandwidth=found["bandwidth"],
        convolution=found["convolution"],
        attention=found["attention"],
        smallest=fastest(many, device, clock) / SMALLEST_RUNS,
    )


# A function to time, and its floating point operations, or the bytes that it reads and writes.
Timed = tuple[Callable[[], Tensor], int]


def measure_rate(make: Callable[[Probe], Timed], device: torch.device, clock: Callable[[], float]) -> float:
    """The rate of an operation on the largest probe that is worth its time; one after the other is in memory."""
    rate = 0.0
    for probe in PROBES.get(device.type, LARGE):
        run, amount = make(probe)
        seconds = fastest(run, device, clock)
        rate = amount / seconds
        if seconds > LONG_ENOUGH:
            break
    return rate


def probes(device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[Probe], Timed]]:
    """Makes the functions to time, for a probe."""

    def ones(*shape: int) -> Tensor:
        return torch.ones(shape, device=device, dtype=dtype)

    def product(probe: Probe) -> Timed:
        left, right = ones(probe.side, probe.side), ones(probe.side, probe.side)
        return lambda: left @ right, 2 * probe.side**3

    def convolution(probe: Probe) -> Timed:
        images = ones(probe.frames, CHANNELS, probe.pixels, probe.pixels)
        weight = ones(CHANNELS, CHANNELS, KERNEL, KERNEL)
        run = lambda: F.conv2d(images, weight, padding=KERNEL // 2)  # noqa: E731
        return run, 2 * images.numel() * CHANNELS * KERNEL**2

    def attention(probe: Probe) -> Timed:
        query, key, value = (ones(1, HEADS, probe.tokens, HEAD_WIDTH) for _ in range(3))
        run = lambda: F.scaled_dot_product_attention(query, key, value)  # noqa: E731
        return run, 4 * query.numel() * probe.tokens

    def bandwidth(probe: Probe) -> Timed:
        source = torch.ones(probe.copied // 2, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return lambda: target.copy_(source), 2 * source.nbytes

    return {"product": product, "convolution": convolution, "attention": attention, "bandwidth": bandwidth}


def fastest(run: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of a few runs; of fewer, if they take long."""
    seconds: list[float] = []
    while len(seconds) < RUNS and sum(seconds) < LONGEST:
        begun = clock()
        run()
        wait_for(device)
        seconds.append(clock() - begun)
    return max(min(seconds), 1e-9)


def wait_for(device: torch.device) -> None:
    """Waits until a device has done what it was given."""
    if device.type != "cpu":
        # Each kind has a module of this name. One that has none cannot be measured: nothing says when it is done.
        getattr(torch, device.type).synchronize()


def device_name(device: torch.device) -> str:
    """What people call a device: a card's name, or how many threads of a CPU are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"this {device.type} device"
    threads = torch.get_num_threads()
    return f"this CPU ({threads} thread{'s' * (threads > 1)})"
