"""tav_core/denoisers/control.py: stock 2-D nets on a video, against diffusers' own loop over its frames."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter
from diffusers.models import modeling_utils

from tav_core.denoisers.config import ControlConfig
from tav_core.denoisers.control import Control, add_controls
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.residuals import cell_means, share_done
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import CheckpointError, ClipError, ConfigError, LatentsError
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert

NUM_FRAMES = 4


def noise_up(module, seed):
    """Weights that are not zero, where a ControlNet has zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module.eval().requires_grad_(False)


@pytest.fixture
def controlnet(unet_2d):
    return noise_up(ControlNetModel.from_unet(unet_2d, conditioning_embedding_out_channels=(4, 8, 8, 8)), 1)


@pytest.fixture
def adapter(unet_2d):
    return noise_up(T2IAdapter(in_channels=3, channels=list(unet_2d.config.block_out_channels)), 2)


@pytest.fixture(params=["controlnet", "adapter"])
def net(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def apart(unet_2d, schedule):
    """A denoiser whose frames know nothing of each other: the 2-D model."""
    unet = InflatedUNet.from_2d(unet_2d, attention="spatial", group_norm="frame")
    return UNetDenoiser(unet=unet, schedule=schedule)


def control_frames(num_frames=NUM_FRAMES, height=64, width=64, seed=3):
    return torch.rand((num_frames, height, width, 3), generator=torch.Generator().manual_seed(seed))


def inside(residual, mask):
    """A residual `b c h w` times the mean of a mask `h w` over each of its cells."""
    height, width = residual.shape[2:]
    rows, columns = mask.shape[0] // height, mask.shape[1] // width
    return residual * mask.unfold(0, rows, rows).unfold(1, columns, columns).mean((-2, -1))


def stock(unet_2d, nets, latents, timestep, context, mask=None):
    """diffusers' maths on one frame after the other: nets are (net, frames, scale); a mask is `f h w`."""
    outputs = []
    for index in range(latents.shape[2]):
        frame, sums = latents[:, :, index], {}
        for net, frames, scale in nets:
            hint = frames[index].permute(2, 0, 1)[None].expand(len(latents), -1, -1, -1)
            if isinstance(net, T2IAdapter):
                add = {"down_intrablock_additional_residuals": [x * scale for x in net(hint)]}
            else:
                out = net(frame, timestep, context, hint, conditioning_scale=scale)
                add = {"down_block_additional_residuals": out.down_block_res_samples}
                add["mid_block_additional_residual"] = [out.mid_block_res_sample]
            if mask is not None:
                add = {name: [inside(x, mask[index]) for x in residuals] for name, residuals in add.items()}
            sums = {n: [a + b for a, b in zip(sums[n], v, strict=True)] if n in sums else v for n, v in add.items()} | {
                n: v for n, v in sums.items() if n not in add
            }
        if "mid_block_additional_residual" in sums:
            (sums["mid_block_additional_residual"],) = sums["mid_block_additional_residual"]
        outputs.append(unet_2d(frame, timestep, context, **sums).sample)
    return torch.stack(outputs, dim=2)


@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
@torch.no_grad()
def test_each_frame_is_the_stock_model_with_the_stock_net(unet_2d, apart, net, size, close):
    """Two videos in a batch, as under guidance, with one text each."""
    latents, context = torch.randn(2, 4, NUM_FRAMES, *size), torch.randn(2, 7, 32)
    frames = control_frames(height=8 * size[0], width=8 * size[1])
    controlled = add_controls(apart, [Control(net=net, frames=frames, config=ControlConfig(scale=0.7))])
    expected = stock(unet_2d, [(net, frames, 0.7)], latents, 481, context)
    close(controlled.predict(latents, 481, context), expected, 1e-5)
    assert (expected - apart.predict(latents, 481, context)).abs().max() > 1e-2


@torch.no_grad()
def test_a_mask_leaves_the_rest_of_the_picture_alone(unet_2d, apart, net, close):
    latents, context = torch.randn(2, 4, NUM_FRAMES, 8, 8), torch.randn(2, 7, 32)
    frames, mask = control_frames(), (torch.rand(NUM_FRAMES, 64, 64) > 0.5).float()
    controlled = add_controls(apart, [Control(net=net, frames=frames, mask=mask)])
    expected = stock(unet_2d, [(net, frames, 1)], latents, 481, context, mask)
    close(controlled.predict(latents, 481, context), expected, 1e-5)
    assert (expected - stock(unet_2d, [(net, frames, 1)], latents, 481, context)).abs().max() > 1e-2


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 8), (5, 9, 16), (3, 5, 32), (2, 3, 64)])
def test_a_cell_counts_by_the_pixels_that_are_its_own(height, width, side):
    """Also where a side is no multiple of a level's cells, as in 512x288 and 848x480: the last cells reach beyond."""
    mask = torch.zeros(1, 64 if height == 8 else 72, 64 if width == 8 else 136)
    mask[:, :, :side] = 1
    means = cell_means(mask, height, width)
    assert means.shape == (1, height, width)
    assert torch.equal(means[..., 0], torch.ones(1, height)) and not means[..., 1:].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mask_is_cut_into_cells_in_half_precision(dtype):
    mask = torch.rand(2, 72, 72)
    torch.testing.assert_close(cell_means(mask.to(dtype), 5, 5).float(), cell_means(mask, 5, 5), rtol=0, atol=0.01)


