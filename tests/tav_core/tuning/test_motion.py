"""tav_core/tuning/motion.py: the motion file, and which models it fits."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import ConfigError, MotionError
from tav_core.models.parameter_names import is_temporal
from tav_core.models.unet import InflatedUNet
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import Motion, hash_base, import_original
from tav_core.tuning.tune import tune
from tav_core.video.config import ClipConfig, ClipInfo

CONFIG = TuneConfig(num_steps=3, learning_rate=1e-2, memory="speed")
ABOUT = ClipInfo(prompt="a man is skiing", fps=12.5, config=ClipConfig(stride=2))


@pytest.fixture
def motion(untuned, clip_latents, context):
    return tune(untuned, clip_latents, context, config=CONFIG, about=ABOUT)


@torch.no_grad()
def forward(unet, context):
    latents = torch.randn((1, 4, 4, 8, 8), generator=torch.Generator().manual_seed(9))
    return unet(latents, 481, context)


def test_save_and_load_give_the_same_output(tmp_path, motion, unet_2d, context, close):
    expected = forward(motion.apply_to(unet_2d), context)
    exact = Motion.load(motion.save(tmp_path / "exact.safetensors", dtype=torch.float32))
    assert torch.equal(forward(exact.apply_to(unet_2d), context), expected)
    assert exact.info == motion.info
    half = Motion.load(motion.save(tmp_path / "half.safetensors"))
    close(forward(half.apply_to(unet_2d), context), expected, 1e-3)
    sizes = [(tmp_path / name).stat().st_size for name in ("half.safetensors", "exact.safetensors")]
    assert sizes[0] < 0.6 * sizes[1]


def test_rotary_positions_are_tuned_recorded_and_applied(tmp_path, unet_2d, schedule, clip_latents, context):
    rotary = UNetDenoiser(unet=InflatedUNet.from_2d(unet_2d, positions="rotary"), schedule=schedule)
    state = tmp_path / "state.safetensors"
    first = tune(rotary, clip_latents, context, config=dataclasses.replace(CONFIG, num_steps=2), state_path=state)
    assert first.info.modes["positions"] == "rotary"
    tuned = tune(rotary, clip_latents, context, config=CONFIG, state_path=state)
    whole = tune(rotary, clip_latents, context, config=CONFIG)
    assert all(torch.equal(tuned.temporal[name], whole.temporal[name]) for name in whole.temporal)
    loaded = Motion.load(tuned.save(tmp_path / "m.safetensors", dtype=torch.float32))
    assert loaded.info == tuned.info
    expected = forward(tuned.apply_to(unet_2d), context)
    assert torch.equal(forward(loaded.apply_to(unet_2d), context), expected)
    assert not torch.equal(forward(loaded.apply_to(unet_2d, positions="none"), context), expected)
    plain = UNetDenoiser(unet=InflatedUNet.from_2d(unet_2d), schedule=schedule)
    with pytest.raises(ConfigError, match="its modes is not"):
        tune(plain, clip_latents, context, config=CONFIG, state_path=state)


def test_a_motion_from_before_there_were_positions_has_none(motion, unet_2d):
    assert "positions" not in motion.info.modes
    assert motion.apply_to(unet_2d).modes["positions"] == "none"


def test_modes_that_a_file_does_not_name_are_the_original_s(motion, unet_2d):
    """On both hosts: here the norms of such a file were per frame."""
    bare = dataclasses.replace(motion, info=dataclasses.replace(motion.info, modes={}))
    assert bare.info.all_modes["group_norm"] == "clip" and bare.info.all_modes["temporal"] == "all"
    modes = bare.apply_to(unet_2d).modes
    assert modes["group_norm"] == "clip" and modes["attention"] == "sparse_causal" and modes["attention_k"] == 2


def test_the_file_says_what_it_is(tmp_path, motion, unet_2d):
    from safetensors import safe_open

    with safe_open(motion.save(tmp_path / "m.safetensors"), "pt") as file:
        metadata = file.metadata()
        names = set(file.keys())
    assert json.loads(metadata["prompt"]) == "a man is skiing"
    assert json.loads(metadata["num_frames"]) == 4
    assert json.loads(metadata["base_hash"]) == hash_base(unet_2d)
    assert json.loads(metadata["config"])["learning_rate"] == 1e-2
    assert json.loads(metadata["format_version"]) == 1
    assert len(names) == 28 + 8  # the trained tensors, and norm_temp's
    assert all(name.startswith(("delta.", "temporal.")) for name in names)


def test_an_applied_motion_is_the_tuned_model(untuned, unet_2d, clip_latents, context, close):
    from tav_core.tuning.training_run import TuningRun

    run = TuningRun(untuned, clip_latents, context, config=CONFIG)
    for _ in range(3):
        run.advance()
    close(forward(run.motion().apply_to(unet_2d), context), forward(run.unet, context), 1e-6)


def test_strength_scales_the_queries_and_the_temporal_part(motion, unet_2d, context, close):
    base = forward(InflatedUNet.from_2d(unet_2d, group_norm="clip"), context)
    assert torch.equal(forward(motion.apply_to(unet_2d, strength=0, temporal_strength=0), context), base)
    name = next(iter(motion.deltas))
    half = motion.apply_to(unet_2d, strength=0.5).get_parameter(name)
    close(half, unet_2d.get_parameter(name) + 0.5 * motion.deltas[name], 1e-6)
    assert not torch.equal(forward(motion.apply_to(unet_2d, temporal_strength=0), context), base)


def test_a_motion_goes_on_another_checkpoint_of_the_same_architecture(motion, unet_2d):
    other = copy.deepcopy(unet_2d)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.01)
    applied = motion.apply_to(other)
    for name, delta in motion.deltas.items():
        torch.testing.assert_close(applied.get_parameter(name) - other.get_parameter(name), delta, rtol=1e-4, atol=1e-6)
    assert hash_base(other) != motion.info.base_hash


def test_applying_leaves_base_and_motion_alone(motion, unet_2d, context):
    given = [*unet_2d.state_dict().values(), *motion.deltas.values(), *motion.temporal.values()]
    before = [x.clone() for x in given]
    applied = motion.apply_to(unet_2d, strength=2.0, temporal_strength=0.5)
    with torch.no_grad():
        for name, parameter in applied.named_parameters():
            if is_temporal(name) or name in motion.deltas:
                parameter.zero_()
    assert all(torch.equal(x, y) for x, y in zip(before, given, strict=True))


def test_a_motion_goes_on_half_precision(motion, unet_2d, context, close):
    applied = motion.apply_to(unet_2d.to(torch.bfloat16))
    assert applied.dtype == torch.bfloat16
    assert {p.dtype for p in applied.parameters()} == {torch.bfloat16}


def test_hash_is_the_same_inflated_and_in_half_precision(unet_2d):
    expected = hash_base(unet_2d)
    assert hash_base(InflatedUNet.from_2d(unet_2d)) == expected
    assert hash_base(copy.deepcopy(unet_2d).half()) == expected


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"block_out_channels": (32, 96)}, r"block_out_channels \[32, 64\].*\[32, 96\]"),
        ({"cross_attention_dim": 48}, "cross_attention_dim 32.*48"),
        ({"attention_head_dim": 4}, "attention_head_dim 8.*4"),
    ],
)
def test_another_architecture_is_refused_by_its_first_difference(motion, unet_2d, change, first):
    other = UNet2DConditionModel.from_config({**unet_2d.config, **change})
    with pytest.raises(MotionError, match=f"(?s){first}.*Use a checkpoint of the family"):
        motion.apply_to(other)


def test_a_tensor_of_another_shape_is_named(motion, unet_2d):
    name = next(iter(motion.deltas))
    broken = dataclasses.replace(motion, deltas={**motion.deltas, name: torch.zeros(2, 2)})
    with pytest.raises(MotionError, match=name):
        broken.apply_to(unet_2d)


class TestDamagedFiles:
    def rewrite(self, path, motion, change):
        from safetensors import safe_open

        motion.save(path)
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata())
        change(tensors, metadata)
        save_file(tensors, path, metadata)
        return path

    def test_missing_and_truncated(self, tmp_path, motion):
        with pytest.raises(MotionError, match="no such file"):
            Motion.load(tmp_path / "none.safetensors")
        path = motion.save(tmp_path / "m.safetensors")
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(MotionError, match="cannot be read"):
            Motion.load(path)

    def test_not_a_motion(self, tmp_path, motion):
        path = self.rewrite(tmp_path / "m.safetensors", motion, lambda tensors, metadata: metadata.clear())
        with pytest.raises(MotionError, match="not a motion's"):
            Motion.load(path)

    def test_not_finite(self, tmp_path, motion):
        name = "delta." + next(iter(motion.deltas))
        nan = lambda tensors, metadata: tensors.update({name: tensors[name] * float("nan")})  # noqa: E731
        with pytest.raises(MotionError, match="not finite"):
            Motion.load(self.rewrite(tmp_path / "m.safetensors", motion, nan))

    def test_a_later_format(self, tmp_path, motion):
        later = lambda tensors, metadata: metadata.update(format_version="9")  # noqa: E731
        with pytest.raises(MotionError, match=r"format 9.*Update this pack"):
            Motion.load(self.rewrite(tmp_path / "m.safetensors", motion, later))

    def test_metadata_of_the_wrong_kind(self, tmp_path, motion):
        wrong = lambda tensors, metadata: metadata.update(architecture="3")  # noqa: E731
        with pytest.raises(MotionError):
            Motion.load(self.rewrite(tmp_path / "m.safetensors", motion, wrong))


class TestImportOriginal:
    def test_queries_and_temporal_blocks(self, inflated, unet_2d, context, close):
        saved = {name: tensor.clone() for name, tensor in inflated.state_dict().items()}
        queries = [name for name in saved if name.endswith(("attn1.to_q.weight", "attn2.to_q.weight"))]
        for name in queries:
            saved[name] += 0.1
        motion = import_original(saved, unet_2d)
        assert set(motion.deltas) == set(queries)
        original = InflatedUNet.from_2d(copy.deepcopy(unet_2d), group_norm="clip")
        original.load_state_dict(saved)
        close(forward(motion.apply_to(unet_2d), context), forward(original, context), 1e-5)

    def test_another_base_is_refused(self, inflated, unet_2d):
        saved = {name: tensor.clone() for name, tensor in inflated.state_dict().items()}
        name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"
        saved[name] += 0.1
        with pytest.raises(MotionError, match=f"{name} differs from this model's"):
            import_original(saved, unet_2d)
