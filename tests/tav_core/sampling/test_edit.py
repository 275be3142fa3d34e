"""tav_core/sampling/edit.py against the original, and its settings."""

from __future__ import annotations

import pytest
import torch

from tav_core.denoisers.guidance import guided
from tav_core.errors import ConfigError, LatentsError
from tav_core.models.schedule import ddim_step, gaussian_noise
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit, mix_noise
from tav_core.sampling.free_noise import free_noise
from tav_core.sampling.invert import invert

TEN = {"num_steps": 10, "guidance_scale": 12.5}


@pytest.fixture
def texts(goldens):
    unet = goldens("unet")
    return {name: unet[f"ctx.{name}"] for name in ("empty", "src", "edit")}


@pytest.mark.parametrize("scale", [1.0, 7.5, 12.5])
def test_each_step_matches_the_original(denoiser, goldens, texts, close, scale):
    ddim, schedule = goldens("ddim"), denoiser.schedule
    steps = ddim[f"sample10.g{scale}.trajectory"]
    model = guided(denoiser, texts["edit"], texts["empty"], scale)
    latents = ddim["inv10.final"]
    with torch.no_grad():
        for timestep, expected in zip(reversed(schedule.timesteps(10)), steps, strict=True):
            alpha, alpha_to = schedule.alpha(timestep), schedule.alpha(schedule.previous(timestep, 10))
            got = ddim_step(latents, model(latents, timestep), alpha=alpha, alpha_to=alpha_to)
            close(got, expected, 2e-5, f"timestep {timestep}")
            latents = expected


@pytest.mark.parametrize("scale", [1.0, 7.5, 12.5])
def test_whole_sampling_matches_the_original(denoiser, goldens, texts, close, scale):
    ddim, seen = goldens("ddim"), []
    config = EditConfig(num_steps=10, guidance_scale=scale)
    collect = lambda done, total, latents: seen.append(latents)  # noqa: E731
    got = edit(denoiser, ddim["inv10.final"], texts["edit"], texts["empty"], config=config, on_step=collect)
    close(torch.stack(seen), ddim[f"sample10.g{scale}.trajectory"], 5e-5)
    close(got, ddim[f"sample10.g{scale}.trajectory"][-1], 5e-5)


def test_negative_prompt_matches_the_original(denoiser, goldens, texts, close):
    ddim = goldens("ddim")
    got = edit(denoiser, ddim["inv10.final"], texts["edit"], texts["src"], config=EditConfig(**TEN))
    close(got, ddim["sample10.g12.5.negative_src.final"], 5e-5)


def test_random_start_matches_the_original(denoiser, goldens, texts, close):
    ddim = goldens("ddim")
    noise = gaussian_noise((1, 4, 4, 8, 8), seed=33)
    assert torch.equal(noise, ddim["sample10.g12.5.random_seed33.init"])
    got = edit(denoiser, noise, texts["edit"], texts["empty"], config=EditConfig(**TEN))
    close(got, ddim["sample10.g12.5.random_seed33.final"], 5e-5)


class UnitData:
    """A perfect denoiser of data that is white noise: latents stay white noise at every noise level."""

    def __init__(self, schedule):
        self.schedule = schedule

    def epsilon(self, latents, timestep, context):
        return (1 - self.schedule.alpha(timestep)) ** 0.5 * latents


@pytest.mark.parametrize(
    ("way", "ancestral"),
    [("whole", False), ("whole", True), ("free noise", False), ("free noise", True), ("last steps", False)],
)
def test_the_noise_that_steps_add_is_not_the_start_once_more(denoiser, ancestral, way):
    """Added once more, it made the latents of the first step 1.4 times as wide."""
    from diffusers import EulerAncestralDiscreteScheduler

    shape, text = (1, 4, 4, 16, 16), torch.zeros(1, 2, 8)
    config = EditConfig(num_steps=20, guidance_scale=1.0, eta=0.0 if ancestral else 1.0)
    scheduler, steps = EulerAncestralDiscreteScheduler() if ancestral else None, 20 if way == "last steps" else None

    def spreads(start):
        seen = []
        tell = lambda done, total, latents: seen.append(float(latents.std()))  # noqa: E731
        unit = UnitData(denoiser.schedule)
        edit(unit, start, text, text, config=config, scheduler=scheduler, steps=steps, on_step=tell)
        return seen

    of_its_seed = free_noise(shape, 33, window=3, stride=1) if way == "free noise" else gaussian_noise(shape, 33)
    assert spreads(of_its_seed)[:5] == pytest.approx(spreads(gaussian_noise(shape, 7))[:5], rel=0.06)


