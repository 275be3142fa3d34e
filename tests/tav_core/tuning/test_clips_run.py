"""tav_core/tuning/clips_run.py: what steps take, what is learned, and that a later tuning can start from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tav_core.cancelling import cancelled_by
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import ConfigError
from tav_core.models.conditioning import Conditioning
from tav_core.models.unet import InflatedUNet
from tav_core.tensor_files import load_tensors, save_tensors
from tav_core.tuning.clips_run import ClipsRun, ClipToLearn, learn_start, tune_clips
from tav_core.tuning.config import SEVERAL, START
from tav_core.tuning.motion import Motion
from tav_core.tuning.tune import tune
from tests.tav_core.conftest import POOLED
from tests.tav_core.motions import equal

SHORT = replace(START, num_steps=4, memory="speed", precision="fp32")


@pytest.fixture
def clips(clip_latents, context):
    return [ClipToLearn(latents=clip_latents + shift, context=context * (1 + shift)) for shift in (0.0, 0.5, 1.0)]


def test_steps_take_all_clips_each_with_its_own_prompt(untuned, clips):
    run, taken = ClipsRun(untuned, clips, config=SHORT), set()
    for step in range(20):
        run.step = step
        run.draw()
        (at,) = [i for i, clip in enumerate(clips) if torch.equal(run.mean, clip.latents)]
        assert torch.equal(run.context.text, clips[at].context)
        taken.add(at)
    assert taken == {0, 1, 2}


def test_one_clip_is_tuned_on_as_by_tune(untuned, clips):
    alone = tune(untuned, clips[0].latents, clips[0].context, config=SHORT)
    assert equal(learn_start(untuned, clips[:1], config=SHORT), alone)


def test_the_temporal_layers_alone_learn_and_the_model_stays(untuned, clips):
    before = {name: tensor.clone() for name, tensor in untuned.unet.state_dict().items()}
    start = learn_start(untuned, clips, config=SHORT)
    assert not start.deltas
    outputs = [tensor for name, tensor in start.temporal.items() if name.endswith("to_out.0.weight")]
    assert outputs and all(tensor.any() for tensor in outputs)
    assert all(torch.equal(tensor, before[name]) for name, tensor in untuned.unet.state_dict().items())


def test_a_run_that_was_stopped_gives_the_same(untuned, clips, tmp_path):
    whole = learn_start(untuned, clips, config=SHORT)
    state = tmp_path / "state.safetensors"
    learn_start(untuned, clips, config=replace(SHORT, num_steps=2), state_path=state)
    assert equal(learn_start(untuned, clips, config=SHORT, state_path=state), whole)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_run_goes_on_before_every_clip_had_its_turn(untuned, clips, tmp_path, done):
    # AdamW has no moments of the looks of clips that no step has taken.
    config, state = replace(SEVERAL, num_steps=6, memory="speed", precision="fp32"), tmp_path / "state.safetensors"
    whole = tune_clips(untuned, clips, config=config)
    tune_clips(untuned, clips, config=replace(config, num_steps=done), state_path=state)
    looks = {
        name.rpartition(".")[2] for name in load_file(state) if name.startswith("exp_avg.") and "appearance" in name
    }
    assert len(looks) < len(clips)
    resumed = tune_clips(untuned, clips, config=config, state_path=state)
    assert equal(resumed.motion, whole.motion)
    for look, expected in zip(resumed.appearances, whole.appearances, strict=True):
        assert all(
            torch.equal(got, want) for name in expected for got, want in zip(look[name], expected[name], strict=True)
        )


def test_a_state_that_has_lost_some_moments_is_refused(untuned, clips, tmp_path):
    config, state = replace(SEVERAL, num_steps=4, memory="speed", precision="fp32"), tmp_path / "state.safetensors"
    tune_clips(untuned, clips, config=config, state_path=state)
    tensors, about = load_tensors(state, error=ConfigError, what="a state")
    for kind in ("attn_temp", "appearance"):
        lost = next(name for name in tensors if name.startswith("exp_avg.") and kind in name)
        save_tensors(state, {name: each for name, each in tensors.items() if name != lost}, about)
        with pytest.raises(ConfigError, match=f"its {lost} is missing"):
            tune_clips(untuned, clips, config=config, state_path=state)


@pytest.mark.parametrize("others", [slice(0, 2), slice(None, None, -1)])
def test_a_run_goes_on_with_its_own_clips_alone(untuned, clips, tmp_path, others):
    state = tmp_path / "state.safetensors"
    learn_start(untuned, clips, config=replace(SHORT, num_steps=1), state_path=state)
    with pytest.raises(ConfigError, match="its clip is not the one asked for"):
        learn_start(untuned, clips[others], config=SHORT, state_path=state)


def test_cancelling_saves_the_state(untuned, clips, tmp_path):
    state, done = tmp_path / "state.safetensors", []

    def stop(progress):
        done.append(progress.step)
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), cancelled_by(lambda: None):
        learn_start(untuned, clips, config=SHORT, state_path=state, on_step=stop)
    assert equal(learn_start(untuned, clips, config=SHORT, state_path=state), learn_start(untuned, clips, config=SHORT))


def test_a_tuning_starts_from_it(untuned, clips, clip_latents, context, tmp_path):
    path = tmp_path / "start.safetensors"
    learn_start(untuned, clips, config=SHORT).save(path, dtype=torch.float32)
    config = replace(SHORT, num_steps=1, modules=("attn1.to_q", "attn2.to_q", "attn_temp"))
    started = tune(untuned, clip_latents, context, config=config, start=Motion.load(path))
    fresh = tune(untuned, clip_latents, context, config=config)
    assert started.deltas.keys() == fresh.deltas.keys()
    assert not equal(started, fresh)


def test_each_clip_of_sdxls_keeps_the_sizes_that_it_is_told(sdxl, schedule, clip_latents):
    text = torch.randn((1, 7, sdxl.unet.config.cross_attention_dim), generator=torch.Generator().manual_seed(1))
    told = [Conditioning(text=text, pooled_text=torch.ones(1, POOLED), size_ids=ids) for ids in (None, sizes(512))]
    clips = [ClipToLearn(latents=clip_latents, context=context) for context in told]
    untuned = UNetDenoiser(unet=InflatedUNet.from_2d(sdxl.unet), schedule=schedule)
    run = ClipsRun(untuned, clips, config=SHORT)
    assert run.contexts.size_ids.tolist() == [sizes(64).tolist()[0], sizes(512).tolist()[0]]


def sizes(side):
    return torch.tensor([[side, side, 0, 0, side, side]])


def test_clips_of_other_lengths_and_none_are_refused(untuned, clips):
    longer = ClipToLearn(latents=clips[0].latents.repeat(1, 1, 2, 1, 1), context=clips[0].context)
    for wrong in ([], [clips[0], longer]):
        with pytest.raises(ConfigError, match="all of one length and size"):
            learn_start(untuned, wrong, config=SHORT)
