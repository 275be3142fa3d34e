"""tav_core/tuning/appearance.py and tune_clips: looks and motion are learned apart, and a look is an ordinary LoRA."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.models.parameter_names import is_temporal
from tav_core.tensor_files import load_tensors
from tav_core.tuning.appearance import add_appearances, is_appearance, save_lora, without_time
from tav_core.tuning.clips_run import WITHOUT, ClipsRun, ClipToLearn, tune_clips
from tav_core.tuning.config import SEVERAL
from tests.tav_core.motions import equal

SHORT = replace(SEVERAL, num_steps=4, memory="speed", precision="fp32")
RANK = 4


@pytest.fixture
def clips(clip_latents, context):
    return [ClipToLearn(latents=clip_latents + shift, context=context * (1 + shift)) for shift in (0.0, 0.5)]


@pytest.fixture
def run(untuned, clips):
    return ClipsRun(untuned, clips, config=SHORT, appearance_rank=RANK)


def step_with(run, *, appearance):
    """Sets the run to its first step that has an appearance, or has none, and draws it."""
    while True:
        numbers = run.numbers
        numbers.integers(run.num_clips)
        if (numbers.random() >= WITHOUT) == appearance:
            return run.draw()
        run.step += 1


def moved_by(run, drawn):
    """The names of the weights that have a gradient after a step."""
    run.optimizer.zero_grad(set_to_none=True)
    run.add_gradients(*drawn)
    return {name for name, p in run.trainable.items() if p.grad is not None and bool(p.grad.any())}


def test_an_untrained_appearance_changes_nothing(untuned, run, clip_latents, context):
    with torch.no_grad():
        before = untuned.unet(clip_latents, 500, context)
        for at in (None, 0, 1):
            run.active.value = at
            assert torch.equal(run.unet(clip_latents, 500, context), before)


def test_a_step_teaches_one_clips_looks_and_the_layers_over_time(run):
    moved = moved_by(run, step_with(run, appearance=True))
    own = {name for name in moved if is_appearance(name)}
    assert own and all(name.endswith(f".{run.at}") for name in own)
    assert any(is_temporal(name) for name in moved)
    assert run.active.value is None and all(p.requires_grad for p in run.trainable.values())


def test_looks_learn_from_one_frame_alone(run):
    """The gradient of an appearance is that of a loss on a single frame without time."""
    latents, noise, timestep = step_with(run, appearance=True)
    moved_by(run, (latents, noise, timestep))
    got = {name: p.grad.clone() for name, p in run.trainable.items() if is_appearance(name) and p.grad is not None}
    numbers = run.numbers
    numbers.integers(run.num_clips), numbers.random()
    frame = int(numbers.integers(latents.shape[2]))
    run.optimizer.zero_grad(set_to_none=True)
    run.active.value = run.at
    with without_time(run.unet):
        run.loss(latents[:, :, frame : frame + 1], noise[:, :, frame : frame + 1], timestep).backward()
    assert all(torch.equal(run.trainable[name].grad, gradient) for name, gradient in got.items())


def test_a_step_without_appearances_teaches_the_layers_over_time_alone(run):
    moved = moved_by(run, step_with(run, appearance=False))
    assert moved and all(is_temporal(name) for name in moved)


def test_the_temporal_attention_comes_back(untuned):
    names = set(untuned.unet.state_dict())
    with without_time(untuned.unet):
        assert not any("attn_temp" in name for name in untuned.unet.state_dict())
    assert set(untuned.unet.state_dict()) == names


def test_a_run_that_was_stopped_gives_the_same(untuned, clips, tmp_path):
    whole = tune_clips(untuned, clips, config=SHORT, appearance_rank=RANK)
    state = tmp_path / "state.safetensors"
    tune_clips(untuned, clips, config=replace(SHORT, num_steps=2), appearance_rank=RANK, state_path=state)
    parts = tune_clips(untuned, clips, config=SHORT, appearance_rank=RANK, state_path=state)
    assert equal(parts.motion, whole.motion) and not whole.motion.deltas
    for one, other in zip(parts.appearances, whole.appearances, strict=True):
        assert one and one.keys() == other.keys()
        assert all(torch.equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True))
    with pytest.raises(ConfigError, match="appearance_rank"):
        tune_clips(untuned, clips, config=SHORT, appearance_rank=2, state_path=state)


def test_an_appearance_is_an_ordinary_lora(untuned, unet_2d, clips, clip_latents, context, run, tmp_path):
    """On the 2-D model, weights with the file's differences added predict what the appearance does."""
    for name, parameter in run.trainable.items():
        if is_appearance(name):
            torch.nn.init.normal_(parameter, std=0.05)
    factors = {}
    for name, down in run.trainable.items():
        if name.endswith("appearance_down.1"):
            layer = name.removesuffix(".appearance_down.1")
            factors[layer] = (down.detach(), run.trainable[f"{layer}.appearance_up.1"].detach())
    path = save_lora(tmp_path / "look.safetensors", factors, dtype=torch.float32)
    tensors, _ = load_tensors(path, error=ConfigError, what="a LoRA")
    merged = dict(unet_2d.named_parameters())
    with torch.no_grad():
        run.active.value = 1
        with without_time(run.unet):
            expected = run.unet(clip_latents[:, :, :1], 500, context)
        for layer in factors:
            key = f"lora_unet_{layer.replace('.', '_')}"
            assert float(tensors[f"{key}.alpha"]) == len(tensors[f"{key}.lora_down.weight"])
            merged[f"{layer}.weight"] += tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"]
        got = unet_2d(clip_latents[:, :, 0], 500, context).sample
    torch.testing.assert_close(got, expected[:, :, 0], rtol=1e-4, atol=1e-5)


def test_every_spatial_linear_layer_has_factors_and_no_temporal_one(untuned):
    from tav_core.models.shared_weights import copy_structure

    unet = copy_structure(untuned.unet)
    add_appearances(unet, 2, rank=RANK, seed=0)
    names = {name.rpartition(".appearance_")[0] for name, _ in unet.named_parameters() if is_appearance(name)}
    blocks = {name for name in names if "transformer_blocks.0." in name}
    assert blocks == names and not any("attn_temp" in name for name in names)
    (first, *_) = sorted(name.partition("transformer_blocks.0.")[0] for name in names)
    parts = {name.partition("transformer_blocks.0.")[2] for name in names if name.startswith(first)}
    attention = {f"attn{n}.{part}" for n in (1, 2) for part in ("to_q", "to_k", "to_v", "to_out.0")}
    assert parts == attention | {"ff.net.0.proj", "ff.net.2"}


def test_no_rank_is_refused(untuned, clips):
    with pytest.raises(ConfigError, match="learn_start"):
        tune_clips(untuned, clips, config=SHORT, appearance_rank=0)
