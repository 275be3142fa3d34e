"""tav_core/models, tuning and sampling/step_time.py: what a run's time is estimated from, and what is said of it."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import torch

from benchmarks.cases import Case
from benchmarks.clocks import time_in_turn
from benchmarks.flops import forward_flops
from benchmarks.workload import Workload
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.local_prompts import LocalPrompt
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.durations import about
from tav_core.models.conditioning import Conditioning, as_conditioning
from tav_core.models.device_rates import DeviceRates, measure_device, measure_rate
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.step_time import FLOOR_SHARE, count_prediction, estimate_time
from tav_core.models.traffic import Operation
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import AnimationConfig, EditConfig, InjectionConfig, InvertConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.from_animation import edit_animation
from tav_core.sampling.injection import InjectedDenoiser
from tav_core.sampling.invert import invert
from tav_core.sampling.step_time import (
    count_animation,
    count_edit,
    count_inversion,
    estimate_sampling_time,
    shapes_of_step,
)
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import Plan, generate
from tav_core.sampling.zero_shot.motion_field import MotionField
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.step_time import count_tuning_step
from tav_core.tuning.training_run import TuningRun
from tests.tav_core.conftest import POOLED, SCHEDULER
from tests.tav_core.lavie_models import small_lavie

CPU = torch.device("cpu")
RATES = DeviceRates(name="a card", half=1e12, full=1e12, bandwidth=1e11)


def flops(operations):
    return sum(each.flops for each in operations)


@pytest.fixture(scope="module")
def work():
    return Workload(case=Case(size="demo", num_frames=4, pixels=96))


def test_a_prediction_has_as_many_operations_as_pytorch_counts(work):
    context = as_conditioning(work.context)
    counted = count_prediction(work.denoiser.unet, work.latents.shape, context)
    assert flops(counted) == forward_flops(Workload(case=work.case, meta=True))
    assert work.denoiser.unet.device == CPU, "the UNet itself stays as it is"


@pytest.mark.parametrize("backend", ["sdpa", "xformers"])
def test_work_follows_videos_frames_and_size(denoiser, context, backend):
    """Where xformers is not installed too: what has no values never reaches a kernel."""
    for block in denoiser.unet.blocks().values():
        block.attn1.processor.backend = backend
    count = lambda *shape: flops(count_prediction(denoiser.unet, shape, as_conditioning(context)))  # noqa: E731
    one = count(1, 4, 8, 8, 8)
    assert count(2, 4, 8, 8, 8) == pytest.approx(2 * one, rel=0.02)
    assert 1.9 * one < count(1, 4, 16, 8, 8) < 2.2 * one
    assert 3.8 * one < count(1, 4, 8, 16, 16) < 8 * one, "attention grows with the square of a frame's pixels"


@pytest.mark.parametrize("window", [0, 2])
def test_a_tuning_step_is_two_to_four_predictions(untuned, clip_latents, context, window):
    runs = {
        what: TuningRun(untuned, clip_latents, context, config=TuneConfig(recompute=what, window=window))
        for what in ("nothing", "blocks", "layers")
    }
    before = {name: tensor.clone() for name, tensor in runs["blocks"].unet.state_dict().items()}
    steps = {what: flops(count_tuning_step(run)) for what, run in runs.items()}
    shape = runs["nothing"].step_shape
    assert shape[2] == (3 if window else 4)
    one = flops(count_prediction(untuned.unet, shape, as_conditioning(context)))
    assert 2 * one < steps["nothing"] < 3 * one
    assert steps["nothing"] + 0.6 * one < steps["blocks"] <= steps["layers"] < steps["nothing"] + 1.3 * one
    after = runs["blocks"].unet.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in runs["blocks"].unet.parameters())


@pytest.fixture
def seen(monkeypatch):
    """How often an inflated UNet ran on latents of each shape."""
    shapes, forward = Counter(), InflatedUNet.forward

    def spy(self, latents, *args, **kwargs):
        shapes[tuple(latents.shape)] += 1
        return forward(self, latents, *args, **kwargs)

    monkeypatch.setattr(InflatedUNet, "forward", spy)
    return shapes


def expected(denoiser, shape, predictions):
    counted = Counter()
    for guided, number in predictions.items():
        for each in shapes_of_step(denoiser, shape, guided=guided):
            counted[each] += number
    return +counted


@pytest.mark.parametrize("method", ["ddim", "fixed_point", "o_belm"])
def test_the_predictions_of_an_inversion(denoiser, clip_latents, context, seen, method):
    invert(denoiser, clip_latents, context, num_steps=5, method=method, iterations=3)
    config = InvertConfig(method=method, iterations=3)
    assert seen == expected(denoiser, clip_latents.shape, count_inversion(config, 5))


@pytest.mark.parametrize(
    "settings",
    [{}, {"guidance_scale": 1.0}, {"guidance_until": 0.5}, {"guidance_until": 0.5, "resample": 3}],
    ids=["guided", "unguided", "half guided", "resampled"],
)
def test_the_predictions_of_an_edit(denoiser, clip_latents, context, seen, settings):
    config = EditConfig(num_steps=6, **settings)
    as_it_is = lambda latents, left: latents  # noqa: E731
    edit(denoiser, clip_latents, context.repeat(2, 1, 1), context, config=config, correct=as_it_is)
    assert seen == expected(denoiser, clip_latents.shape, count_edit(denoiser, config, num_prompts=2))


@pytest.mark.parametrize("begin", ["inverted", "noised"])
def test_the_predictions_of_an_animation(denoiser, clip_latents, context, seen, begin):
    start, config = AnimationConfig(begin=begin, strength=0.6), EditConfig(num_steps=6, guidance_until=0.5)
    edit_animation(denoiser, clip_latents, context.repeat(2, 1, 1), context, start=start, config=config)
    counted = count_animation(denoiser, start, config, num_prompts=2)
    assert seen == expected(denoiser, clip_latents.shape, counted)


@pytest.mark.parametrize("moves", [False, True])
def test_the_predictions_of_a_video_from_text(denoiser, context, seen, moves):
    config = ZeroShotConfig(num_frames=4, chunk_size=3, width=64, height=64, num_steps=6, t0=0.7, t1=0.9)
    generate(denoiser, context.repeat(2, 1, 1), context, config=config, motion=MotionField() if moves else None)
    runs = Plan.make(denoiser.schedule, config, moved=moves, smoothed=False).runs()
    counted = Counter()
    for number, frames in runs:
        counted[2, 4, frames, 8, 8] += 2 * number
    assert seen == +counted


@pytest.mark.parametrize("injects", [False, True], ids=["plain", "injected"])
def test_the_predictions_of_local_prompts(denoiser, clip_latents, context, seen, injects):
    """Each prompt is predicted by itself, with the source beside it where one is injected."""
    start, config = invert(denoiser, clip_latents, context, num_steps=5), EditConfig(num_steps=5)
    if injects:
        every = InjectionConfig(attention=1.0, features=1.0)
        denoiser = InjectedDenoiser(denoiser=denoiser, trajectory=start, source_context=context, config=every)
    seen.clear()
    local = [LocalPrompt(context=context, mask=torch.ones(1, 64, 64))]
    edit(denoiser, start, -context, context, config=config, local=local)
    assert seen == expected(denoiser, clip_latents.shape, count_edit(denoiser, config, num_local=1))


def test_the_predictions_of_windows_with_an_injection(denoiser, context, seen):
    clip = torch.randn((1, 4, 9, 8, 8))
    fixed = ContextWindows(length=4, overlap=1, shifting=False)
    windowed = WindowedDenoiser(denoiser=denoiser, windows=fixed)
    source = invert(windowed, clip, context, num_steps=4)
    assert seen == expected(windowed, clip.shape, {False: 4})
    seen.clear()
    injected = InjectedDenoiser(denoiser=windowed, trajectory=source, source_context=context)
    injected.epsilon(clip, source.timesteps[-1], as_conditioning(context))
    assert seen == expected(injected, clip.shape, {False: 1})


def test_an_estimate_by_hand():
    mm = Operation(name="mm", kind="matrix product", module="", flops=10**12, moved=1, itemsize=4)
    add = Operation(name="add", kind="elementwise", module="", flops=0, moved=10**11, itemsize=4)
    given = {"device": CPU, "dtype": torch.float32, "measure": lambda device, dtype: RATES}
    told = estimate_time(100, lambda: [(100, [mm, add, add]), (50, [mm])], **given)
    assert told.seconds == pytest.approx((300 + 50) / FLOOR_SHARE)
    assert str(told) == "about 7 minutes on a card"
    assert estimate_time(9, lambda: pytest.fail("so few steps are not counted"), **given) is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        NotImplementedError('"slow_conv2d_cpu" not implemented for Half'),
        AttributeError("module 'torch' has no attribute 'privateuseone'"),
    ],
)
def test_what_cannot_be_measured_is_no_reason_to_fail(error):
    """Memory that is full, a backend without an operation, and one that says nothing of when it is done."""

    def fails(device, dtype):
        raise error

    assert estimate_time(50, lambda: [], device=CPU, dtype=torch.float32, measure=fails) is None


def test_a_device_without_fast_instructions_for_a_dtype_is_measured_soon():
    """A convolution in float16 took 150 seconds on a CPU without them, and each operation ran three times."""
    now, ran = [0.0], []

    def make(probe):
        def run():
            ran.append(probe)
            now[0] += probe.side**3 / 1e6

        return run, probe.side**3

    assert measure_rate(make, CPU, lambda: now[0]) == pytest.approx(1e6)
    assert [probe.side for probe in ran] == [64, 64] and now[0] < 1


def test_a_fast_device_is_measured_by_large_operations():
    now = [0.0]

    def make(probe):
        def run():
            now[0] += 1e-5 + probe.side**3 / 1e12

        return run, probe.side**3

    assert measure_rate(make, CPU, lambda: now[0]) == pytest.approx(1e12, rel=0.02)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "a few seconds"), (43, "45 seconds"), (91, "2 minutes"), (3000, "50 minutes"), (9000, "2.5 hours")],
)
def test_times_in_words(seconds, words):
    assert about(seconds) == words


def test_an_estimate_follows_the_steps_and_the_controls(denoiser, clip_latents, context, monkeypatch):
    monkeypatch.setattr("tav_core.sampling.step_time.estimate_time", lambda steps, count, **given: (steps, count()))
    told = as_conditioning(context)
    steps, ((times, _),) = estimate_sampling_time(denoiser, clip_latents.shape, told, {False: 50})
    assert (steps, times) == (50, 50)
    both = estimate_sampling_time(denoiser, clip_latents.shape, told, {True: 30, False: 20})[1]
    assert [number for number, _ in both] == [30, 20]
    assert flops(both[0][1]) == pytest.approx(2 * flops(both[1][1]), rel=0.02)


def test_the_estimate_of_an_injection_has_its_source_in_the_steps_that_inject(
    denoiser, clip_latents, context, seen, monkeypatch
):
    monkeypatch.setattr("tav_core.sampling.step_time.estimate_time", lambda steps, count, **given: count())
    trajectory = invert(denoiser, clip_latents, context, num_steps=10)
    config = InjectionConfig(attention=0.3, features=0.0)
    injected = InjectedDenoiser(denoiser=denoiser, trajectory=trajectory, source_context=context, config=config)
    told = as_conditioning(context)
    work = estimate_sampling_time(injected, clip_latents.shape, told, count_edit(injected, EditConfig(num_steps=10)))
    seen.clear()
    edit(injected, trajectory, context, context, config=EditConfig(num_steps=10))
    assert sorted(seen.values()) == [3, 7] == sorted(times for times, _ in work)
    assert {shape[0]: number for shape, number in seen.items()} == {3: 3, 2: 7}


def test_the_estimate_against_the_measured_time(work):
    """CPU seconds, so that other work does not count. It is 0.95 of the time on larger models (benchmarks/README.md);
    on one as small as this, half of the time goes to PyTorch itself.
    """
    rates = measure_device(CPU, torch.float32, clock=time.process_time)
    given = {"device": CPU, "dtype": torch.float32, "measure": lambda device, dtype: rates}
    context = as_conditioning(work.context)
    count = lambda: [(1, count_prediction(work.denoiser.unet, work.latents.shape, context))]  # noqa: E731
    predict = torch.no_grad()(lambda: work.denoiser.epsilon(work.latents, 500, context))
    predict()
    measured = time_in_turn({"ours": predict}, times=5, device="cpu")["ours"]["median_cpu_seconds"]
    assert 0.25 < estimate_time(10, count, **given).seconds / measured < 2


def test_a_run_tells_its_estimate(untuned, clip_latents, context):
    from tav_core.tuning.tune import tune

    class Watcher:
        def on_begin(self, start):
            self.start = start

        def __call__(self, progress):
            raise KeyboardInterrupt

    watcher = Watcher()
    with pytest.raises(KeyboardInterrupt):
        tune(untuned, clip_latents, context, config=TuneConfig(num_steps=500), on_step=watcher)
    estimate = watcher.start.estimate()
    assert estimate.seconds > 0 and str(estimate).endswith(" on this CPU (1 thread)")


@pytest.mark.parametrize("family", ["sd2", "sdxl", "lavie"])
def test_every_family_is_counted(request, family):
    unet = small_lavie("base") if family == "lavie" else InflatedUNet.from_2d(request.getfixturevalue(family).unet)
    width, pooled = unet.config.cross_attention_dim, {"pooled_text": torch.zeros(1, POOLED)} if family == "sdxl" else {}
    context = Conditioning(text=torch.zeros(1, 77, width), **pooled)
    one = flops(count_prediction(unet, (1, 4, 3, 8, 8), context))
    assert flops(count_prediction(unet, (2, 4, 3, 8, 8), context)) == pytest.approx(2 * one, rel=0.05)
    if family == "lavie":
        return  # It is not tuned on one clip.
    untuned = UNetDenoiser(unet=unet, schedule=NoiseSchedule.from_config(SCHEDULER))
    run = TuningRun(untuned, torch.zeros(1, 4, 3, 8, 8), context, config=TuneConfig(recompute="layers"))
    assert 2 * one < flops(count_tuning_step(run)) < 5 * one
