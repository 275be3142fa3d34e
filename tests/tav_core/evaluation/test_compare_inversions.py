"""tav_core/evaluation/compare_inversions.py: the figures are those of the result, and of its cost."""

from __future__ import annotations

import json
import math

import pytest

from tav_core.errors import ConfigError
from tav_core.evaluation.compare_inversions import (
    RoundTrip,
    compare_methods,
    describe,
    format_table,
    rate,
    write_reports,
)
from tav_core.evaluation.reconstruct import psnr, reconstruct
from tav_core.sampling.invert import invert

STEPS, ITERATIONS = 4, 3


def decode(latents):
    """Stands for a VAE: the first three channels as colours, about in [0, 1]."""
    return (latents[0, :3] / 8 + 0.5).movedim(0, -1)


@pytest.fixture
def reports(denoiser, clip_latents, context):
    return compare_methods(denoiser, clip_latents, context, decode, num_steps=STEPS, iterations=ITERATIONS)


def test_every_method_with_its_calls(reports):
    assert [each.method for each in reports] == ["ddim", "fixed_point", "o_belm", "dpmpp_2m"]
    assert [each.iterations for each in reports] == [1, ITERATIONS, ITERATIONS, 1]
    # One way and back; the exact one has its first step more often, and a step from noise each way.
    calls = [2 * STEPS, (ITERATIONS + 1) * STEPS, STEPS + ITERATIONS + STEPS, 2 * STEPS]
    assert [each.calls for each in reports] == calls
    assert all(each.seconds > 0 for each in reports)


def test_the_exact_method_loses_least(reports):
    ddim, _, exact, _ = reports
    assert exact.latents > 80 > 60 > ddim.latents
    assert exact.frames > 80 > 60 > ddim.frames


def test_figures_are_of_the_reconstruction(reports, denoiser, clip_latents, context):
    back = reconstruct(denoiser, invert(denoiser, clip_latents, context, num_steps=STEPS), context).latents
    peak = float(clip_latents.max() - clip_latents.min())
    of_latents = [psnr(back[:, :, i], clip_latents[:, :, i], peak=peak) for i in range(4)]
    of_frames = [psnr(decode(back)[i], decode(clip_latents)[i]) for i in range(4)]
    got = reports[0]
    assert got.latents == pytest.approx(sum(of_latents) / 4) and got.latents_worst == pytest.approx(min(of_latents))
    assert got.frames == pytest.approx(sum(of_frames) / 4) and got.frames_worst == pytest.approx(min(of_frames))


def test_some_methods_alone_and_steps_told(denoiser, clip_latents, context):
    told = []
    (only,) = compare_methods(
        denoiser, clip_latents, context, decode, num_steps=2, methods=["o_belm"], on_step=lambda: told.append(1)
    )
    assert only.method == "o_belm" and len(told) == 4
    with pytest.raises(ConfigError, match="method 'euler'"):
        compare_methods(denoiser, clip_latents, context, decode, num_steps=2, methods=["euler"])


def test_table_and_file(reports, tmp_path, clip_latents):
    lines = format_table(reports).splitlines()
    assert len(lines) == 5 and {len(line) for line in lines} == {len(lines[0])}
    frames = decode(clip_latents)
    trip = RoundTrip(method="o_belm", iterations=4, latents=clip_latents, calls=1, seconds=1.0)
    perfect = rate(trip, clip_latents, frames=frames, reference=frames)
    assert perfect.frames_worst == math.inf
    assert describe(perfect) == "o_belm: inf dB, worst inf (latents inf), 1.0 s"
    written = json.loads(write_reports(tmp_path / "new" / "r.json", [*reports, perfect], num_steps=STEPS).read_text())
    assert written["num_steps"] == STEPS
    assert written["methods"][0]["latents"] == reports[0].latents and written["methods"][4]["latents"] is None
