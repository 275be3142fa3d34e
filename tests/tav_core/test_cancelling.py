"""tav_core/cancelling.py: whatever takes long asks its host, often, whether to go on."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from safetensors.torch import save_file

from tav_core.cancelling import cancellable, cancelled_by, check_cancelled
from tav_core.errors import ConfigError
from tav_core.evaluation.report import ReportVideo, write_report
from tav_core.metrics.images import encode_in_batches
from tav_core.metrics.measure import measure_video
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.sampling.blend import blend
from tav_core.sampling.config import EditConfig, LocalEditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.local_edit import composite, edit_mask
from tav_core.tensor_files import load_tensors
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import hash_base
from tav_core.tuning.tune import tune
from tav_core.video.audio import read_audio
from tav_core.video.clip import read_clip
from tav_core.video.sizes import resize_frames
from tav_core.video.write import write_video
from tests.tav_core.video.test_audio import write_clip

FRAMES, SIZE = 24, 32
FAST = {"learning_rate": 1e-3, "memory": "speed", "save_every": 0}


class Cancelled(BaseException):
    """As ComfyUI's: no Exception, so that no handler takes it for an error."""


class Host:
    """Counts how often it is asked, and cancels at one of the calls."""

    def __init__(self, cancel_at: float = float("inf")) -> None:
        self.asked, self.cancel_at = 0, cancel_at

    def __call__(self) -> None:
        self.asked += 1
        if self.asked >= self.cancel_at:
            raise Cancelled


def test_without_a_host_nobody_is_asked():
    check_cancelled()
    assert list(cancellable("abc")) == ["a", "b", "c"]


def test_a_host_is_asked_before_each_item_and_only_within():
    host, other = Host(cancel_at=3), Host()
    taken = []
    with cancelled_by(other):
        with pytest.raises(Cancelled), cancelled_by(host):
            for item in cancellable("abc"):
                taken.append(item)
        assert (taken, host.asked, other.asked) == (["a", "b"], 3, 0)
        check_cancelled()
    check_cancelled()
    assert (host.asked, other.asked) == (3, 1)


