"""Video from text: equal to the original, whatever the chunks, steps and sizes."""

from __future__ import annotations

import pytest
import torch

from tav_core.errors import ClipError, ConfigError
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import Plan, Run, generate, split_frames
from tav_core.sampling.zero_shot.motion_field import MotionField, warp


def config_of(run, **changes):
    """The settings of one of the original's runs."""
    height, width = run["latent_size"]
    steps = run["num_inference_steps"]
    given = {
        "num_frames": run.get("num_frames", 4),
        "width": 8 * width,
        "height": 8 * height,
        "num_steps": steps,
        "seed": run["generator_seed"],
        "t0": run["ascending_index_t0"] / steps,
        "t1": run["ascending_index_t1"] / steps,
    }
    return ZeroShotConfig(**given | changes)


def field_of(run):
    return MotionField(move=tuple(run["motion"]), size=(512, 512))


@pytest.mark.parametrize(
    "name, chunk_size", [("s50.f8", 8), ("s50.f4", 8), ("s10.f4", 8), ("s10.f8", 8), ("s10.f8", 3), ("s10.f8", 2)]
)
def test_videos_with_a_motion_field_equal_the_originals(
    zero_shot, prompts, original, settings, close, name, chunk_size
):
    run, expected = settings["sampling"][name], original("sampling")
    config = config_of(run, chunk_size=chunk_size)
    close(generate(zero_shot, *prompts, config=config, motion=field_of(run)), expected[f"{name}.x_0"], 2e-5)


def test_the_way_there_equals_the_originals(zero_shot, prompts, original, settings, close):
    name, expected = "s10.f8", original("sampling")
    run = settings["sampling"][name]
    config = config_of(run)
    plan = Plan.make(zero_shot.schedule, config, moved=True, smoothed=False)
    assert (plan.t0, plan.t1) == (run["t0"], run["t1"])
    from tav_core.models.conditioning import as_conditioning

    told, empty = (as_conditioning(prompt) for prompt in prompts)
    one = Run(zero_shot, told, empty, config=config, plan=plan, report=lambda latents: None)
    noise = one.draw(1)
    assert torch.equal(noise, expected[f"{name}.x_T"])
    latents = [noise, *one.denoise(noise, (0,), plan.timesteps[: plan.to_t0])]
    close(latents[plan.to_t1], expected[f"{name}.x_t1_frame0"], 2e-5)
    close(latents[plan.to_t0], expected[f"{name}.x_t0_frame0"], 2e-5)
    moved = warp(latents[plan.to_t0], one.places(field_of(run), range(1, 8)))
    close(moved, expected[f"{name}.x_t0_warped"], 2e-5)
    eps = one.draw(7)
    assert torch.equal(eps, expected[f"{name}.eps"])
    close(one.noised(moved, eps), expected[f"{name}.x_t1_forward"], 2e-5)


@pytest.mark.parametrize("name", ["t881_t941", "t701_t801"])
def test_noise_from_t0_to_t1_equals_the_originals(zero_shot, original, close, name):
    pieces = original("pieces")
    t0, t1 = (int(part[1:]) for part in name.split("_"))
    config = ZeroShotConfig(num_steps=50 if t0 == 881 else 10, t0=t0 / 1000, t1=t1 / 1000, width=64, height=64)
    plan = Plan.make(zero_shot.schedule, config, moved=True, smoothed=False)
    assert (plan.t0, plan.t1) == (t0, t1)
    run = Run.__new__(Run)
    run.denoiser, run.plan = zero_shot, plan
    close(run.noised(pieces[f"forward.{name}.in"], pieces[f"forward.{name}.eps"]), pieces[f"forward.{name}.out"], 1e-6)


@pytest.mark.parametrize("chunk_size", [8, 2])
def test_videos_without_a_motion_field_equal_the_originals(zero_shot, prompts, original, settings, close, chunk_size):
    name = "s10.f4.nomotion"
    config = config_of(settings["sampling"][name], chunk_size=chunk_size)
    close(generate(zero_shot, *prompts, config=config), original("sampling")[f"{name}.x_0"], 2e-5)