def test_a_net_without_places_takes_no_mask(apart, unet_2d):
    net = ControlNetModel.from_unet(unet_2d, conditioning_embedding_out_channels=(4, 8, 8, 8))
    net.register_to_config(global_pool_conditions=True)
    add_controls(apart, [Control(net=net, frames=control_frames())])
    with pytest.raises(CheckpointError, match="one value for the whole picture"):
        add_controls(apart, [Control(net=net, frames=control_frames(), mask=torch.ones(1, 64, 64))])


@torch.no_grad()
def test_one_mask_serves_all_frames(apart, net, close):
    latents, context, mask = torch.randn(1, 4, NUM_FRAMES, 8, 8), torch.randn(1, 7, 32), torch.rand(1, 64, 64)
    led = [
        add_controls(apart, [Control(net=net, frames=control_frames(), mask=each)]).predict(latents, 481, context)
        for each in (mask, mask.repeat(NUM_FRAMES, 1, 1))
    ]
    close(led[0], led[1], 1e-6)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(NUM_FRAMES, 32, 64), "64x32 pixels"),
        (torch.ones(2, 64, 64), "2 frames for a clip of 4"),
        (255 * torch.ones(1, 64, 64), "from 255 to 255"),
        (torch.ones(64, 64), "shape"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(net, mask, words):
    with pytest.raises(ClipError, match=words):
        Control(net=net, frames=control_frames(), mask=mask)


@torch.no_grad()
def test_several_controls_add_up(unet_2d, apart, controlnet, adapter, close):
    latents, context = torch.randn(1, 4, NUM_FRAMES, 8, 8), torch.randn(1, 7, 32)
    nets = [(controlnet, control_frames(seed=s), scale) for s, scale in ((1, 0.5), (2, 1.0))]
    nets += [(adapter, control_frames(seed=s), scale) for s, scale in ((3, 0.8), (4, 0.3))]
    controls = [Control(net=net, frames=f, config=ControlConfig(scale=scale)) for net, f, scale in nets]
    expected = stock(unet_2d, nets, latents, 21, context)
    close(add_controls(apart, controls).predict(latents, 21, context), expected, 1e-5)
    one_by_one = apart
    for control in controls:
        one_by_one = add_controls(one_by_one, [control])
    close(one_by_one.predict(latents, 21, context), expected, 1e-5)


@pytest.mark.parametrize("config", [{"scale": 0}, {"end": 0}, {"start": 1}, {"start": 0.5, "end": 0.5}])
def test_a_control_that_never_counts_is_none_at_all(denoiser, net, clip_latents, context, config):
    controlled = add_controls(denoiser, [Control(net=net, frames=control_frames(), config=ControlConfig(**config))])
    expected = invert(denoiser, clip_latents, context, num_steps=4)
    assert torch.equal(invert(controlled, clip_latents, context, num_steps=4).latents, expected.latents)


@pytest.mark.parametrize("num_steps", [10, 20, 50])
@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 0.5), (0.3, 1), (0.3, 0.7), (0.1, 0.9), (0.6, 0.6)])
def test_start_and_end_are_shares_of_the_steps(schedule, num_steps, start, end):
    """As diffusers' pipelines count them: a step counts whole, if it is inside."""
    config = ControlConfig(start=start, end=end)
    counts = [config.counts_at(share_done(t, schedule)) for t in reversed(schedule.timesteps(num_steps))]
    pipelines = [not (i / num_steps < start or (i + 1) / num_steps > end) for i in range(num_steps)]
    assert counts == pipelines