def test_several_prompts_share_one_inversion(denoiser, goldens, texts):
    trajectory = invert(denoiser, goldens("ddim")["x0"], texts["empty"], num_steps=4)
    config, seen = EditConfig(num_steps=4), []
    prompts = torch.cat([texts["edit"], texts["src"]])
    report = lambda done, total, latents: seen.append((done, total))  # noqa: E731
    both = edit(denoiser, trajectory, prompts, texts["empty"], config=config, on_step=report)
    alone = [edit(denoiser, trajectory, texts[name], texts["empty"], config=config) for name in ("edit", "src")]
    assert torch.equal(both, torch.cat(alone))
    assert seen == [(i, 8) for i in range(1, 9)]


def test_eta_draws_from_the_seed(denoiser, goldens, texts):
    start = goldens("ddim")["inv10.final"]
    sample = lambda **kw: edit(  # noqa: E731
        denoiser, start, texts["edit"], texts["empty"], config=EditConfig(num_steps=3, **kw)
    )
    assert torch.equal(sample(seed=1), sample(seed=2))
    assert torch.equal(sample(seed=1, eta=1.0), sample(seed=1, eta=1.0))
    assert not torch.equal(sample(seed=1, eta=1.0), sample(seed=2, eta=1.0))
    assert not torch.equal(sample(seed=1), sample(seed=1, eta=1.0))


def test_diffusers_ddim_gives_what_ours_gives(denoiser, texts, close):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(denoiser.schedule.config)
    noise = gaussian_noise((1, 4, 3, 8, 8), seed=1)
    sample = lambda scheduler: edit(  # noqa: E731
        denoiser, noise, texts["edit"], texts["empty"], config=EditConfig(num_steps=5), scheduler=scheduler
    )
    close(sample(scheduler), sample(None), 1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "name",
    [
        "DPMSolverMultistepScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "HeunDiscreteScheduler",
        "UniPCMultistepScheduler",
        "DDPMScheduler",
    ],
)
def test_any_scheduler_samples_a_known_distribution(meta, name, prediction_type):
    """The exact model of one known clip: every solver must end at that clip."""
    import diffusers

    from tav_core.denoisers.denoiser import UNetDenoiser
    from tav_core.models.schedule import NoiseSchedule

    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "prediction_type": prediction_type})
    clip = torch.randn(1, 4, 2, 4, 4)

    class Knows(UNetDenoiser):
        def predict(self, latents, timestep, context):
            alpha = self.schedule.alpha(timestep)
            noise = (latents - alpha**0.5 * clip) / (1 - alpha) ** 0.5
            return self.schedule.training_target(clip, noise, timestep)

    ends = []
    got = edit(
        Knows(unet=None, schedule=schedule),
        gaussian_noise(clip.shape, seed=3),
        torch.zeros(1, 1, 1),
        torch.zeros(1, 1, 1),
        config=EditConfig(num_steps=30, guidance_scale=1.0),
        scheduler=getattr(diffusers, name)(),
        on_step=lambda done, total, latents: ends.append((done, total)),
    )
    assert float((got - clip).abs().max()) < 0.1
    assert ends[-1][0] == ends[-1][1]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_schedulers_timesteps_may_lie_between_the_trained_ones(meta, prediction_type):
    """Euler's do: diffusers' own loop tells the model 978.6, and reads a velocity at that noise level."""
    from diffusers import EulerDiscreteScheduler

    from tav_core.denoisers.denoiser import UNetDenoiser
    from tav_core.models.schedule import NoiseSchedule

    settings = {**meta["scheduler_config"], "prediction_type": prediction_type}

    class Feels(UNetDenoiser):
        def predict(self, latents, timestep, context):
            return 0.5 * latents.sin() + 0.1 * torch.cos(torch.tensor(float(timestep)))

    noise, text = gaussian_noise((1, 4, 2, 4, 4), seed=3), torch.zeros(1, 1, 1)
    plain = EulerDiscreteScheduler.from_config(EulerDiscreteScheduler().config, **settings)
    plain.set_timesteps(50)
    latents, model = noise * plain.init_noise_sigma, Feels(unet=None, schedule=NoiseSchedule.from_config(settings))
    assert any(float(timestep) % 1 for timestep in plain.timesteps)
    for timestep in plain.timesteps:
        predicted = model.predict(plain.scale_model_input(latents, timestep), timestep, text)
        latents = plain.step(predicted, timestep, latents, return_dict=False)[0]
    config = EditConfig(num_steps=50, guidance_scale=1.0)
    got = edit(model, noise, text, text, config=config, scheduler=EulerDiscreteScheduler())
    torch.testing.assert_close(got, latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "FlowMatchEulerDiscreteScheduler",
        "EDMEulerScheduler",
        "IPNDMScheduler",
        "DDIMInverseScheduler",
        "RePaintScheduler",
        "UnCLIPScheduler",
    ],
)
def test_a_scheduler_of_other_models_is_refused_before_the_first_step(denoiser, texts, monkeypatch, name):
    """Some ended with an obscure error, and others with latents of 1e7."""
    import diffusers

    monkeypatch.setattr(type(denoiser), "epsilon", lambda *_: pytest.fail("a step was taken"))
    start, scheduler = gaussian_noise((1, 4, 4, 8, 8), seed=33), getattr(diffusers, name)()
    with pytest.raises(ConfigError, match=rf"{name}.*Stable Diffusion's noise levels.*leave it out for DDIM"):
        edit(denoiser, start, texts["edit"], texts["empty"], config=EditConfig(num_steps=3), scheduler=scheduler)


