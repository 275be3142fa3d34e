"""tav_core/tuning/tune.py against the original's training, and what a run promises: one seed, one result; resumable."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models import modeling_utils

from tav_core.denoisers.control import Control, add_controls
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError, OutOfMemory, TuningDiverged
from tav_core.models.latents import LatentMoments
from tav_core.models.parameter_names import is_temporal
from tav_core.models.precision import resolve_precision
from tav_core.tensor_files import load_tensors, save_tensors
from tav_core.tuning import memory_plan
from tav_core.tuning.config import RECOMPUTE, TuneConfig
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune
from tav_core.video.config import ClipConfig, ClipInfo
from tests.tav_core.motions import equal

SHARP = {"learning_rate": 1e-3, "weight_decay": 0.1, "max_grad_norm": 0.02}
FAST = {"learning_rate": 1e-3, "memory": "speed"}


class TestParity:
    """Losses, gradients and weights against three AdamW steps of the original."""

    @pytest.fixture
    def steps(self, goldens, meta):
        io = goldens("train_io")
        timesteps = meta["train_no_gradient_checkpointing"]["timesteps"]
        return [(io[f"step{i}.latents"], io[f"step{i}.noise"], t) for i, t in enumerate(timesteps)]

    def run(self, denoiser, goldens, steps, **config):
        run = TuningRun(denoiser, steps[0][0], goldens("unet")["ctx.src"], config=TuneConfig(**config))
        for step in steps:
            run.train_on(*step)
        return run

    @pytest.mark.parametrize("recompute", RECOMPUTE)
    def test_losses_and_weights(self, denoiser, goldens, meta, steps, recompute):
        run = self.run(denoiser, goldens, steps, recompute=recompute)
        assert run.losses == pytest.approx(meta["train_no_gradient_checkpointing"]["losses"], rel=1e-5)
        assert_deltas(run, denoiser, goldens("train_all"), "delta3.", mean=3e-8, largest=5e-6)

    def test_clipped(self, denoiser, goldens, meta, steps):
        run = self.run(denoiser, goldens, steps, max_grad_norm=0.02)
        assert run.losses == pytest.approx(meta["train_no_gc_max_grad_norm_0.02"]["losses"], rel=1e-5)
        assert_deltas(run, denoiser, goldens("train_all"), "clip0.02_delta3.", mean=3e-8, largest=5e-6)

    def test_sharp_settings(self, denoiser, goldens, meta, steps):
        run = self.run(denoiser, goldens, steps, **SHARP)
        assert run.losses == pytest.approx(meta["train_no_gc_lr1e-3_wd0.1_max_grad_norm_0.02"]["losses"], rel=1e-5)
        assert_deltas(run, denoiser, goldens("train_all"), "lr1e-3_wd0.1_clip0.02_delta3.", mean=2e-7, largest=5e-5)

    @pytest.mark.parametrize("recompute", RECOMPUTE)
    def test_gradients(self, denoiser, goldens, meta, steps, close, recompute):
        config = TuneConfig(recompute=recompute)
        run = TuningRun(denoiser, steps[0][0], goldens("unet")["ctx.src"], config=config)
        run.loss(*steps[0]).backward()
        expected = goldens("train_all")
        assert set(run.trainable) == set(meta["train_no_gradient_checkpointing"]["trainable"])
        for name, parameter in run.trainable.items():
            close(parameter.grad, expected[f"grad0.{name}"], 2e-4, name)
        norm = torch.stack([p.grad.norm() for p in run.trainable.values()]).norm().item()
        assert norm == pytest.approx(meta["train_no_gradient_checkpointing"]["grad_norms_before_clip"][0], rel=1e-5)

    def test_predictions(self, denoiser, goldens, steps, close):
        run = self.run(denoiser, goldens, steps[:2])
        latents, noise, timestep = steps[2]
        with torch.no_grad():
            noisy = run.schedule.add_noise(latents, noise, timestep)
            close(run.unet(noisy, timestep, run.context), goldens("train_io")["step2.pred"], 2e-5)
        close(noisy, goldens("train_io")["step2.noisy"], 1e-6)


def assert_deltas(run, denoiser, expected, prefix, *, mean, largest):
    before = dict(denoiser.unet.named_parameters())
    names = [name.removeprefix(prefix) for name in expected if name.startswith(prefix)]
    assert names
    errors = torch.cat([((run.trainable[n] - before[n]) - expected[prefix + n]).abs().flatten() for n in names])
    assert errors.mean() <= mean
    assert errors.max() <= largest


def test_every_trainable_tensor_moves(untuned, clip_latents, context):
    run = TuningRun(untuned, clip_latents, context, config=TuneConfig(learning_rate=1e-3))
    before = {name: p.detach().clone() for name, p in run.trainable.items()}
    # The temporal queries get a gradient once the output projection has left zero, after the first step.
    run.advance()
    run.advance()
    assert len(run.trainable) == 28
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in run.trainable.values())
    assert all(not torch.equal(p, before[name]) for name, p in run.trainable.items())


def test_tuning_lowers_the_loss_on_draws_it_has_not_seen(untuned, unet_2d, clip_latents, context):
    def average_loss(denoiser):
        run = TuningRun(denoiser, clip_latents, context, config=TuneConfig(seed=7))
        losses = []
        for run.step in range(20):
            losses.append(run.loss(*run.draw()).item())
        return sum(losses) / len(losses)

    motion = tune(untuned, clip_latents, context, config=TuneConfig(num_steps=60, **FAST))
    tuned = UNetDenoiser(unet=motion.apply_to(unet_2d), schedule=untuned.schedule)
    assert average_loss(tuned) < 0.97 * average_loss(untuned)


def test_a_seed_gives_one_result(untuned, clip_latents, context):
    go = lambda seed: tune(untuned, clip_latents, context, config=TuneConfig(num_steps=3, seed=seed, **FAST))  # noqa: E731
    torch.manual_seed(5)
    first = go(1)
    torch.manual_seed(6)
    assert equal(first, go(1))
    assert not equal(first, go(2))


def test_memory_modes_give_one_result(untuned, clip_latents, context):
    def go(mode):
        config = TuneConfig(num_steps=3, learning_rate=1e-3, memory=mode)
        return tune(untuned, clip_latents, context, config=config)

    plain = go("speed")
    for mode in ("balanced", "low", "auto"):
        motion = go(mode)
        for name, delta in motion.deltas.items():
            torch.testing.assert_close(delta, plain.deltas[name], rtol=1e-3, atol=1e-6)


def test_what_does_not_fit_is_said_before_the_run(untuned, clip_latents, context, monkeypatch):
    monkeypatch.setattr(memory_plan, "free_memory", lambda device: 10_000_000)
    seen = []
    with pytest.raises(OutOfMemory, match=r"needs about .* GiB.*0\.0 GiB that are free.*Use"):
        tune(untuned, clip_latents, context, config=TuneConfig(memory="speed"), on_step=seen.append)
    assert not seen


def test_inputs_stay_bit_identical(untuned, context):
    clip = LatentMoments(mean=torch.randn(1, 4, 3, 8, 8), std=torch.rand(1, 4, 3, 8, 8))
    given = [clip.mean, clip.std, context, *untuned.unet.state_dict().values()]
    before = copy.deepcopy(given)
    flags = [p.requires_grad for p in untuned.unet.parameters()]
    tune(untuned, clip, context, config=TuneConfig(num_steps=2, **FAST))
    assert all(torch.equal(x, y) for x, y in zip(before, given, strict=True))
    assert flags == [p.requires_grad for p in untuned.unet.parameters()]


def test_tunes_inside_inference_mode(untuned, clip_latents, context):
    """ComfyUI runs nodes so, with tensors made there."""
    with torch.inference_mode():
        inside = tune(untuned, clip_latents + 0, context + 0, config=TuneConfig(num_steps=2, **FAST))
    assert equal(inside, tune(untuned, clip_latents, context, config=TuneConfig(num_steps=2, **FAST)))


def test_posterior_is_drawn_anew_at_each_step(untuned, context):
    mean, std = torch.zeros(1, 4, 3, 8, 8), torch.ones(1, 4, 3, 8, 8)
    run = TuningRun(untuned, LatentMoments(mean=mean, std=std), context, config=TuneConfig())
    draws = []
    for run.step in range(3):
        draws.append(run.draw())
    assert len({timestep for _, _, timestep in draws}) == 3
    assert not torch.equal(draws[0][0], draws[1][0])
    assert not torch.equal(draws[0][0], draws[0][1])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_float32_masters(untuned, clip_latents, context, precision, monkeypatch):
    monkeypatch.setattr(modeling_utils.logger, "warning", pytest.fail)
    run = TuningRun(untuned, clip_latents, context, config=TuneConfig(precision=precision, **FAST))
    full = TuningRun(untuned, clip_latents, context, config=TuneConfig(precision="fp32", **FAST))
    for _ in range(3):
        run.advance()
        full.advance()
    assert {p.dtype for p in run.trainable.values()} == {torch.float32}
    assert run.losses == pytest.approx(full.losses, rel=2e-2)
    assert run.losses != full.losses


def test_model_loaded_in_half_precision(untuned, clip_latents, context):
    half = UNetDenoiser(unet=untuned.unet.to(torch.bfloat16), schedule=untuned.schedule)
    motion = tune(half, clip_latents, context, config=TuneConfig(num_steps=2, **FAST))
    assert all(torch.isfinite(delta).all() for delta in motion.deltas.values())
    with pytest.raises(ConfigError, match=r"fp32 for a model loaded in torch\.bfloat16"):
        tune(half, clip_latents, context, config=TuneConfig(precision="fp32"))


def test_auto_precision():
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu, torch.float32) == torch.float32
    assert resolve_precision("auto", cpu, torch.float16) == torch.float16
    assert resolve_precision("bf16", cpu, torch.float32) == torch.bfloat16


@pytest.mark.parametrize(("ampere", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_cards_that_only_emulate_bfloat16_compute_in_float16(monkeypatch, ampere, dtype):
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    supported = lambda including_emulation=True: ampere or including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve_precision("auto", torch.device("cuda"), torch.float32) == dtype


SIX_STEPS = {"num_steps": 6, "save_every": 2, "lr_schedule": "cosine", **FAST}


class TestResume:
    def go(self, untuned, clip_latents, context, path=None, **kw):
        on_step = kw.pop("on_step", None)
        config = TuneConfig(**{**SIX_STEPS, **kw})
        return tune(untuned, clip_latents, context, config=config, state_path=path, on_step=on_step)

    @pytest.mark.parametrize("stop", [1, 3, 4])
    def test_cancel_saves_and_resuming_gives_the_unbroken_run(self, tmp_path, untuned, clip_latents, context, stop):
        whole, losses = [], []

        def cancel(progress):
            losses.append(progress.loss)
            if progress.step == stop:
                raise KeyboardInterrupt

        expected = self.go(untuned, clip_latents, context, on_step=lambda p: whole.append(p.loss))
        path = tmp_path / "state.safetensors"
        with pytest.raises(KeyboardInterrupt):
            self.go(untuned, clip_latents, context, path, on_step=cancel)
        resumed = self.go(untuned, clip_latents, context, path, on_step=lambda p: losses.append(p.loss))
        assert losses == whole
        assert equal(resumed, expected)
        assert resumed.info == expected.info

    def test_a_finished_run_costs_nothing_and_can_be_prolonged(self, tmp_path, untuned, clip_latents, context):
        path, steps = tmp_path / "state.safetensors", []
        first = self.go(untuned, clip_latents, context, path)
        again = self.go(untuned, clip_latents, context, path, on_step=lambda p: steps.append(p.step))
        assert steps == []
        assert equal(first, again)
        self.go(untuned, clip_latents, context, path, num_steps=8, on_step=lambda p: steps.append(p.step))
        assert steps == [7, 8]

    def test_fewer_steps_than_are_done_are_refused(self, tmp_path, untuned, clip_latents, context):
        path, steps = tmp_path / "state.safetensors", []
        self.go(untuned, clip_latents, context, path)
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=r"num_steps 4 for a run that has done 6.*Use 6 for its"):
            self.go(untuned, clip_latents, context, path, num_steps=4)
        assert path.read_bytes() == before
        fewer = self.go(
            untuned, clip_latents, context, path, num_steps=4, resume="restart", on_step=lambda p: steps.append(p.step)
        )
        assert steps == [1, 2, 3, 4] and fewer.info.steps_done == 4

    def test_restart_and_new(self, tmp_path, untuned, clip_latents, context):
        path, steps = tmp_path / "state.safetensors", []
        self.go(untuned, clip_latents, context, path)
        with pytest.raises(ConfigError, match="resume is 'new'"):
            self.go(untuned, clip_latents, context, path, resume="new")
        self.go(untuned, clip_latents, context, path, resume="restart", on_step=lambda p: steps.append(p.step))
        assert steps == [1, 2, 3, 4, 5, 6]

    def test_the_state_of_another_run_is_refused(self, tmp_path, untuned, clip_latents, context):
        path = tmp_path / "state.safetensors"
        self.go(untuned, clip_latents, context, path)
        with pytest.raises(ConfigError, match="its seed is not"):
            self.go(untuned, clip_latents, context, path, seed=1)
        with pytest.raises(ConfigError, match="its prompt is not"):
            self.go(untuned, clip_latents, context + 1, path)
        with pytest.raises(ConfigError, match="its modules is not"):
            self.go(untuned, clip_latents, context, path, modules=("attn_temp",))

    def test_the_same_clip_encoded_a_little_differently_resumes(self, tmp_path, untuned, clip_latents, context):
        """Thread counts and kernels change the last digits of what an encoder gives."""
        path, steps = tmp_path / "state.safetensors", []

        def cancel(progress):
            if progress.step == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.go(untuned, clip_latents, context, path, on_step=cancel)
        noise = torch.randn(clip_latents.shape, generator=torch.Generator().manual_seed(0))
        again = clip_latents + 1e-3 * noise
        resumed = self.go(untuned, again, context * 1.001, path, on_step=lambda p: steps.append(p.step))
        assert steps == [4, 5, 6]
        assert equal(resumed, self.go(untuned, clip_latents, context))
        with pytest.raises(ConfigError, match="its clip is not"):
            self.go(untuned, clip_latents + 0.1 * noise, context, path)

    def test_a_damaged_state_is_refused(self, tmp_path, untuned, clip_latents, context):
        path = tmp_path / "state.safetensors"
        self.go(untuned, clip_latents, context, path)
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(ConfigError, match="cannot be read"):
            self.go(untuned, clip_latents, context, path)


def test_nan_stops_with_the_last_good_state(tmp_path, untuned, clip_latents, context, monkeypatch):
    path = tmp_path / "state.safetensors"
    honest = TuningRun.loss
    monkeypatch.setattr(TuningRun, "loss", lambda run, *a: honest(run, *a) * (float("nan") if run.step == 3 else 1))
    with pytest.raises(TuningDiverged, match=r"loss of nan at step 4.*Lower the learning rate.*step 3 is kept"):
        tune(untuned, clip_latents, context, config=TuneConfig(num_steps=6, **FAST), state_path=path)
    tensors, metadata = load_tensors(path, error=ConfigError, what="")
    assert metadata["step"] == "3"
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_gradient_that_is_not_finite_changes_no_weight(untuned, clip_latents, context):
    run = TuningRun(untuned, clip_latents, context, config=TuneConfig(**FAST))
    run.advance()
    before = {name: p.detach().clone() for name, p in run.trainable.items()}
    next(iter(run.trainable.values())).register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(TuningDiverged, match="gradient norm"):
        run.advance()
    assert all(torch.equal(p, before[name]) for name, p in run.trainable.items())


def test_out_of_memory_says_what_to_lower(untuned, clip_latents, context, monkeypatch):
    def exhausted(run, *args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TuningRun, "loss", exhausted)
    with pytest.raises(OutOfMemory, match=r"while tuning on 4 frames.*fewer frames"):
        tune(untuned, clip_latents, context)


def test_progress_tells_step_loss_rate_and_time(untuned, clip_latents, context):
    seen = []
    config = TuneConfig(num_steps=4, lr_schedule="linear", warmup_steps=2, **FAST)
    motion = tune(untuned, clip_latents, context, config=config, on_step=seen.append)
    assert [p.step for p in seen] == [1, 2, 3, 4]
    assert [p.learning_rate for p in seen] == pytest.approx([5e-4, 1e-3, 1e-3, 5e-4])
    assert seen[-1].eta_seconds == 0 < seen[0].eta_seconds
    assert equal(seen[-1].motion(), motion)


def test_the_time_left_is_that_of_the_steps(untuned, clip_latents, context, monkeypatch):
    """Neither previews, which `on_step` renders, nor a slow first step count for all steps that are left."""
    clock, seen = iter([0, 9, 100, 102, 200, 202, 300, 302]), []
    monkeypatch.setattr("tav_core.tuning.tune.time.monotonic", lambda: next(clock))
    config = TuneConfig(num_steps=4, save_every=0, **FAST)
    tune(untuned, clip_latents, context, config=config, on_step=lambda p: seen.append(p.eta_seconds))
    assert seen == [27, 11, 2, 0]


class TestBeginning:
    """What a run says of what was done of it earlier."""

    @pytest.fixture
    def begin(self, untuned, clip_latents, context, tmp_path):
        class Watcher:
            def __init__(self):
                self.starts, self.steps = [], []

            def on_begin(self, start):
                assert not self.steps, "it hears of the beginning before the first step"
                self.starts.append(start)

            def __call__(self, progress):
                self.steps.append(progress.step)

        def run(**config):
            given, watcher = TuneConfig(**{**FAST, **config}), Watcher()
            state = tmp_path / "state.safetensors"
            motion = tune(untuned, clip_latents, context, config=given, state_path=state, on_step=watcher)
            (start,) = watcher.starts
            assert watcher.steps == list(range(start.step + 1, given.num_steps + 1))
            return start, motion

        return run

    def test_of_a_new_run(self, begin):
        start, _ = begin(num_steps=2)
        assert (start.step, start.losses, start.is_done, start.unused) == (0, (), False, {})

    def test_of_a_run_that_goes_on(self, begin):
        """The new learning rate is used from here on."""
        begin(num_steps=2)
        start, motion = begin(num_steps=3, learning_rate=5e-4)
        assert (start.step, len(start.losses), start.is_done, start.unused) == (2, 2, False, {})
        assert motion.info.config["learning_rate"] == 5e-4

    def test_of_a_run_that_was_done_earlier(self, begin):
        """Seen in kohya_ss #1924, robosat #169 and BasicSR #327: another learning rate, not used, without a word."""
        begin(num_steps=2)
        start, motion = begin(num_steps=2, learning_rate=5e-4, betas=(0.5, 0.9), save_every=7)
        assert start.is_done and start.step == 2
        assert start.unused == {"learning_rate": (1e-3, 5e-4), "betas": ([0.9, 0.999], [0.5, 0.9])}
        assert motion.info.config["learning_rate"] == 1e-3, "the motion records what it was tuned with"
        again, _ = begin(num_steps=2, learning_rate=1e-3)
        assert again.is_done and not again.unused

    def test_of_a_restart(self, begin):
        begin(num_steps=2)
        start, motion = begin(num_steps=2, learning_rate=5e-4, resume="restart")
        assert (start.step, start.is_done, start.unused) == (0, False, {})
        assert motion.info.config["learning_rate"] == 5e-4

    @pytest.mark.parametrize("said", [None, "no JSON", "[]", '{"learning_rate": 0.5}'])
    def test_of_files_without_settings_that_can_be_read(self, begin, tmp_path, said):
        begin(num_steps=2)
        path = tmp_path / "state.safetensors"
        tensors, about = load_tensors(path, error=ConfigError, what="a state")
        about.pop("settings")
        save_tensors(path, tensors, about if said is None else about | {"settings": said})
        start, _ = begin(num_steps=2, learning_rate=5e-4)
        assert start.is_done and start.unused == ({"learning_rate": (0.5, 5e-4)} if said and "0.5" in said else {})