@pytest.mark.parametrize("name", ["smooth.binary", "smooth.nomotion"])
def test_smoothed_videos_equal_the_originals(zero_shot, prompts, original, settings, close, name):
    run, tensors = settings["smoothing"][name], original("smoothing")
    motion = field_of(run) if run["use_motion_field"] else None
    foreground = tensors[f"{name}.mask"].float() / 255
    found = generate(zero_shot, *prompts, config=config_of(run), motion=motion, foreground=foreground)
    close(found, tensors[f"{name}.x_0"], 2e-5)


@pytest.mark.parametrize("name", ["f1.8x8", "f5.8x8", "f5.12x8", "f5.7x10", "f8.8x8"])
def test_forwards_equal_the_originals(zero_shot, original, close, name):
    """Both parts of a guided batch, each with the keys of its own frame 0."""
    tensors = original("unet_io")
    latents = tensors[f"unet.{name}.in"].movedim(0, 1)[None].repeat(2, 1, 1, 1, 1)
    context = torch.cat([tensors["ctx.uncond"], tensors["ctx.text"]])
    found = zero_shot.predict(latents, 481, context)
    close(found.movedim(2, 1).flatten(0, 1), tensors[f"unet.{name}.t481.out"], 1e-5)


@pytest.mark.parametrize("num_steps", [2, 3, 7, 10, 20, 30, 50])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_any_number_of_steps_gives_a_finite_video(zero_shot, prompts, num_steps, prediction_type):
    import dataclasses

    schedule = NoiseSchedule.from_config({**zero_shot.schedule.config, "prediction_type": prediction_type})
    denoiser = dataclasses.replace(zero_shot, schedule=schedule)
    config = ZeroShotConfig(num_frames=3, width=64, height=96, num_steps=num_steps)
    steps = []
    video = generate(
        denoiser, *prompts, config=config, motion=MotionField(move=(8, 8)), on_step=lambda *at: steps.append(at[:2])
    )
    assert video.shape == (1, 4, 3, 12, 8) and torch.isfinite(video).all()
    assert [done for done, _ in steps] == list(range(1, steps[0][1] + 1))


def test_the_originals_moments_are_those_of_its_list():
    assert ZeroShotConfig().moments() == (44, 47)
    for steps in range(2, 100):
        t0, t1 = ZeroShotConfig(num_steps=steps).moments()
        assert 0 <= t0 < t1 <= steps - 1


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_without_guidance_there_is_one_prediction_per_step(zero_shot, prompts, scale):
    config = ZeroShotConfig(num_frames=2, width=64, height=64, num_steps=4, guidance_scale=scale)
    told, empty = prompts
    assert torch.equal(generate(zero_shot, told, empty, config=config), generate(zero_shot, told, told, config=config))


def test_the_negative_prompt_is_used(zero_shot, prompts):
    told, empty = prompts
    config = ZeroShotConfig(num_frames=2, width=64, height=64, num_steps=4)
    one, other = (generate(zero_shot, told, negative, config=config) for negative in (empty, empty.flip(1)))
    assert not torch.equal(one, other)


def test_several_prompts_give_what_each_gives_alone(zero_shot, prompts):
    told, empty = prompts
    config = ZeroShotConfig(num_frames=3, width=64, height=64, num_steps=4)
    motion = MotionField(move=(8, 0))
    both = generate(zero_shot, torch.cat([told, told.flip(1)]), empty, config=config, motion=motion)
    for video, prompt in zip(both.split(1), (told, told.flip(1)), strict=True):
        assert torch.equal(video, generate(zero_shot, prompt, empty, config=config, motion=motion))


@pytest.mark.parametrize("motion", [None, MotionField(move=(8, 8))])
def test_one_frame_is_the_still_of_the_same_seed(zero_shot, prompts, motion):
    config = ZeroShotConfig(num_frames=1, width=64, height=64, num_steps=6)
    video = generate(zero_shot, *prompts, config=config, motion=motion)
    longer = ZeroShotConfig(num_frames=3, width=64, height=64, num_steps=6)
    first = generate(zero_shot, *prompts, config=longer, motion=motion)[:, :, :1]
    torch.testing.assert_close(video, first, rtol=1e-4, atol=1e-4)


