"""tav_core/sampling/local_edit.py: everything outside the mask and the frames is restored, and the rest is edited."""

from __future__ import annotations

import pytest
import torch

from tav_core.errors import ClipError, ConfigError
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.config import EditConfig, LocalEditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.local_edit import composite, edit_mask, feather_mask, frame_ramp, keep_outside, latent_mask
from tav_core.sampling.trajectory import Trajectory

STEPS = 3
EDIT = EditConfig(num_steps=STEPS, guidance_scale=7.5)
SHAPE = {"num_frames": 4, "height": 64, "width": 64}


def box(num_frames=1, height=64, width=64, *, top=24, bottom=40, left=16, right=40, value=1.0):
    """A mask with a rectangle in it, whose edges are the latents' too."""
    mask = torch.zeros(num_frames, height, width)
    mask[:, top:bottom, left:right] = value
    return mask


@pytest.fixture
def trajectory(denoiser, clip_latents, context):
    return invert(denoiser, clip_latents, context, num_steps=STEPS)


@pytest.fixture
def texts():
    return torch.randn((2, 7, 32), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def run(denoiser, trajectory, texts, context):
    """Renders the two prompts: run(mask, feather=0, config=EDIT)."""

    def render(mask, config=EDIT, **how):
        correct = None if mask is None else keep_outside(trajectory, mask, **{"feather": 0, **how})
        return edit(denoiser, trajectory, texts, context, config=config, correct=correct)

    return render


def test_a_mask_goes_with_the_inversions_steps_alone(denoiser, trajectory, texts, context):
    from diffusers import EulerDiscreteScheduler

    correct, noise = keep_outside(trajectory, box(), feather=0), gaussian_noise(trajectory.noise.shape, 1)
    for num_steps in (STEPS - 1, STEPS + 1):
        with pytest.raises(ConfigError, match=f"{num_steps} sampling steps for an inversion of {STEPS}"):
            edit(denoiser, noise, texts, context, config=EditConfig(num_steps=num_steps), correct=correct)
    with pytest.raises(ConfigError, match="a mask with EulerDiscreteScheduler"):
        edit(denoiser, noise, texts, context, config=EDIT, correct=correct, scheduler=EulerDiscreteScheduler())


def test_outside_the_mask_the_latents_are_the_clips(run, clip_latents):
    latents, inside = run(box()), torch.zeros(8, 8, dtype=torch.bool)
    inside[3:5, 2:5] = True
    assert torch.equal(latents[..., ~inside], clip_latents[..., ~inside].expand(2, -1, -1, -1))
    assert float((latents - clip_latents)[..., inside].abs().min()) > 0


def test_each_step_has_the_inversions_latents_outside(denoiser, trajectory, texts, context):
    """A plain twin: blended by hand after each step, at the noise that the step has reached."""
    mask, seen = box(4, top=0, bottom=24), []
    mask[2:] = 0.25
    correct = keep_outside(trajectory, mask, feather=0)
    weights = torch.zeros(4, 8, 8)
    weights[:2, :3, 2:5], weights[2:] = 1, 0.25
    for left in range(STEPS):
        latents = gaussian_noise((1, 4, 4, 8, 8), seed=left)
        torch.testing.assert_close(
            correct(latents, left), weights * latents + (1 - weights) * trajectory.latents[left], rtol=0, atol=1e-6
        )
    edit(
        denoiser,
        trajectory,
        texts,
        context,
        config=EDIT,
        correct=lambda latents, left: seen.append(left) or correct(latents, left),
        on_step=lambda done, total, latents: seen.append(latents[:, :, :2, 3:].clone()),
    )
    assert seen[::2] == [2, 1, 0, 2, 1, 0]
    for left, latents in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(latents, trajectory.latents[left][:, :, :2, 3:])


def test_a_mask_of_ones_changes_nothing(run):
    assert torch.equal(run(torch.ones(1, 64, 64), feather=8), run(None))


def test_eta_keeps_the_outside_too(run, clip_latents):
    noisy = EditConfig(num_steps=STEPS, guidance_scale=7.5, eta=1.0)
    latents = run(box(), config=noisy)
    assert torch.equal(latents[..., :2], clip_latents[..., :2].expand(2, -1, -1, -1, -1))
    assert not torch.equal(latents, run(box()))


def test_frames_outside_the_range_come_back_bit_identical(run, clip_latents):
    mask = edit_mask(None, LocalEditConfig(first_frame=1, last_frame=2, ramp=0), **SHAPE)
    latents = run(mask)
    for frame, edited in enumerate((False, True, True, False)):
        same = torch.equal(latents[:, :, frame], clip_latents[:, :, frame].expand(2, -1, -1, -1))
        assert same != edited, frame
    source, rendered = torch.rand(4, 64, 64, 3), torch.rand(4, 64, 64, 3)
    merged = composite(source, rendered, mask)
    assert torch.equal(merged[[0, 3]], source[[0, 3]]) and torch.equal(merged[1:3], rendered[1:3])


def test_inputs_stay_bit_identical(denoiser, trajectory, texts, context):
    mask, source, rendered = box(), torch.rand(4, 64, 64, 3), torch.rand(4, 64, 64, 3)
    given = [mask, source, rendered, trajectory.latents]
    before = [x.clone() for x in given]
    edit(denoiser, trajectory, texts, context, config=EDIT, correct=keep_outside(trajectory, mask, feather=8))
    composite(source, rendered, mask, feather=8)
    assert all(torch.equal(x, y) for x, y in zip(before, given, strict=True))


@pytest.mark.parametrize(
    ("first", "last", "ramp", "expected"),
    [
        (2, 6, 2, [0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0]),
        (2, 7, 3, [0, 0, 1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
        (0, 4, 1, [1, 1, 1, 1, 1 / 2, 0, 0, 0]),
        (0, 7, 4, [1] * 8),
        (3, 3, 0, [0, 0, 0, 1, 0, 0, 0, 0]),
        (2, 3, 3, [0, 0, 1 / 4, 1 / 4, 0, 0, 0, 0]),
    ],
)
def test_ramps_lie_within_the_frames(first, last, ramp, expected):
    torch.testing.assert_close(frame_ramp(8, first, last, ramp), torch.tensor(expected, dtype=torch.float32))


def test_mask_and_frames_combine_as_a_product():
    mask = edit_mask(box(value=0.5), LocalEditConfig(first_frame=1, ramp=1), **SHAPE)
    ramp = torch.tensor([0, 0.5, 1, 1])
    assert torch.equal(mask, box(4, value=0.5) * ramp[:, None, None])


@pytest.mark.parametrize("feather", [0, 1, 2, 5, 8, 40])
def test_feather_falls_to_nothing_beyond_its_reach(feather):
    mask = box(height=96, width=128, top=40, bottom=56, left=40, right=80)
    soft = feather_mask(mask, feather)
    assert torch.equal(soft[mask == 1], mask[mask == 1])
    beyond = torch.zeros_like(mask)
    beyond[:, max(40 - feather, 0) : 56 + feather, max(40 - feather, 0) : 80 + feather] = 1
    assert torch.equal(soft > 0, beyond > 0)
    row = soft[0, 48, 79 : 80 + feather]
    assert (row.diff() <= 1e-6).all()
    if feather == 8:
        torch.testing.assert_close(row, torch.linspace(1, 1 / 9, 9))


def test_feather_equals_a_plain_twin_and_knows_nothing_beyond_the_picture():
    mask, feather = (torch.rand(1, 20, 24, generator=torch.Generator().manual_seed(1)) > 0.9).float(), 5
    grown, soft = torch.zeros(20, 24), torch.zeros(20, 24)
    around = lambda y, x, r: (slice(max(y - r, 0), y + r + 1), slice(max(x - r, 0), x + r + 1))  # noqa: E731
    for y in range(20):
        for x in range(24):
            grown[y, x] = mask[0][around(y, x, 3)].max()
    for y in range(20):
        for x in range(24):
            soft[y, x] = grown[around(y, x, 2)].mean()
    torch.testing.assert_close(feather_mask(mask, feather)[0], torch.maximum(soft, mask[0]))
    assert torch.equal(feather_mask(torch.ones(1, 20, 24), 8), torch.ones(1, 20, 24))


def test_no_cell_that_the_mask_touches_is_lost():
    mask = torch.zeros(2, 40, 56)
    mask[0, 8, 15], mask[1, 39, 55] = 1, 0.5
    cells = latent_mask(mask, 0)
    expected = torch.zeros(2, 5, 7)
    expected[0, 1, 1], expected[1, 4, 6] = 1, 0.5
    assert torch.equal(cells, expected)


def test_cells_in_the_soft_edge_count_by_their_mean():
    mask = box(top=24, bottom=40, left=24, right=40)
    cells = latent_mask(mask, 8)[0]
    assert torch.equal(cells[3:5, 3:5], torch.ones(2, 2))
    torch.testing.assert_close(cells[3, 5], torch.linspace(8 / 9, 1 / 9, 8).mean())
    assert torch.equal(cells[:2], torch.zeros(2, 8))


def test_composite_is_exact_inside_and_outside():
    # Squared, because differences of torch.rand's own values are exact.
    source, rendered = torch.rand(2, 4, 40, 56, 3).square()
    mask = box(height=40, width=56, top=11, bottom=20, left=13, right=30)
    soft = feather_mask(mask, 6).expand(4, -1, -1)
    merged = composite(source, rendered, mask, feather=6)
    assert torch.equal(merged[soft == 0], source[soft == 0])
    assert torch.equal(merged[soft == 1], rendered[soft == 1])
    torch.testing.assert_close(merged, soft[..., None] * rendered + (1 - soft[..., None]) * source)


def test_a_mask_needs_the_whole_inversion(denoiser, clip_latents, context):
    ends = invert(denoiser, clip_latents, context, num_steps=STEPS, keep="ends")
    with pytest.raises(ConfigError, match=r'2 latents for 3 steps.*keep="all"'):
        keep_outside(ends, box())
    with pytest.raises(ConfigError, match=r"a mask for a start of noise.*Invert the clip"):
        keep_outside(ends.noise, box())
    one = invert(denoiser, clip_latents, context, num_steps=1, keep="ends")
    assert torch.equal(keep_outside(one, box(), feather=0)(clip_latents + 1, 0)[..., :2], clip_latents[..., :2])


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(3, 64, 64), r"a mask of 3 frames for a clip of 4.*same start and stride"),
        (torch.ones(4, 64, 60), r"60x64 pixels.*64x64 pixels.*Scale or crop"),
        (torch.ones(64, 64), r"shape \(64, 64\).*f h w"),
        (torch.ones(1, 64, 64) * 255, r"from 255 to 255.*Divide bytes by 255"),
        (torch.full((1, 64, 64), float("nan")), r"from nan to nan"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(trajectory, mask, words):
    source = torch.rand(4, 64, 64, 3)
    for use in (
        lambda: keep_outside(trajectory, mask),
        lambda: composite(source, source, mask),
        lambda: edit_mask(mask, LocalEditConfig(), **SHAPE),
    ):
        with pytest.raises(ClipError, match=words):
            use()


def test_an_empty_mask_is_refused():
    mask = box(4)
    mask[2:] = 0
    with pytest.raises(ConfigError, match=r"0 everywhere.*invert the mask"):
        edit_mask(mask, LocalEditConfig(first_frame=2), **SHAPE)


@pytest.mark.parametrize("frames", [{"first_frame": 4}, {"last_frame": 4}, {"first_frame": 3, "last_frame": 2}])
def test_frames_that_the_clip_has_not_are_refused(frames):
    with pytest.raises(ConfigError, match=r"in a clip of 4.*from 0 to 3"):
        edit_mask(None, LocalEditConfig(**frames), **SHAPE)


def test_videos_of_two_shapes_are_refused():
    with pytest.raises(ClipError, match=r"\(4, 64, 64, 3\).* and edited ones of \(3, 64, 64, 3\)"):
        composite(torch.rand(4, 64, 64, 3), torch.rand(3, 64, 64, 3), box())


@pytest.mark.parametrize("feather", [-1, 2.5, 513])
def test_a_feather_out_of_range_is_refused_wherever_it_is_given(feather):
    with pytest.raises(ConfigError, match=rf"feather {feather}"):
        composite(torch.rand(4, 64, 64, 3), torch.rand(4, 64, 64, 3), box(), feather=feather)
    way = Trajectory(latents=torch.rand(3, 1, 4, 4, 8, 8), timesteps=(1, 501))
    with pytest.raises(ConfigError, match=rf"feather {feather}"):
        keep_outside(way, box(), feather=feather)


@pytest.mark.parametrize("wrong", [{"feather": -1}, {"ramp": -1}, {"first_frame": -1}, {"last_frame": -2}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        LocalEditConfig(**wrong)
