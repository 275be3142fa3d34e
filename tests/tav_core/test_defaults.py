"""The whole way from a clip to an edit is the same whatever PyTorch's default dtype and device are."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from tav_core import (
    EditConfig,
    InflatedUNet,
    TuneConfig,
    UNetDenoiser,
    decode_latents,
    edit,
    encode_frames,
    encode_prompt,
    invert,
    load_checkpoint,
    read_clip,
    tune,
    write_video,
)
from tav_core.metrics.clip import load_clip_model
from tav_core.metrics.dino import load_dino_model
from tav_core.metrics.measure import measure_video
from tav_core.metrics.token_paths import token_paths
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.config import LocalEditConfig
from tav_core.sampling.free_noise import free_noise
from tav_core.sampling.local_edit import edit_mask
from tav_core.video.mask import read_mask
from tests.tav_core.metrics.tiny_judges import make_clip, make_dino, save_clip

SCHEDULERS = [diffusers.EulerAncestralDiscreteScheduler(), diffusers.DDPMScheduler()]


@pytest.fixture(scope="module")
def place(tmp_path_factory, sd1, write_folder):
    place = tmp_path_factory.mktemp("defaults")
    write_folder(sd1, place / "model")
    clip = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)
    write_video(place / "clip.mp4", clip, fps=8)
    save_clip(make_clip(), place / "clip")
    make_dino().save_pretrained(place / "dino")
    return place


def everything(place) -> dict[str, torch.Tensor]:
    """What each stage makes of a clip."""
    found, config, plain = {}, EditConfig(num_steps=2, eta=0.5), EditConfig(num_steps=2)
    clip = read_clip(place / "clip.mp4", num_frames=3, width=32, height=32)
    model = load_checkpoint(place / "model")
    latents = encode_frames(model.vae, clip.frames)
    text, empty = encode_prompt(model, ["a (red:1.2) cat"]), encode_prompt(model, "")
    untuned = UNetDenoiser(unet=InflatedUNet.from_2d(model.unet, positions="rotary"), schedule=model.schedule)
    settings = TuneConfig(num_steps=2, memory="speed", noise_offset=0.1, learning_rate=1e-3)
    motion = tune(untuned, latents, text, config=settings, state_path=None)
    tuned = UNetDenoiser(unet=motion.apply_to(model.unet), schedule=model.schedule)
    trajectory = invert(tuned, latents.mean, text, num_steps=2)
    noise = gaussian_noise(tuple(latents.mean.shape), 1)
    found |= {"frames": clip.frames, "mean": latents.mean, "std": latents.std, "text": text.text, "noise": noise}
    found |= {f"motion {name}": tensor for name, tensor in {**motion.deltas, **motion.temporal}.items()}
    found |= {"sample": latents.sample(torch.Generator("cpu").manual_seed(0)), "trajectory": trajectory.latents}
    found["free noise"] = free_noise((1, 4, 6, 4, 4), 0, window=3, stride=2)
    found["edit"] = edit(tuned, trajectory, text, empty, config=config)
    for scheduler in SCHEDULERS:
        found[type(scheduler).__name__] = edit(tuned, noise, text, empty, config=plain, scheduler=scheduler)
    found["decoded"] = decode_latents(model.vae, found["edit"])[0]
    found["mask"] = read_mask(place / "clip.mp4", clip)
    local = LocalEditConfig(first_frame=1, last_frame=1, ramp=1)
    found["frames to edit"] = edit_mask(None, local, num_frames=3, height=32, width=32)
    found |= {f"paths {level}": numbers for level, numbers in enumerate(token_paths(clip.frames))}
    judges = {"clip": load_clip_model(place / "clip"), "dino": load_dino_model(place / "dino")}
    scores = measure_video(clip.frames, **judges, prompt="a cat", source=clip.frames, motion=True)
    found["scores"] = torch.tensor(list(scores.values.values()), dtype=torch.float64, device="cpu")
    return found


@pytest.fixture(scope="module")
def usual(place):
    found = everything(place)
    kinds = {
        name: (tensor.dtype, tensor.device.type)
        for name, tensor in found.items()
        if name != "scores" and "paths" not in name
    }
    assert set(kinds.values()) == {(torch.float32, "cpu")}, kinds
    return found


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float16, torch.float64, "meta"], ids=str)
def test_no_default_changes_anything(place, usual, default):
    try:
        torch.set_default_device(default) if isinstance(default, str) else torch.set_default_dtype(default)
        found = everything(place)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert [name for name, tensor in found.items() if not torch.equal(tensor, usual[name])] == []
