"""Measures how much of a clip each inversion method gives back, and what it costs."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..atomic_files import whole_file
from ..sampling.config import ITERATED, METHODS, InvertConfig
from ..sampling.invert import invert
from .reconstruct import psnr, reconstruct

if TYPE_CHECKING:
    from ..denoisers.denoiser import Denoiser
    from ..models.conditioning import Conditioning
    from ..models.schedule import NoiseSchedule

Decode = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class MethodReport:
    """One method on one clip. PSNR is in dB, higher is nearer, and infinite if nothing is lost.

    Args:
        method, iterations: see `InvertConfig`; iterations is 1 for a method that has none.
        latents, latents_worst: PSNR of the latents, mean and worst frame; the peak is the range of the clip's latents.
        frames, frames_worst: the same for the decoded frames, compared with the clip encoded and decoded by the VAE.
        calls: how often the model was called, for inversion and sampling together.
        seconds: time for both, without decoding.
    """

    method: str
    iterations: int
    latents: float
    latents_worst: float
    frames: float
    frames_worst: float
    calls: int
    seconds: float


@dataclass(kw_only=True)
class CountingDenoiser:
    """A denoiser that counts its calls."""

    denoiser: Denoiser
    calls: int = field(default=0)

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning) -> Tensor:
        self.calls += 1
        return self.denoiser.epsilon(latents, timestep, context)


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundTrip:
    """A clip that was inverted to noise and sampled back.

    Args:
        method, iterations, calls, seconds: see `MethodReport`.
        latents: the result, `1 c f h w`.
    """

    method: str
    iterations: int
    latents: Tensor
    calls: int
    seconds: float


def round_trips(
    denoiser: Denoiser,
    latents: Tensor,
    context: Conditioning | Tensor,
    *,
    num_steps: int = 50,
    methods: Sequence[str] = METHODS,
    iterations: int = InvertConfig.iterations,
    on_step: Callable[[], None] | None = None,
) -> list[RoundTrip]:
    """Inverts a clip by each method and samples it back, under the same prompt and without guidance.

    Args:
        denoiser: a tuned model.
        latents: the clip, `1 c f h w`.
        context: the prompt to invert under, or its text embeddings `1 m d`.
        num_steps, iterations: see `invert`.
        on_step: called after each step, `2 num_steps` times per method; if it raises, the comparison ends.

    Raises:
        LatentsError, ConfigError, OutOfMemory: see `invert`.
    """
    tell, found = on_step or (lambda: None), []
    for method in methods:
        counting, started = CountingDenoiser(denoiser=denoiser), time.perf_counter()
        trajectory = invert(
            counting,
            latents,
            context,
            method=method,
            iterations=iterations,
            num_steps=num_steps,
            keep="ends",
            on_step=lambda *_: tell(),
        )
        back = reconstruct(counting, trajectory, context, on_step=lambda *_: tell()).latents
        seconds, times = time.perf_counter() - started, iterations if method in ITERATED else 1
        trip = RoundTrip(method=method, iterations=times, latents=back, calls=counting.calls, seconds=seconds)
        found.append(trip)
    return found


def compare_methods(
    denoiser: Denoiser, latents: Tensor, context: Conditioning | Tensor, decode: Decode, **how: Any
) -> list[MethodReport]:
    """Measures how much of a clip each method gives back.

    Args:
        decode: from latents `1 c f h w` to frames `f h w c` in [0, 1].
        denoiser, latents, context, how: see `round_trips`, also for the errors.
    """
    return rate_trips(round_trips(denoiser, latents, context, **how), latents, decode)


def rate_trips(trips: Sequence[RoundTrip], latents: Tensor, decode: Decode) -> list[MethodReport]:
    """Compares the results with the clip, see `compare_methods`."""
    reference = decode(latents)
    return [rate(trip, latents, frames=decode(trip.latents), reference=reference) for trip in trips]


def rate(trip: RoundTrip, latents: Tensor, *, frames: Tensor, reference: Tensor) -> MethodReport:
    """Compares one result with the clip's latents, and its frames with the clip encoded and decoded by the VAE."""
    peak = float(latents.max() - latents.min())
    of_latents = [psnr(a, b, peak=peak) for a, b in zip(trip.latents.unbind(2), latents.unbind(2), strict=True)]
    of_frames = [psnr(a, b) for a, b in zip(frames, reference, strict=True)]
    return MethodReport(
        method=trip.method,
        iterations=trip.iterations,
        latents=sum(of_latents) / len(of_latents),
        latents_worst=min(of_latents),
        frames=sum(of_frames) / len(of_frames),
        frames_worst=min(of_frames),
        calls=trip.calls,
        seconds=trip.seconds,
    )


def format_table(reports: Sequence[MethodReport]) -> str:
    """A table to print, one row per method."""
    rows = ["method       iterations   latents    worst   frames    worst   calls   seconds"]
    for each in reports:
        rows.append(
            f"{each.method:12} {each.iterations:10} {each.latents:6.1f} dB {each.latents_worst:5.1f} dB"
            f" {each.frames:5.1f} dB {each.frames_worst:5.1f} dB {each.calls:7} {each.seconds:9.1f}"
        )
    return "\n".join(rows)


def describe(report: MethodReport) -> str:
    """One method in a short line; the first two numbers are those of the frames."""
    return (
        f"{report.method}: {report.frames:.1f} dB, worst {report.frames_worst:.1f} (latents {report.latents:.1f}),"
        f" {report.seconds:.1f} s"
    )


def write_reports(path: Path, reports: Sequence[MethodReport], *, num_steps: int) -> Path:
    """Writes the reports as JSON; an infinite PSNR (nothing is lost) becomes null.

    Raises:
        OutputError: the file cannot be written.
    """
    finite = lambda value: None if isinstance(value, float) and math.isinf(value) else value  # noqa: E731
    rows = [{name: finite(value) for name, value in dataclasses.asdict(each).items()} for each in reports]
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps({"num_steps": num_steps, "methods": rows}, indent=1) + "\n", encoding="utf-8")
    return path