@pytest.mark.parametrize("with_scheduler", [False, True])
def test_sampling_goes_on_from_what_correct_gives(denoiser, texts, monkeypatch, with_scheduler):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(denoiser.schedule.config) if with_scheduler else None
    given = [gaussian_noise((1, 4, 3, 8, 8), seed=left) for left in range(3)]
    asked, seen, honest = [], [], type(denoiser).epsilon
    watch = lambda self, latents, *args: seen.append(latents) or honest(self, latents, *args)  # noqa: E731
    monkeypatch.setattr(type(denoiser), "epsilon", watch)
    got = edit(
        denoiser,
        gaussian_noise((1, 4, 3, 8, 8), seed=9),
        torch.cat([texts["edit"], texts["src"]]),
        texts["empty"],
        config=EditConfig(num_steps=3, guidance_scale=1.0),
        scheduler=scheduler,
        correct=lambda latents, left: asked.append(left) or given[left],
    )
    assert asked == [2, 1, 0, 2, 1, 0]
    assert torch.equal(got, torch.cat([given[0], given[0]]))
    assert all(torch.equal(seen[i], given[3 - i]) and torch.equal(seen[i + 3], given[3 - i]) for i in (1, 2))


def test_inputs_stay_bit_identical(denoiser, goldens, texts):
    start = goldens("ddim")["inv10.final"]
    given = [start, texts["edit"], texts["empty"], *denoiser.unet.state_dict().values()]
    before = [x.clone() for x in given]
    edit(denoiser, start, texts["edit"], texts["empty"], config=EditConfig(num_steps=2, eta=0.5))
    assert all(torch.equal(x, y) for x, y in zip(before, given, strict=True))


