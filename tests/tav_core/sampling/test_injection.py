"""tav_core/sampling/injection.py against two plain runs, one of which records what the other is given."""

from __future__ import annotations

import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError, LatentsError
from tav_core.models.conditioning import Conditioning
from tav_core.models.schedule import NoiseSchedule, ddim_step
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig, InjectionConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.injection import InjectedDenoiser, decoder_layers, source_at
from tav_core.sampling.invert import invert
from tav_core.sampling.trajectory import Trajectory
from tests.tav_core.conftest import POOLED

STEPS = 5


@pytest.fixture
def trajectory(denoiser, clip_latents, context):
    return invert(denoiser, clip_latents, context, num_steps=STEPS)


@pytest.fixture
def texts(context):
    """The texts of an edit, without and with guidance."""
    return torch.randn((2, 7, 32), generator=torch.Generator().manual_seed(8))


@pytest.fixture
def noisy(clip_latents):
    return torch.randn((2, *clip_latents.shape[1:]), generator=torch.Generator().manual_seed(9))


def inject(denoiser, trajectory, context, **settings):
    config = InjectionConfig(**settings)
    return InjectedDenoiser(denoiser=denoiser, trajectory=trajectory, source_context=context, config=config)


def chosen_layers(unet, *, first=1, attention=True, features=True):
    """What is injected in the goldens' UNet, by hand: two levels of two layers, the first without attention."""
    resnets = [f"up_blocks.{block}.resnets.{layer}.conv2" for block in (0, 1) for layer in (0, 1)]
    modules = {resnets[first]} if features else set()
    if attention:
        modules |= {
            f"up_blocks.1.attentions.{layer}.transformer_blocks.0.attn1.{name}"
            for layer in (0, 1)[max(first - 2, 0) :]
            for name in ("to_q", "to_k")
        }
    return {name: unet.get_submodule(name) for name in modules}


@torch.no_grad()
def slowly(denoiser, source, source_context, latents, timestep, context, **chosen):
    """Epsilon of each video by itself, given what a run of the source has recorded."""
    modules, recorded = chosen_layers(denoiser.unet, **chosen), {}

    def record(name):
        return lambda module, args, output: recorded.update({name: output})

    def give(name):
        return lambda module, args, output: recorded[name]

    hooks = [module.register_forward_hook(record(name)) for name, module in modules.items()]
    denoiser.epsilon(source, timestep, source_context)
    for hook in hooks:
        hook.remove()
    hooks = [module.register_forward_hook(give(name)) for name, module in modules.items()]
    each = [denoiser.epsilon(one, timestep, text) for one, text in zip(latents.split(1), context.split(1), strict=True)]
    for hook in hooks:
        hook.remove()
    return torch.cat(each)


