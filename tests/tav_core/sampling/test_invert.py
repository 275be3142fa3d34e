"""tav_core/sampling/invert.py against the original, and against its own definition."""

from __future__ import annotations

import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import ConfigError, LatentsError
from tav_core.models.latents import LatentMoments
from tav_core.models.schedule import NoiseSchedule
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.trajectory import Trajectory


def test_trajectory_of_ten_steps_matches_the_original(denoiser, goldens, close):
    ddim = goldens("ddim")
    got = invert(denoiser, ddim["x0"], goldens("unet")["ctx.empty"], num_steps=10)
    close(got.latents, ddim["inv10.trajectory"], 1e-5)
    close(got.noise, ddim["inv10.final"], 1e-5)


def test_fifty_steps_match_the_original(denoiser, goldens, close):
    ddim = goldens("ddim")
    close(invert(denoiser, ddim["x0"], goldens("unet")["ctx.empty"]).noise, ddim["inv50.final"], 1e-5)


def test_source_prompt_matches_the_original(denoiser, goldens, close):
    ddim = goldens("ddim")
    got = invert(denoiser, ddim["x0"], goldens("unet")["ctx.src"], num_steps=10)
    close(got.noise, ddim["inv10.srcprompt.final"], 1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_inversion_is_exact_where_the_model_is(meta, prediction_type):
    """DDIM walks a straight line in (x0, epsilon). The epsilon rule on velocities would miss by far.

    The clip is taken to stand at `final_alpha`, where the first step starts, so the walk starts from it noised so far.
    """
    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "prediction_type": prediction_type})
    clip, noise = torch.randn(2, 1, 4, 3, 4, 4, dtype=torch.float64)

    class Model(UNetDenoiser):
        def predict(self, latents, timestep, context):
            # Velocity depends on where the latents are thought to be; epsilon from it must use those very latents.
            alpha = self.schedule.alpha(timestep)
            if prediction_type == "epsilon":
                return noise
            return (noise - (1 - alpha) ** 0.5 * latents) / alpha**0.5

    model = Model(unet=None, schedule=schedule)
    start = schedule.final_alpha**0.5 * clip + (1 - schedule.final_alpha) ** 0.5 * noise
    trajectory = invert(model, start, torch.zeros(1, 1, 1), num_steps=20)
    for latents, timestep in zip(trajectory.latents[1:], trajectory.timesteps, strict=True):
        torch.testing.assert_close(latents, schedule.add_noise(clip, noise, timestep))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_invert_then_sample_returns_near_the_start(denoiser, meta, context, prediction_type):
    """The error of DDIM inversion falls with the number of steps: first order in the step size."""
    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "prediction_type": prediction_type})
    model = UNetDenoiser(unet=denoiser.unet, schedule=schedule)
    clip = torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    errors = []
    for num_steps in (20, 80):
        trajectory = invert(model, clip, context, num_steps=num_steps)
        config = EditConfig(num_steps=num_steps, guidance_scale=1.0)
        back = edit(model, trajectory, context, context, config=config)
        errors.append(float((back - clip).norm() / clip.norm()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.1


def test_inputs_stay_bit_identical(denoiser, clip_latents, context):
    before = [x.clone() for x in (clip_latents, context, *denoiser.unet.state_dict().values())]
    invert(denoiser, clip_latents, context, num_steps=2)
    after = [clip_latents, context, *denoiser.unet.state_dict().values()]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_steps_are_reported_and_can_be_cancelled(denoiser, clip_latents, context):
    seen = []
    invert(denoiser, clip_latents, context, num_steps=3, on_step=lambda *args: seen.append(args))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(KeyboardInterrupt):
        invert(
            denoiser, clip_latents, context, num_steps=3, on_step=lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
        )


def test_save_and_load(tmp_path, denoiser, clip_latents, context):
    trajectory = invert(denoiser, clip_latents, context, num_steps=3)
    loaded = Trajectory.load(trajectory.save(tmp_path / "t.safetensors"))
    assert torch.equal(loaded.latents, trajectory.latents)
    assert loaded.timesteps == trajectory.timesteps
    assert loaded.num_frames == 4


def test_what_is_kept(denoiser, clip_latents, context):
    everything = invert(denoiser, clip_latents, context, num_steps=3)
    ends = invert(denoiser, clip_latents, context, num_steps=3, keep="ends", store="cpu")
    assert torch.equal(ends.latents, everything.latents[[0, -1]])
    assert torch.equal(ends.noise, everything.noise) and ends.num_frames == 4
    config = EditConfig(num_steps=3)
    videos = [edit(denoiser, start, context, context, config=config) for start in (everything, ends)]
    assert torch.equal(*videos)
    with pytest.raises(ConfigError, match="keep 'noise'"):
        invert(denoiser, clip_latents, context, keep="noise")


def test_wrong_files_and_latents_are_refused(tmp_path, denoiser, context, goldens):
    from safetensors.torch import save_file

    with pytest.raises(LatentsError, match="no such file"):
        Trajectory.load(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(LatentsError, match="holds no trajectory"):
        Trajectory.load(tmp_path / "other.safetensors")
    with pytest.raises(LatentsError, match="five axes"):
        invert(denoiser, torch.randn(4, 4, 8, 8), context)
    moments = LatentMoments(mean=torch.zeros(1, 4, 4, 8, 8), std=torch.zeros(1, 4, 4, 8, 8))
    with pytest.raises(LatentsError, match=r"latents of LatentMoments.*take latents\.mean"):
        invert(denoiser, moments, context)