@pytest.fixture
def frames():
    return torch.rand(FRAMES, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def video(tmp_path, frames):
    return write_video(tmp_path / "clip.mp4", frames.numpy(), fps=8)


@pytest.fixture
def work(tmp_path, frames, video, small, denoiser, clip_latents, context):
    """name: (work that may take long, how often it asks at least)."""
    folder, weights = tmp_path / "folder", tmp_path / "weights.safetensors"
    write_video(folder, frames.numpy(), fps=8)
    write_video(tmp_path / "clip.webp", frames.numpy(), fps=8)
    save_file({str(i): torch.zeros(2) for i in range(10)}, weights)
    vae, shape = small.vae, {"num_frames": FRAMES, "width": SIZE, "height": SIZE}
    start = invert(denoiser, clip_latents, context, num_steps=3)
    half = edit_mask(torch.ones(FRAMES, SIZE, SIZE), LocalEditConfig(), num_frames=FRAMES, height=SIZE, width=SIZE)
    blocks = len(denoiser.unet.blocks())
    last = {"num_frames": 1, "start": FRAMES - 1, "width": SIZE, "height": SIZE}
    return {
        "reading a video": (lambda: read_clip(video, **shape), 2 * FRAMES),
        "skipping to its last frame": (lambda: read_clip(video, **last), 2 * FRAMES),
        "reading an animation": (lambda: read_clip(tmp_path / "clip.webp", **shape), FRAMES),
        "reading a folder": (lambda: read_clip(folder, **shape), FRAMES),
        "resizing": (lambda: resize_frames(frames, 16, 16), FRAMES),
        "writing mp4": (lambda: write_video(tmp_path / "out.mp4", frames.numpy(), fps=8), FRAMES),
        "writing gif": (lambda: write_video(tmp_path / "out.gif", frames.numpy(), fps=8), FRAMES),
        "writing webp": (lambda: write_video(tmp_path / "out.webp", frames.numpy(), fps=8), FRAMES),
        "writing a folder": (lambda: write_video(tmp_path / "out", frames.numpy(), fps=8), FRAMES),
        "a report": (
            lambda: write_report(tmp_path / "r.html", [ReportVideo(label="a", frames=frames)] * 2, fps=8),
            2 * FRAMES,
        ),
        "encoding": (lambda: encode_frames(vae, frames), FRAMES),
        "decoding": (lambda: decode_latents(vae, torch.zeros(1, 4, FRAMES, 2, 2)), FRAMES),
        "measuring the motion": (lambda: measure_video(frames), 2 * FRAMES),
        "encoding images": (lambda: encode_in_batches(lambda part: part.flatten(1), frames), FRAMES // 8),
        "reading tensors": (lambda: load_tensors(weights, error=ConfigError, what="weights"), 10),
        "hashing": (lambda: hash_base(denoiser.unet), len(denoiser.unet.state_dict()) // 2),
        "inverting": (lambda: invert(denoiser, clip_latents, context, num_steps=3), 3 * blocks),
        "editing": (
            lambda: edit(denoiser, start, context, context, config=EditConfig(num_steps=3)),
            3 * blocks,
        ),
        "blending": (lambda: blend(start, start, 0.5), 4),
        "composing": (lambda: composite(frames, frames, half, feather=4), FRAMES // 8),
        "a step of tuning": (lambda: tune(denoiser, clip_latents, context, config=TuneConfig(num_steps=1)), 2 * blocks),
    }


WORK = (
    "reading a video",
    "skipping to its last frame",
    "reading an animation",
    "reading a folder",
    "resizing",
    "writing mp4",
    "writing gif",
    "writing webp",
    "writing a folder",
    "a report",
    "encoding",
    "decoding",
    "measuring the motion",
    "encoding images",
    "reading tensors",
    "hashing",
    "inverting",
    "editing",
    "blending",
    "composing",
    "a step of tuning",
)


@pytest.mark.parametrize("name", WORK)
def test_long_work_asks_for_each_of_its_parts_and_ends_when_told(work, name):
    run, least = work[name]
    counted = Host()
    with cancelled_by(counted):
        run()
    assert counted.asked >= least
    for cancel_at in (1, counted.asked // 2 + 1, counted.asked):
        host = Host(cancel_at)
        with pytest.raises(Cancelled), cancelled_by(host):
            run()
        assert host.asked == cancel_at


def test_every_kind_of_work_is_tried(work):
    assert tuple(work) == WORK


def test_the_sound_of_a_long_video(tmp_path):
    path, host = tmp_path / "sound.mp4", Host()
    write_clip(path, seconds=4)
    with cancelled_by(host):
        assert read_audio(path, start=0, duration=4) is not None
    assert host.asked > 5


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.95])
def test_a_run_cancelled_within_a_step_is_saved_at_the_step_before(
    untuned, clip_latents, context, tmp_path, share, monkeypatch
):
    """In the forward pass or the backward pass: queued again, it gives the same weights as an unbroken run."""
    whole, counted, asked = tmp_path / "whole.safetensors", Host(), []
    with cancelled_by(counted):
        count = {"state_path": whole, "on_step": lambda _: asked.append(counted.asked)}
        tune(untuned, clip_latents, context, config=TuneConfig(num_steps=3, **FAST), **count)
    _, second, third = asked
    broken, host = tmp_path / "broken.safetensors", Host(second + round(share * (third - second)))
    given = (untuned, clip_latents, context)
    with pytest.raises(Cancelled), cancelled_by(host):
        tune(*given, config=TuneConfig(num_steps=3, **FAST), state_path=broken)
    _, about = load_tensors(broken, error=ConfigError, what="a state")
    assert about["step"] == "2"
    tune(*given, config=TuneConfig(num_steps=3, **FAST), state_path=broken)
    (one, _), (other, _) = (load_tensors(path, error=ConfigError, what="a state") for path in (whole, broken))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_no_host_costs_the_backward_pass_nothing(untuned, clip_latents, context):
    with patch("torch.Tensor.register_hook") as hooks:
        tune(untuned, clip_latents, context, config=TuneConfig(num_steps=1, **FAST))
    hooks.assert_not_called()
