"""What grows with prompts and clips, and what must not: the UNet's runs, the texts encoded, the memory held."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from benchmarks.growth import slope
from tav_core import encode_prompt, load_checkpoint
from tav_core.cli.main import main
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.tune import tune
from tav_core.video.write import write_video

STEPS = 2
PROMPTS = [f"an animal of kind {number}" for number in range(16)]


@pytest.fixture
def calls(monkeypatch):
    """How often the UNet, the VAE's two halves, a text encoder and a checkpoint's reading ran."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel

    from tav_core.cli import inputs

    counts = dict.fromkeys(("unet", "videos", "encode", "decode", "text", "load"), 0)

    def count(owner, method, name):
        plain = getattr(owner, method)

        def counted(*args, **kwargs):
            # Not the run without values from which the time is estimated.
            there = name != "unet" or args[1].device.type != "meta"
            counts[name] += there
            if name == "unet":
                counts["videos"] += there * args[1].shape[0]
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, method, counted)

    count(InflatedUNet, "forward", "unet")
    count(AutoencoderKL, "encode", "encode")
    count(AutoencoderKL, "decode", "decode")
    count(CLIPTextModel, "forward", "text")
    count(inputs, "load_checkpoint", "load")
    return counts


def test_sixteen_prompts_on_one_clip_cost_sixteen_samplings(sd1, write_folder, tmp_path, calls):
    """One reading of the checkpoint, one text for each prompt and one for the negative, one decoding for each frame."""
    write_folder(sd1, tmp_path / "model")
    write_video(tmp_path / "clip.mp4", torch.rand(4, 64, 64, 3).numpy(), fps=8)
    files = {name: f"{tmp_path / name}" for name in ("model", "clip.mp4", "run", "start.safetensors", "edits")}
    model, motion = ["--model", files["model"]], ["--motion", f"{files['run']}/motion.safetensors"]
    clip = ["--clip", files["clip.mp4"]]
    size = ["--num-frames", "4", "--width", "64", "--height", "64"]
    steps = ["--num-steps", f"{STEPS}"]
    tuned = ["tune", *model, *clip, "--out", files["run"], *size, *steps, "--prompt", "a cat"]
    assert main([*tuned, "--memory", "speed"]) == 0
    assert main(["invert", *model, *motion, *clip, "--out", files["start.safetensors"], *steps]) == 0
    found = {}
    for number in (1, 16):
        calls.update(dict.fromkeys(calls, 0))
        prompts = [word for prompt in PROMPTS[:number] for word in ("--prompt", prompt)]
        start = ["--trajectory", files["start.safetensors"]]
        assert main(["edit", *model, *motion, *start, "--out", files["edits"], *prompts]) == 0
        found[number] = dict(calls)
    assert found[16]["unet"] == 16 * STEPS == 16 * found[1]["unet"]
    assert found[16]["videos"] == 2 * 16 * STEPS, "with guidance, a step is a batch of two"
    assert found[16]["text"] == 16 + 1 and found[1]["text"] == 1 + 1
    assert found[16]["decode"] == 16 * 4 and found[16]["encode"] == 0
    assert found[16]["load"] == found[1]["load"] == 1


def test_clips_of_a_session_leave_nothing_behind(sd1, write_folder, tmp_path):
    """A job's motion, model and latents are freed, and no object is left over."""
    checkpoint = load_checkpoint(write_folder(sd1, tmp_path / "model"))
    untuned = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)
    text, config = encode_prompt(checkpoint, "a cat"), EditConfig(num_steps=STEPS)

    def job():
        latents = encode_frames(checkpoint.vae, torch.rand(2, 64, 64, 3))
        motion = tune(untuned, latents, text, config=TuneConfig(num_steps=STEPS))
        tuned = replace(untuned, unet=motion.apply_to(checkpoint.unet))
        found = invert(tuned, latents.mean, text, num_steps=STEPS)
        decode_latents(checkpoint.vae, edit(tuned, found, text, text, config=config))
        return [weakref.ref(each) for each in (motion, tuned.unet, found, latents)]

    def tensors():
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    job()
    before = tensors()
    kept = [ref for _ in range(3) for ref in job()]
    assert tensors() == before
    assert not any(ref() for ref in kept)


def test_slopes_by_hand():
    rows = {1: {"s": 3.0}, 2: {"s": 6.0}, 8: {"s": 96.0}}
    assert slope(rows, "s", 1, 2) == pytest.approx(1) and slope(rows, "s", 2, 8) == pytest.approx(2)