def test_what_does_not_fit_the_inversion_is_refused(denoiser, goldens, texts):
    from diffusers import EulerDiscreteScheduler

    trajectory = invert(denoiser, goldens("ddim")["x0"], texts["empty"], num_steps=4)
    go = lambda start=trajectory, **kw: edit(denoiser, start, texts["edit"], texts["empty"], **kw)  # noqa: E731
    with pytest.raises(LatentsError, match=r"24 frames for an inversion of 4.*invert the clip again with 24"):
        go(num_frames=24, config=EditConfig(num_steps=4))
    with pytest.raises(ConfigError, match="50 sampling steps for an inversion of 4"):
        go()
    with pytest.raises(ConfigError, match="EulerDiscreteScheduler for an inverted start"):
        go(config=EditConfig(num_steps=4), scheduler=EulerDiscreteScheduler())
    with pytest.raises(LatentsError, match="2 videos"):
        go(torch.randn(2, 4, 3, 8, 8))


@pytest.mark.parametrize("wrong", [{"num_steps": 0}, {"eta": 1.5}, {"eta": -0.1}, {"guidance_scale": float("nan")}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        EditConfig(**wrong)


def test_the_noise_prior_mixes_by_variance_and_one_changes_nothing():
    inverted = gaussian_noise((1, 4, 8, 16, 16), seed=1)
    assert mix_noise(inverted, 1.0, 33) is inverted
    for prior in (0.0, 0.3, 0.8):
        mixed = mix_noise(inverted, prior, 33)
        added = (mixed - prior**0.5 * inverted) / (1 - prior) ** 0.5
        assert mixed.std().item() == pytest.approx(1, abs=0.03) and added.std().item() == pytest.approx(1, abs=0.03)
        assert abs(torch.corrcoef(torch.stack([added.flatten(), inverted.flatten()]))[0, 1]) < 0.03
        assert not torch.equal(added[:, :, 0], added[:, :, 1]), "each frame has noise of its own"
        assert torch.equal(mixed, mix_noise(inverted, prior, 33)) and not torch.equal(
            mixed, mix_noise(inverted, prior, 34)
        )
    # Not the noise that eta would add in the first step.
    assert not torch.allclose(mix_noise(inverted, 0.0, 33), gaussian_noise(inverted.shape, 33))


def test_an_edit_begins_with_its_share_of_the_inverted_noise(denoiser, goldens, texts):
    trajectory = invert(denoiser, goldens("ddim")["x0"], texts["empty"], num_steps=4)
    both = (texts["edit"], texts["empty"])
    got = edit(denoiser, trajectory, *both, config=EditConfig(num_steps=4, noise_prior=0.6))
    start = mix_noise(trajectory.noise, 0.6, EditConfig().seed)
    assert torch.equal(got, edit(denoiser, start, *both, config=EditConfig(num_steps=4)))
    assert not torch.allclose(got, edit(denoiser, trajectory, *both, config=EditConfig(num_steps=4)), atol=1e-3)


def test_an_exact_inversion_takes_all_of_its_noise(denoiser, goldens, texts):
    trajectory = invert(denoiser, goldens("ddim")["x0"], texts["empty"], num_steps=4, method="o_belm")
    with pytest.raises(ConfigError, match=r"noise_prior 0\.5 for an inversion by o_belm"):
        edit(denoiser, trajectory, texts["edit"], texts["empty"], config=EditConfig(num_steps=4, noise_prior=0.5))


class Counting:
    """A denoiser that notes how many videos each step predicts."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule, self.videos = denoiser, denoiser.schedule, []

    def epsilon(self, latents, timestep, context):
        self.videos.append((timestep, len(latents)))
        return self.denoiser.epsilon(latents, timestep, context)


@pytest.mark.parametrize(("share", "guided_steps"), [(1.0, 10), (0.5, 5), (0.25, 2), (0.0, 0)])
def test_guidance_may_end_before_the_steps_do(denoiser, goldens, texts, share, guided_steps):
    counting = Counting(denoiser)
    config = EditConfig(**TEN, guidance_until=share)
    got = edit(counting, goldens("ddim")["inv10.final"], texts["edit"], texts["empty"], config=config)
    assert [videos for _, videos in counting.videos] == [2] * guided_steps + [1] * (10 - guided_steps)
    if not guided_steps:
        plain = EditConfig(num_steps=10, guidance_scale=1.0)
        without = edit(denoiser, goldens("ddim")["inv10.final"], texts["edit"], texts["empty"], config=plain)
        assert torch.equal(got, without)