@pytest.mark.parametrize("shares", [(1, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize("attention", ["sparse_causal", "spatial", "full"])
@torch.no_grad()
def test_one_batch_equals_two_runs_with_recorded_features(
    denoiser, trajectory, context, texts, noisy, close, shares, attention
):
    denoiser.unet.set_modes(attention=attention, group_norm="clip")
    injected = inject(denoiser, trajectory, context, attention=shares[0], features=shares[1])
    for index, timestep in enumerate(trajectory.timesteps, start=1):
        chosen = {"attention": bool(shares[0]), "features": bool(shares[1])}
        source = trajectory.latents[index]
        expected = slowly(denoiser, source, context, noisy, timestep, texts, **chosen)
        close(injected.epsilon(noisy, timestep, texts), expected, 1e-5)
        assert not torch.allclose(expected, denoiser.epsilon(noisy, timestep, texts), atol=1e-3)


@torch.no_grad()
def test_without_guidance_there_is_one_video_beside_the_source(denoiser, trajectory, context, texts, noisy, close):
    injected, timestep = inject(denoiser, trajectory, context, attention=1, features=1), trajectory.timesteps[-1]
    got = injected.epsilon(noisy[:1], timestep, texts[:1])
    close(got, injected.epsilon(noisy, timestep, texts)[:1], 1e-5)


@torch.no_grad()
def test_the_source_under_its_own_text_is_its_own_prediction(denoiser, trajectory, context, close):
    injected = inject(denoiser, trajectory, context, attention=1, features=1)
    for index, timestep in enumerate(trajectory.timesteps, start=1):
        latents = trajectory.latents[index]
        close(injected.epsilon(latents, timestep, context), denoiser.epsilon(latents, timestep, context), 1e-5)


@pytest.mark.parametrize(("first_layer", "first"), [(0, 0), (4, 1), (6, 2), (11, 3)])
@torch.no_grad()
def test_what_is_shared_is_the_first_videos_in_the_chosen_layers_alone(
    denoiser, trajectory, context, texts, noisy, first_layer, first
):
    """Outputs of every layer: the chosen ones are alike in all videos, and no other query or ResNet is."""
    injected = inject(denoiser, trajectory, context, attention=1, features=1, first_layer=first_layer)
    unet, alike = injected.inner.unet, set()
    num_frames = noisy.shape[2]

    def watch(name):
        def see(module, args, output):
            videos = output.unflatten(0, (-1, num_frames))
            if torch.equal(videos[0], videos[1]) and torch.equal(videos[0], videos[2]):
                alike.add(name)

        return see

    for name, module in unet.named_modules():
        if name.endswith(("attn1.to_q", "attn1.to_k", "attn1.to_v", "conv1", "conv2")):
            module.register_forward_hook(watch(name))
    injected.epsilon(noisy, trajectory.timesteps[-1], texts)
    assert alike == set(chosen_layers(unet, first=first))


def test_layers_begin_where_the_setting_says(unet_2d):
    layers = decoder_layers(InflatedUNet.from_2d(unet_2d))
    assert [len(attentions) for _, attentions in layers] == [0, 0, 1, 1]


@torch.no_grad()
def test_steps_take_what_the_schedule_says(denoiser, trajectory, context, texts, noisy):
    batches = []
    injected = inject(denoiser, trajectory, context, attention=0.2, features=0.6)
    inner = injected.inner

    class Spy:
        schedule = denoiser.schedule

        def epsilon(self, latents, timestep, context):
            batches.append((len(latents), injected.attention.on, injected.features.on))
            return inner.epsilon(latents, timestep, context)

    injected.inner = Spy()
    for timestep in reversed(trajectory.timesteps):
        got = injected.epsilon(noisy, timestep, texts)
        assert got.shape == noisy.shape
    assert batches == [(3, True, True), (3, False, True), (3, False, True)]
    assert not injected.attention.on and not injected.features.on


def test_no_schedule_is_the_plain_edit_bit_for_bit(denoiser, trajectory, context, texts):
    config = EditConfig(num_steps=STEPS)
    plain = edit(denoiser, trajectory, texts[1:], texts[:1], config=config)
    injected = inject(denoiser, trajectory, context, attention=0, features=0)
    assert torch.equal(edit(injected, trajectory, texts[1:], texts[:1], config=config), plain)


def test_the_given_unet_and_trajectory_stay_as_they_are(denoiser, trajectory, context, texts):
    config, kept = EditConfig(num_steps=STEPS), trajectory.latents.clone()
    modules = {name: type(module) for name, module in denoiser.unet.named_modules()}
    plain = edit(denoiser, trajectory, texts[1:], texts[:1], config=config)
    injected = inject(denoiser, trajectory, context)
    first = edit(injected, trajectory, texts[1:], texts[:1], config=config)
    assert torch.equal(edit(denoiser, trajectory, texts[1:], texts[:1], config=config), plain)
    assert torch.equal(edit(injected, trajectory, texts[1:], texts[:1], config=config), first)
    assert not torch.allclose(first, plain, atol=1e-3)
    assert modules == {name: type(module) for name, module in denoiser.unet.named_modules()}
    assert torch.equal(trajectory.latents, kept)


def test_weights_are_shared_and_not_copied(denoiser, trajectory, context):
    injected = inject(denoiser, trajectory, context)
    theirs = dict(denoiser.unet.named_parameters())
    ours = dict(injected.inner.unet.named_parameters())
    assert {name: t.data_ptr() for name, t in ours.items()} == {name: t.data_ptr() for name, t in theirs.items()}


def test_an_error_in_the_model_leaves_nothing_switched_on(denoiser, trajectory, context, texts, noisy, monkeypatch):
    injected = inject(denoiser, trajectory, context)

    def fail(*args, **kwargs):
        assert injected.attention.on and injected.features.on
        raise MemoryError

    monkeypatch.setattr(InflatedUNet, "forward", fail)
    with pytest.raises(MemoryError):
        injected.epsilon(noisy, trajectory.timesteps[-1], texts)
    assert not injected.attention.on and not injected.features.on


@pytest.fixture
def long_latents():
    return torch.randn((1, 4, 9, 8, 8), generator=torch.Generator().manual_seed(4))


@torch.no_grad()
def test_windows_inside_take_the_source_of_their_own_frames(unet_2d, schedule, long_latents, context, texts, close):
    """With frames that know nothing of each other, a window changes nothing."""
    apart = UNetDenoiser(unet=InflatedUNet.from_2d(unet_2d, attention="spatial", group_norm="frame"), schedule=schedule)
    windowed = WindowedDenoiser(denoiser=apart, windows=ContextWindows(length=4, overlap=1))
    trajectory = invert(apart, long_latents, context, num_steps=3)
    noisy = torch.randn((2, *long_latents.shape[1:]), generator=torch.Generator().manual_seed(6))
    for timestep in trajectory.timesteps:
        expected = inject(apart, trajectory, context, attention=1, features=1).epsilon(noisy, timestep, texts)
        got = inject(windowed, trajectory, context, attention=1, features=1).epsilon(noisy, timestep, texts)
        close(got, expected, 1e-5)


def test_windows_outside_are_refused(denoiser, long_latents, context):
    trajectory = Trajectory(latents=long_latents[None].expand(4, -1, -1, -1, -1, -1), timesteps=(1, 334, 667))
    windowed = WindowedDenoiser(
        denoiser=inject(denoiser, trajectory, context), windows=ContextWindows(length=4, overlap=1)
    )
    with pytest.raises(LatentsError, match=r"4 frames .* the source's 9 .*inside the injection"):
        windowed.epsilon(long_latents, 667, context)


@torch.no_grad()
def test_recomputing_layers_share_too(denoiser, trajectory, context, texts, noisy, close):
    from tav_core.models.shared_weights import copy_structure
    from tav_core.tuning.recompute import set_recompute

    expected = inject(denoiser, trajectory, context).epsilon(noisy, trajectory.timesteps[-1], texts)
    unet = copy_structure(denoiser.unet)
    set_recompute(unet, "layers")
    again = inject(UNetDenoiser(unet=unet, schedule=denoiser.schedule), trajectory, context)
    got = again.epsilon(noisy, trajectory.timesteps[-1], texts)
    close(got, expected, 1e-6)


def test_the_source_is_where_the_inversion_was(denoiser, trajectory, close):
    schedule = denoiser.schedule
    for index, timestep in enumerate(trajectory.timesteps, start=1):
        alpha = schedule.alpha(timestep)
        got = source_at(trajectory, schedule, ((1 - alpha) / alpha) ** 0.5)
        close(got * alpha**0.5, trajectory.latents[index], 1e-6)


@torch.no_grad()
def test_between_two_steps_the_source_is_on_the_way_of_the_ddim_step(denoiser, trajectory, context, close):
    schedule, last = denoiser.schedule, trajectory.timesteps[-1]
    epsilon = denoiser.epsilon(trajectory.latents[-2], last, context)
    start = schedule.alpha(trajectory.timesteps[-2])
    for timestep in (last - 150, last - 1, last + 1, 999):
        alpha = schedule.alpha(timestep)
        expected = ddim_step(trajectory.latents[-2], epsilon, alpha=start, alpha_to=alpha)
        got = source_at(trajectory, schedule, ((1 - alpha) / alpha) ** 0.5) * alpha**0.5
        close(got, expected, 1e-4)


def test_sources_that_do_not_fit_are_refused(denoiser, trajectory, clip_latents, context, noisy, texts):
    ends = invert(denoiser, clip_latents, context, num_steps=STEPS, keep="ends")
    with pytest.raises(LatentsError, match=r'kept 2 of 6 steps.*keep="all"'):
        inject(denoiser, ends, context)
    two = Trajectory(latents=trajectory.latents.expand(-1, 2, -1, -1, -1, -1), timesteps=trajectory.timesteps)
    with pytest.raises(LatentsError, match="2 videos"):
        inject(denoiser, two, context)
    with pytest.raises(ConfigError, match="no UNet"):
        inject(object(), trajectory, context)
    with pytest.raises(LatentsError, match=r"4 frames of 6x8 latents .* the source's 4 of 8x8"):
        inject(denoiser, trajectory, context).epsilon(noisy[..., :6], trajectory.timesteps[-1], texts)


@pytest.mark.parametrize(("first_layer", "first"), [(0, 0), (3, 0), (4, 1), (6, 3), (9, 6), (11, 8)])
def test_sdxls_layers_are_counted_from_the_finest(first_layer, first):
    """SDXL's decoder lacks the coarsest of the paper's four levels: layer 4 is the second at a quarter of the width."""
    assert InjectionConfig(first_layer=first_layer).first_of(9, num_levels=3) == first
    assert InjectionConfig(first_layer=first_layer).first_of(12) == first_layer


@torch.no_grad()
def test_a_source_is_injected_into_sdxl(sdxl, close):
    told = Conditioning(text=torch.ones(1, 7, 128), pooled_text=torch.ones(1, POOLED))
    other = Conditioning(text=-torch.ones(1, 7, 128), pooled_text=torch.ones(1, POOLED))
    model = UNetDenoiser(unet=InflatedUNet.from_2d(sdxl.unet), schedule=NoiseSchedule.from_config(sdxl.scheduler))
    clip = torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    trajectory = invert(model, clip, told, num_steps=2)
    injected, timestep = inject(model, trajectory, told, attention=1, features=1), trajectory.timesteps[-1]
    source = trajectory.latents[-1]
    close(injected.epsilon(source, timestep, told), model.epsilon(source, timestep, told), 1e-5)
    assert (injected.epsilon(source, timestep, other) - model.epsilon(source, timestep, other)).abs().max() > 1e-4