def test_motion_records_its_origin(untuned, clip_latents, context):
    config = TuneConfig(num_steps=1, **FAST)
    about = ClipInfo(prompt="a man", fps=12.5, config=ClipConfig(start=3, stride=2, fit="pad"))
    info = tune(untuned, clip_latents, context, config=config, about=about).info
    assert (info.prompt, info.fps, info.stride, info.steps_done) == ("a man", 12.5, 2, 1)
    assert (info.start, info.fit) == (3, "pad")
    assert (info.num_frames, info.width, info.height) == (4, 64, 64)
    assert info.modes["attention"] == "sparse_causal"
    assert info.config["learning_rate"] == 1e-3


def test_a_motion_says_nothing_of_a_clip_that_it_was_told_nothing_of(untuned, clip_latents, context):
    info = tune(untuned, clip_latents, context, config=TuneConfig(num_steps=1, **FAST)).info
    assert (info.prompt, info.fps, info.start, info.stride, info.fit) == ("", 0.0, 0, 0, "")


def test_what_takes_no_part_in_tuning_is_refused(untuned, clip_latents, context, unet_2d):
    net = ControlNetModel.from_unet(unet_2d, conditioning_embedding_out_channels=(4, 8, 8, 8))
    controlled = add_controls(untuned, [Control(net=net, frames=torch.zeros(clip_latents.shape[2], 64, 64, 3))])
    windowed = WindowedDenoiser(denoiser=untuned, windows=ContextWindows())
    for denoiser, told in ((controlled, "a model with controls to tune"), (windowed, "a WindowedDenoiser to tune")):
        with pytest.raises(ConfigError, match=rf"{told}.*TuneConfig\.window"):
            tune(denoiser, clip_latents, context, config=TuneConfig(num_steps=1))


def test_only_chosen_modules_train(untuned, clip_latents, context):
    config = TuneConfig(modules=("attn_temp",), **FAST)
    run = TuningRun(untuned, clip_latents, context, config=config)
    assert run.trainable and all(is_temporal(name) for name in run.trainable)
    with pytest.raises(ConfigError, match="attn9"):
        TuningRun(untuned, clip_latents, context, config=TuneConfig(modules=("attn9",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_steps": -1},
        {"learning_rate": float("nan")},
        {"learning_rate": -1.0},
        {"precision": "int8"},
        {"lr_schedule": "square"},
        {"resume": "maybe"},
        {"modules": ()},
        {"save_every": -1},
        {"warmup_steps": 501},
        {"window": 1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong)).split("_")[0]):
        TuneConfig(**wrong)


def test_several_clips_are_refused(untuned, context):
    with pytest.raises(ConfigError, match="2 clips"):
        tune(untuned, torch.randn(2, 4, 3, 8, 8), context)
