"""Files that users have on their disks: written by older code, see data/saved/README.md, they load and resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tav_core import EarlyStop, EditConfig, Motion, Trajectory, TuneConfig, UNetDenoiser, edit, invert, tune

SAVED = Path(__file__).parent / "data" / "saved"
CONFIG = TuneConfig(num_steps=6, save_every=2, lr_schedule="cosine", learning_rate=1e-3, memory="speed")


@pytest.fixture
def saved(tmp_path):
    """Copies of the files, in a folder that may be written to."""
    return Path(shutil.copytree(SAVED, tmp_path / "saved"))


def assert_same_weights(got, expected, tolerance):
    for part in ("deltas", "temporal"):
        one, other = getattr(got, part), getattr(expected, part)
        assert one.keys() == other.keys() and one
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("name", ["motion_after_6_fp32", "motion_after_6_fp16"])
def test_a_motion_loads_with_all_that_it_says_of_itself(saved, name, unet_2d):
    motion = Motion.load(saved / f"{name}.safetensors")
    info = motion.info
    assert (info.prompt, info.num_frames, info.start, info.stride, info.fit) == ("a cat walks", 4, 2, 3, "crop")
    assert (info.width, info.height, info.fps, info.steps_done) == (64, 64, 8.0, 6)
    assert info.modes == {"attention": "sparse_causal", "attention_k": 2, "group_norm": "clip"}
    assert_same_weights(motion, Motion.load(saved / "motion_after_6_fp32.safetensors"), 1e-4)
    motion.apply_to(unet_2d)


def test_a_cancelled_run_goes_on_to_the_same_motion(saved, untuned, clip_latents, context):
    steps = []
    path = saved / "state_after_3_of_6.safetensors"
    motion = tune(
        untuned, clip_latents, context, config=CONFIG, state_path=path, on_step=lambda p: steps.append(p.step)
    )
    assert steps == [4, 5, 6]
    assert_same_weights(motion, Motion.load(saved / "motion_after_6_fp32.safetensors"), 1e-5)


def test_a_run_that_stopped_early_stays_stopped_and_gives_its_best(saved, untuned, clip_latents, context):
    stop = EarlyStop(score=lambda motion: pytest.fail("scored again"), every=1, patience=2, by="a list")
    path = saved / "state_stopped_early.safetensors"
    motion = tune(untuned, clip_latents, context, config=CONFIG, state_path=path, early_stop=stop)
    assert stop.scores == {1: 0.5, 2: 0.7, 3: 0.6, 4: 0.55} and motion.info.steps_done == 2


# In four steps, O-BELM makes 2.3e-3 of a clip that is moved by 1e-6, so processors that round differently are that far
# apart; float64 is 3.2e-3 from both.
@pytest.mark.parametrize(
    ("name", "method", "kept", "close"),
    [("trajectory_ddim", "ddim", 5, 1e-4), ("trajectory_o_belm", "o_belm", 2, 1e-2)],
)
def test_a_trajectory_is_what_inverting_gives_today(
    saved, unet_2d, schedule, clip_latents, context, name, method, kept, close
):
    old = Trajectory.load(saved / f"{name}.safetensors")
    assert (old.method, old.fps, len(old.latents), old.timesteps) == (method, 8.0, kept, (1, 251, 501, 751))
    motion = Motion.load(saved / "motion_after_6_fp32.safetensors")
    tuned = UNetDenoiser(unet=motion.apply_to(unet_2d), schedule=schedule)
    new = invert(tuned, clip_latents, context, num_steps=4, method=method, keep="all" if kept > 2 else "ends")
    torch.testing.assert_close(new.latents, old.latents, rtol=close, atol=close)
    assert edit(tuned, old, context, context, config=EditConfig(num_steps=4)).shape == clip_latents.shape