def test_every_timestep_counts_by_default(schedule):
    assert all(ControlConfig().counts_at(share_done(t, schedule)) for t in range(1000))


@torch.no_grad()
def test_start_and_end_reach_the_model(apart, net, context):
    latents, frames = torch.randn(1, 4, NUM_FRAMES, 8, 8), control_frames()
    first_half = add_controls(apart, [Control(net=net, frames=frames, config=ControlConfig(end=0.5))])
    always = add_controls(apart, [Control(net=net, frames=frames)])
    assert torch.equal(first_half.epsilon(latents, 981, context), always.epsilon(latents, 981, context))
    assert torch.equal(first_half.epsilon(latents, 1, context), apart.epsilon(latents, 1, context))


@torch.no_grad()
def test_windows_take_the_control_frames_of_their_own_frames(apart, net, context, close):
    """With frames that know nothing of each other, windows must change nothing."""
    latents, frames = torch.randn(1, 4, 11, 8, 8), control_frames(11)
    controlled = add_controls(apart, [Control(net=net, frames=frames, mask=torch.rand(11, 64, 64))])
    windowed = WindowedDenoiser(denoiser=controlled, windows=ContextWindows(length=4, overlap=1))
    for timestep in (1, 481, 981):
        expected = controlled.epsilon(latents, timestep, context)
        close(windowed.epsilon(latents, timestep, context), expected, 1e-5)


def test_controls_lead_an_edit_under_guidance(denoiser, net, clip_latents, context):
    config = EditConfig(num_steps=2, guidance_scale=4)
    run = lambda model: edit(model, clip_latents, context, -context, config=config)  # noqa: E731
    controlled = add_controls(denoiser, [Control(net=net, frames=control_frames())])
    assert not torch.equal(run(controlled), run(denoiser))
    back_to_front = add_controls(denoiser, [Control(net=net, frames=control_frames().flip(0))])
    assert not torch.equal(run(back_to_front), run(controlled))


@torch.no_grad()
def test_attention_across_frames_inside_the_controlnet(apart, controlnet, context):
    """A change of control frame 0 reaches the others only through the mode that looks at it."""
    latents, frames = torch.randn(1, 4, NUM_FRAMES, 8, 8), control_frames()
    other = torch.cat([1 - frames[:1], frames[1:]])
    for attention, reached in {"spatial": False, "first": True}.items():
        config = ControlConfig(attention=attention)
        before, after = (
            add_controls(apart, [Control(net=controlnet, frames=f, config=config)]).predict(latents, 481, context)
            for f in (frames, other)
        )
        assert ((after - before)[:, :, 1:].abs().max() > 1e-6) == reached


@torch.no_grad()
def test_an_adapter_looks_at_the_clip_once(denoiser, adapter, clip_latents, context):
    calls, counted = [], T2IAdapter.forward

    class Counting(T2IAdapter):
        def forward(self, hint):
            calls.append(len(hint))
            return counted(self, hint)

    adapter.__class__ = Counting
    controlled = add_controls(denoiser, [Control(net=adapter, frames=control_frames())])
    invert(controlled, clip_latents, context, num_steps=5)
    assert calls == [NUM_FRAMES]


@torch.no_grad()
def test_a_long_clip_goes_through_an_adapter_in_parts(apart, adapter, close):
    frames = control_frames(35)
    (ready,) = add_controls(apart, [Control(net=adapter, frames=frames)]).controls
    for got, expected in zip(ready.features, adapter(frames.permute(0, 3, 1, 2)), strict=True):
        close(got, expected, 1e-6)