def test_noise_repeats_in_no_chunk(zero_shot, prompts):
    """The original's noise repeats with the period of a chunk."""
    config = ZeroShotConfig(num_frames=9, width=64, height=64, num_steps=2, chunk_size=3)
    video = generate(zero_shot, *prompts, config=config)
    frames = video[0].movedim(1, 0)
    assert all(not torch.allclose(frames[i], frames[j], atol=1e-2) for i in range(9) for j in range(i))


@pytest.mark.parametrize(
    "num_frames, chunk_size, expected",
    [
        (1, 8, ((),)),
        (8, 8, (tuple(range(1, 8)),)),
        (9, 8, (tuple(range(1, 8)), (8,))),
        (4, 2, ((1,), (2,), (3,))),
    ],
)
def test_every_frame_is_in_one_chunk(num_frames, chunk_size, expected):
    assert split_frames(num_frames, chunk_size) == expected


def test_a_seed_gives_the_same_video_whatever_pytorchs_defaults_are(zero_shot, prompts):
    config = ZeroShotConfig(num_frames=2, width=64, height=64, num_steps=2)
    expected = generate(zero_shot, *prompts, config=config)
    torch.set_default_dtype(torch.float64)
    try:
        found = generate(zero_shot, *prompts, config=config)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"width": 100}, "a multiple of 8"),
        ({"t0": 0.9, "t1": 0.9}, "t0 below t1"),
        ({"chunk_size": 1}, "chunk_size 1"),
        ({"num_frames": 0}, "num_frames 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ZeroShotConfig(**changes)


def test_one_step_has_no_room_for_a_motion_field(zero_shot, prompts):
    config = ZeroShotConfig(num_steps=1, width=64, height=64)
    with pytest.raises(ConfigError, match="2 steps or more"):
        generate(zero_shot, *prompts, config=config, motion=MotionField(move=(8, 8)))
    assert torch.isfinite(generate(zero_shot, *prompts, config=config)).all()


def test_a_foreground_of_other_frames_is_refused(zero_shot, prompts):
    config = ZeroShotConfig(num_frames=4, width=64, height=64)
    with pytest.raises(ClipError, match="for 4 frames"):
        generate(zero_shot, *prompts, config=config, foreground=torch.zeros(3, 64, 64))


@pytest.mark.parametrize("value", [255.0, -1.0, float("nan")])
def test_a_foreground_outside_of_0_to_1_is_refused_and_not_smoothed_by(zero_shot, prompts, value):
    config = ZeroShotConfig(num_frames=4, width=64, height=64, num_steps=2)
    with pytest.raises(ClipError, match=r"a mask with values from .*Divide bytes by 255"):
        generate(zero_shot, *prompts, config=config, foreground=torch.full((4, 64, 64), value))


def test_a_foreground_that_is_no_tensor_is_refused(zero_shot, prompts):
    config = ZeroShotConfig(num_frames=4, width=64, height=64)
    with pytest.raises(ClipError, match=r"a foreground of ndarray.*Expected a tensor"):
        generate(zero_shot, *prompts, config=config, foreground=torch.zeros(4, 64, 64).numpy())


def test_temporal_blocks_that_are_not_tuned_change_nothing(zero_shot, original):
    """Left out, they save their time and memory."""
    from diffusers import UNet2DConditionModel

    weights = {name: tensor.float() for name, tensor in original("unet_weights").items()}
    flat = {name: value for name, value in zero_shot.unet.config.items() if name != "inflation"}
    unet = UNet2DConditionModel.from_config(flat)
    unet.load_state_dict(weights)
    tensors = original("unet_io")
    latents = tensors["unet.f5.8x8.in"].movedim(0, 1)[None]
    whole = InflatedUNet.from_2d(unet, attention="first")
    bare = InflatedUNet.from_2d(unet, attention="first", temporal=False)
    assert whole.temporal_state() and not bare.temporal_state()
    assert torch.equal(whole(latents, 481, tensors["ctx.text"]), bare(latents, 481, tensors["ctx.text"]))
