"""Low-rank queries, and temporal attention in the last blocks alone: trained, kept in the motion file, applied."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import ConfigError, MotionError
from tav_core.models.conditioning import Conditioning
from tav_core.models.parameter_names import is_temporal
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.tuning import motion_info
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.low_rank import LowRankDeltas, is_factor
from tav_core.tuning.motion import Motion
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune
from tests.tav_core.conftest import POOLED
from tests.tav_core.motions import equal

CONFIG = TuneConfig(num_steps=3, learning_rate=1e-2, low_rank_learning_rate=2e-2, query_rank=4, memory="speed")


@pytest.fixture
def motion(untuned, clip_latents, context):
    return tune(untuned, clip_latents, context, config=CONFIG)


@torch.no_grad()
def forward(unet, context):
    latents = torch.randn((1, 4, 4, 8, 8), generator=torch.Generator().manual_seed(9))
    return unet(latents, 481, context)


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_an_untuned_low_rank_model_is_the_base(untuned, clip_latents, context):
    run = TuningRun(untuned, clip_latents, context, config=CONFIG)
    assert torch.equal(forward(run.unet.eval(), context), forward(untuned.unet, context))
    factors = [name for name in run.trainable if is_factor(name)]
    queries = [n for n, m in untuned.unet.named_modules() if n.endswith(("attn1.to_q", "attn2.to_q"))]
    assert len(factors) == 2 * len(queries) > 0
    assert all(is_factor(name) or is_temporal(name) for name in run.trainable)


def test_factors_and_the_rest_have_rates_of_their_own(untuned, clip_latents, context):
    run = TuningRun(untuned, clip_latents, context, config=CONFIG)
    run.advance()
    rates = {id(p): group["lr"] for group in run.optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for name, p in run.trainable.items() if is_factor(name)} == {2e-2}
    assert {rates[id(p)] for name, p in run.trainable.items() if not is_factor(name)} == {1e-2}


def test_the_first_step_moves_up_and_every_step_after_both(untuned, clip_latents, context):
    run = TuningRun(untuned, clip_latents, context, config=CONFIG)
    run.advance()
    run.optimizer.zero_grad()
    run.loss(*run.draw()).backward()
    assert all(p.grad.abs().max() > 0 for name, p in run.trainable.items() if is_factor(name))


def test_merged_is_what_was_trained(untuned, unet_2d, clip_latents, context, close):
    run = TuningRun(untuned, clip_latents, context, config=CONFIG)
    for _ in range(3):
        run.advance()
    motion = run.motion()
    assert isinstance(motion.deltas, LowRankDeltas) and len(motion.deltas) > 0
    close(forward(motion.apply_to(unet_2d), context), forward(run.unet.eval(), context), 1e-5)
    for name, delta in motion.deltas.items():
        assert delta.shape == unet_2d.get_parameter(name).shape
        assert 0 < torch.linalg.matrix_rank(delta) <= 4


def test_the_file_keeps_the_factors_and_gives_the_same_motion_back(tmp_path, motion, unet_2d, context):
    path = motion.save(tmp_path / "m.safetensors", dtype=torch.float32)
    names = set(load_file(path))
    assert not any(name.startswith("delta.") for name in names)
    assert {name.removeprefix("down.") for name in names if name.startswith("down.")} == set(motion.deltas)
    loaded = Motion.load(path)
    assert loaded.info == motion.info and equal(loaded, motion)
    assert torch.equal(forward(loaded.apply_to(unet_2d), context), forward(motion.apply_to(unet_2d), context))
    # Saved again, it is the same file.
    again = loaded.save(tmp_path / "again.safetensors", dtype=torch.float32)
    assert again.read_bytes() == path.read_bytes()
    assert motion.info.config["query_rank"] == 4


def test_older_versions_refuse_it_in_words(tmp_path, motion, monkeypatch, untuned, clip_latents, context):
    path = motion.save(tmp_path / "m.safetensors")
    assert header(path)["format_version"] == "2"
    monkeypatch.setattr(motion_info, "NEWEST_FORMAT", 1)
    with pytest.raises(MotionError, match=r"a motion of format 2.*format 1 or older.*Update this pack"):
        Motion.load(path)
    whole = tune(untuned, clip_latents, context, config=dataclasses.replace(CONFIG, query_rank=0))
    kept = header(whole.save(tmp_path / "whole.safetensors"))
    assert kept["format_version"] == "1" and "size_ids" not in kept
    assert "temporal" not in json.loads(kept["modes"])
    assert "transformer_layers_per_block" not in json.loads(kept["architecture"])
    Motion.load(tmp_path / "whole.safetensors")


def test_strength_scales_the_whole_difference(motion, unet_2d, close):
    name = next(iter(motion.deltas))
    half = motion.apply_to(unet_2d, strength=0.5).get_parameter(name)
    close(half, unet_2d.get_parameter(name) + 0.5 * motion.deltas[name], 1e-6)


def without_up(tensors):
    name = next(name for name in tensors if name.startswith("up."))
    return {n: t for n, t in tensors.items() if n != name}


def another_rank(tensors):
    name = next(name for name in tensors if name.startswith("up."))
    return tensors | {name: tensors[name][:, :1].contiguous()}


def both(tensors):
    name = next(name for name in tensors if name.startswith("up.")).removeprefix("up.")
    return tensors | {f"delta.{name}": tensors[f"up.{name}"].clone()}


@pytest.mark.parametrize("spoil", [without_up, another_rank, both])
def test_factors_that_make_no_difference_are_refused(tmp_path, motion, spoil):
    path = motion.save(tmp_path / "m.safetensors")
    metadata = header(path)
    save_file(spoil(load_file(path)), path, metadata)
    with pytest.raises(MotionError, match="do not make one difference"):
        Motion.load(path)


def test_a_run_goes_on_bit_for_bit_and_no_run_goes_on_with_another_rank(tmp_path, untuned, clip_latents, context):
    whole, state = tune(untuned, clip_latents, context, config=CONFIG), tmp_path / "state.safetensors"
    tune(untuned, clip_latents, context, config=dataclasses.replace(CONFIG, num_steps=2), state_path=state)
    assert equal(tune(untuned, clip_latents, context, config=CONFIG, state_path=state), whole)
    for rank in (0, 2):
        with pytest.raises(ConfigError, match="its query_rank is not the one asked for"):
            config = dataclasses.replace(CONFIG, query_rank=rank)
            tune(untuned, clip_latents, context, config=config, state_path=state)


def test_the_rank_is_never_larger_than_a_layer(untuned, clip_latents, context):
    run = TuningRun(untuned, clip_latents, context, config=dataclasses.replace(CONFIG, query_rank=1024))
    downs = [p for name, p in run.trainable.items() if name.endswith("low_rank_down")]
    assert all(down.shape[0] == down.shape[1] for down in downs)


@pytest.mark.parametrize(
    ("modules", "narrow"),
    [
        (("attn1.to_q", "to_q", "attn_temp"), True),
        (("attn1.to_q", "attn1.to_q", "attn_temp"), True),
        (("attn1", "attn1.to_q", "attn_temp"), False),
        (("attn1.to_q", "attn1", "attn_temp"), False),
    ],
)
def test_endings_that_name_a_layer_twice_train_it_once(untuned, unet_2d, clip_latents, context, modules, narrow, close):
    run = TuningRun(untuned, clip_latents, context, config=dataclasses.replace(CONFIG, modules=modules))
    assert any(map(is_factor, run.trainable)) == narrow
    for _ in range(2):
        run.advance()
    # A motion is what was trained.
    close(forward(run.motion().apply_to(unet_2d), context), forward(run.unet.eval(), context), 1e-5)


def test_from_temporal_layers_alone_queries_have_their_usual_rank(sdxl, clip_latents):
    text = torch.randn((1, 7, sdxl.unet.config.cross_attention_dim), generator=torch.Generator().manual_seed(1))
    told = Conditioning(text=text, pooled_text=torch.ones(1, POOLED))
    untuned = UNetDenoiser(unet=InflatedUNet.from_2d(sdxl.unet), schedule=NoiseSchedule.from_config(sdxl.scheduler))
    config = TuneConfig(num_steps=1, memory="speed")
    start = tune(untuned, clip_latents, told, config=dataclasses.replace(config, modules=("attn_temp",)))
    assert not start.deltas
    runs = [TuningRun(untuned, clip_latents, told, config=config, start=each) for each in (None, start)]
    assert [run.query_rank for run in runs] == [32, 32]
    assert runs[0].trainable.keys() == runs[1].trainable.keys()


@pytest.mark.parametrize("what", ["speed", "balanced", "low"])
def test_recomputing_changes_nothing(untuned, clip_latents, context, close, what):
    plain = TuningRun(untuned, clip_latents, context, config=CONFIG)
    other = TuningRun(untuned, clip_latents, context, config=dataclasses.replace(CONFIG, memory=what))
    for run in (plain, other):
        run.advance()
    for name, parameter in plain.trainable.items():
        close(other.trainable[name], parameter, 1e-4, name)


def test_half_precision_keeps_the_factors_in_float32(unet_2d, schedule, clip_latents, context):
    half = UNetDenoiser(unet=InflatedUNet.from_2d(unet_2d.bfloat16()), schedule=schedule)
    run = TuningRun(half, clip_latents, context, config=CONFIG)
    assert math.isfinite(run.advance())
    assert all(p.dtype == torch.float32 for p in run.trainable.values())


@pytest.mark.parametrize("family, temporal, rank", [("sd1", True, 0), ("sd2", True, 0), ("sdxl", "last", 32)])
def test_each_family_has_its_defaults(request, family, temporal, rank, clip_latents):
    parts = request.getfixturevalue(family)
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(parts.unet), schedule=NoiseSchedule.from_config(parts.scheduler))
    assert denoiser.unet.config["inflation"]["temporal"] == temporal
    width = parts.unet.config.cross_attention_dim
    pooled = torch.ones(1, POOLED) if family == "sdxl" else None
    told = Conditioning(text=torch.ones(1, 7, width), pooled_text=pooled)
    run = TuningRun(denoiser, clip_latents, told, config=TuneConfig(memory="speed"))
    assert run.query_rank == rank == run.motion().info.config["query_rank"]
    assert run.motion().info.format_version == (2 if rank else 1)


def test_the_last_blocks_alone_of_a_tiny_sdxl_have_time(sdxl, tmp_path):
    unet = InflatedUNet.from_2d(sdxl.unet)
    timed = {name for name, block in unet.blocks().items() if block.attn_temp is not None}
    transformers = {name.rpartition(".transformer_blocks.")[0] for name in unet.blocks()}
    assert len(unet.blocks()) == 3 + 2 * (1 + 2) + 3 * (1 + 2) and len(timed) == len(transformers) == 7
    assert all(name.endswith((".transformer_blocks.1", ".transformer_blocks.2")) for name in timed)
    whole = InflatedUNet.from_2d(sdxl.unet, temporal="all")
    assert all(block.attn_temp is not None for block in whole.blocks().values())
    unet.save_pretrained(tmp_path)
    back = InflatedUNet.from_pretrained(tmp_path)
    assert back.temporal_state().keys() == unet.temporal_state().keys()
    assert (unet.recorded_modes["temporal"], "temporal" in whole.recorded_modes) == ("last", False)


def test_a_motion_of_the_last_blocks_is_put_where_it_was(sdxl, tmp_path):
    told = Conditioning(text=torch.ones(1, 7, 128), pooled_text=torch.ones(1, POOLED))
    schedule = NoiseSchedule.from_config(sdxl.scheduler)
    clip = torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    for temporal in ("last", "all"):
        untuned = UNetDenoiser(unet=InflatedUNet.from_2d(sdxl.unet, temporal=temporal), schedule=schedule)
        motion = tune(untuned, clip, told, config=TuneConfig(num_steps=1, memory="speed"))
        loaded = Motion.load(motion.save(tmp_path / f"{temporal}.safetensors", dtype=torch.float32))
        assert loaded.apply_to(sdxl.unet).temporal_state().keys() == motion.temporal.keys()
        assert equal(loaded, motion)


def test_an_unknown_place_for_time_is_refused(unet_2d):
    with pytest.raises(ConfigError, match=r"temporal 'first'.*one of auto, all, last"):
        InflatedUNet.from_2d(unet_2d, temporal="first")