def test_grey_nets_get_the_mean_and_colour_ones_grey_three_times(apart, unet_2d):
    widths = list(unet_2d.config.block_out_channels)
    grey = noise_up(T2IAdapter(in_channels=1, channels=widths), 3)
    colour = noise_up(T2IAdapter(in_channels=3, channels=widths), 4)
    frames = control_frames(2)
    features = lambda net, f: add_controls(apart, [Control(net=net, frames=f)]).controls[0].features  # noqa: E731
    mean = frames.mean(-1, keepdim=True)
    pairs = [(features(grey, frames), features(grey, mean))]
    pairs += [(features(colour, mean), features(colour, mean.expand(-1, -1, -1, 3)))]
    for one, other in pairs:
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_nets_frames_and_denoiser_stay_as_they_are(denoiser, net, clip_latents, context):
    frames, before = control_frames(), {n: t.clone() for n, t in net.state_dict().items()}
    processors = [type(m.processor).__name__ for m in net.modules() if hasattr(m, "processor")]
    kept = frames.clone()
    config = ControlConfig(attention="full")
    controlled = add_controls(denoiser, [Control(net=net, frames=frames, config=config)])
    invert(controlled, clip_latents, context, num_steps=2)
    assert torch.equal(frames, kept)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    assert processors == [type(m.processor).__name__ for m in net.modules() if hasattr(m, "processor")]
    assert denoiser.controls == ()


@torch.no_grad()
def test_half_precision(apart, net, context, close, monkeypatch):
    latents, frames = torch.randn(1, 4, NUM_FRAMES, 8, 8), control_frames()
    expected = add_controls(apart, [Control(net=net, frames=frames)]).epsilon(latents, 481, context)
    half = dataclasses.replace(apart, unet=apart.unet.to(torch.bfloat16))
    # Nothing to warn of: see unet.cast.
    monkeypatch.setattr(modeling_utils.logger, "warning", pytest.fail)
    got = add_controls(half, [Control(net=net, frames=frames)]).epsilon(latents, 481, context)
    assert next(net.parameters()).dtype == torch.float32
    close(got, expected, 5e-2)


@pytest.mark.parametrize(
    ("num_frames", "size", "message"),
    [
        (5, (64, 64), "control of 5 frames of 64x64 for 4 frames of 64x64"),
        (4, (64, 128), r"4 frames of 128x64 for 4 frames of 64x64.*same start, stride"),
    ],
)
def test_control_frames_of_another_number_or_size_are_refused(denoiser, net, context, num_frames, size, message):
    controlled = add_controls(denoiser, [Control(net=net, frames=control_frames(num_frames, *size))])
    with pytest.raises(LatentsError, match=message):
        controlled.epsilon(torch.randn(1, 4, 4, 8, 8), 481, context)
    # Frames that windows pick would fit, and be those of another time.
    windowed = WindowedDenoiser(denoiser=controlled, windows=ContextWindows(length=2, overlap=0))
    with pytest.raises(LatentsError, match=message):
        windowed.epsilon(torch.randn(1, 4, 4, 8, 8), 481, context)


def test_nets_of_another_family_are_refused(denoiser, unet_2d):
    frames = control_frames()
    wide = ControlNetModel.from_config({**ControlNetModel.from_unet(unet_2d).config, "cross_attention_dim": 48})
    with pytest.raises(CheckpointError, match=r"its cross_attention_dim is 48.*Expected 32.*1\.x.*768"):
        add_controls(denoiser, [Control(net=wide, frames=frames)])
    narrow = T2IAdapter(in_channels=3, channels=[32] * len(unet_2d.config.block_out_channels))
    with pytest.raises(CheckpointError, match=r"T2I-Adapter for another model.*\(32, 8, 8\).*Expected \[.*1\.x or XL"):
        add_controls(denoiser, [Control(net=narrow, frames=frames)])
    odd = T2IAdapter(in_channels=4, channels=list(unet_2d.config.block_out_channels))
    with pytest.raises(CheckpointError, match="control frames of 4 channels"):
        add_controls(denoiser, [Control(net=odd, frames=frames)])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.rand(4, 3, 64, 64), "shape"),
        (torch.zeros(4, 64, 64, 3, dtype=torch.uint8), "uint8"),
        (255 * torch.ones(4, 64, 64, 3), "to 255.*by 255"),
        (torch.full((4, 64, 64, 3), float("nan")), "nan"),
    ],
)
def test_frames_that_are_none_are_refused(controlnet, frames, message):
    with pytest.raises(ClipError, match=message):
        Control(net=controlnet, frames=frames)


@pytest.mark.parametrize("wrong", [{"scale": -1}, {"start": 1.5}, {"start": 0.6, "end": 0.5}, {"attention": "all"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        ControlConfig(**wrong)
