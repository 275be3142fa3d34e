"""Every stage with the model on a second device and the inputs on the CPU, as users give them (pretend_device.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter
from safetensors.torch import save_file

from tav_core import apply_loras, encode_prompt, load_checkpoint, load_lora
from tav_core.denoisers.control import Control, add_controls
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.flow_guided import FlowGuidedDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.evaluation.preview import render_preview
from tav_core.evaluation.reconstruct import reconstruct
from tav_core.metrics.token_paths import token_paths
from tav_core.models import along_paths
from tav_core.models.conditioning import Conditioning
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.models.lavie.schedules import lavie_schedule
from tav_core.models.schedule import NoiseSchedule, gaussian_noise
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.blend import blend
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.free_noise import free_noise
from tav_core.sampling.injection import InjectedDenoiser
from tav_core.sampling.interpolate import interpolate
from tav_core.sampling.invert import invert
from tav_core.sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig
from tav_core.sampling.local_edit import composite, keep_outside
from tav_core.sampling.stretch import stretch
from tav_core.sampling.text_to_video import text_to_video
from tav_core.sampling.trajectory import Trajectory
from tav_core.sampling.upscale import upscale
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import generate
from tav_core.sampling.zero_shot.instruct import encode_pictures, instruct
from tav_core.sampling.zero_shot.instruct_config import InstructConfig
from tav_core.sampling.zero_shot.motion_field import MotionField
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import Motion
from tav_core.tuning.tune import tune
from tests.pretend_device import DEVICE, MixedDevicesError, PretendTensor, pretended
from tests.tav_core.conftest import widen_input
from tests.tav_core.lavie_models import small_lavie

FRAMES, STEPS, SIDE = 3, 2, 32
SIZE = {"width": 64, "height": 64}
# Stable Diffusion XL is told more, and is read, tuned, inverted and edited too; the rest is alike.
ONE_FAMILY = pytest.mark.parametrize("checkpoint", ["sd1"], indirect=True)
EDIT = EditConfig(num_steps=STEPS, guidance_scale=7.5)


@pytest.fixture(scope="module", autouse=True)
def _second_device():
    with pretended():
        yield


@pytest.fixture(scope="module")
def clip():
    """What a user has: frames on the CPU."""
    return torch.rand((FRAMES, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def checkpoint(request, tmp_path_factory, write_folder):
    folder = write_folder(request.getfixturevalue(request.param), tmp_path_factory.mktemp("two") / "model")
    return load_checkpoint(folder, device=DEVICE.type)


@pytest.fixture(scope="module")
def texts(checkpoint):
    """A prompt, another one, and none."""
    return tuple(encode_prompt(checkpoint, prompt) for prompt in ("a cat runs", "a dog runs", ""))


@pytest.fixture(scope="module")
def latents(checkpoint, clip):
    return encode_frames(checkpoint.vae, clip)


@pytest.fixture(scope="module")
def untuned(checkpoint):
    return UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)


@pytest.fixture(scope="module")
def motion(untuned, latents, texts, tmp_path_factory):
    """Tuned for two steps, of which the second goes on from a file."""
    state = tmp_path_factory.mktemp("run") / "state.safetensors"
    for steps in (1, 2):
        motion = tune(untuned, latents, texts[0], config=TuneConfig(num_steps=steps), state_path=state)
    return motion


@pytest.fixture(scope="module")
def denoiser(checkpoint, motion, tmp_path_factory):
    """With the motion, as read from its file."""
    path = motion.save(tmp_path_factory.mktemp("motion") / "motion.safetensors")
    return UNetDenoiser(unet=Motion.load(path).apply_to(checkpoint.unet), schedule=checkpoint.schedule)


@pytest.fixture(scope="module")
def trajectory(denoiser, latents, texts):
    """On the CPU, as the command line keeps it."""
    return invert(denoiser, latents.mean, texts[0], num_steps=STEPS, store="cpu")


def is_there(tensor):
    assert isinstance(tensor, PretendTensor) and bool(tensor.isfinite().all())
    return tensor


def test_models_and_what_they_make_are_there(checkpoint, latents, texts, denoiser, trajectory):
    for model in (checkpoint.unet, checkpoint.vae, checkpoint.text_encoder, denoiser.unet):
        assert {parameter.device for parameter in model.parameters()} == {DEVICE}
    is_there(latents.mean)
    for part in texts[0].parts().values():
        assert isinstance(part, PretendTensor)
    assert trajectory.noise.device.type == "cpu" and not isinstance(trajectory.noise, PretendTensor)


def test_the_motion_is_on_the_cpu(motion):
    tensors = [*motion.deltas.values(), *motion.temporal.values()]
    assert tensors and not any(isinstance(tensor, PretendTensor) for tensor in tensors)


@ONE_FAMILY
@pytest.mark.parametrize("settings", [{"recompute": "layers", "window": 2}, {"query_rank": 2}])
def test_tuning_in_other_ways(untuned, latents, texts, settings):
    tune(untuned, latents.mean.cpu(), texts[0].to(device="cpu"), config=TuneConfig(num_steps=1, **settings))


@ONE_FAMILY
@pytest.mark.parametrize("method", ["fixed_point", "o_belm"])
def test_other_inversions(denoiser, latents, texts, checkpoint, method, tmp_path):
    check_inversion(denoiser, latents, texts, checkpoint, method, tmp_path)


def test_inversion_and_edit(denoiser, latents, texts, checkpoint, tmp_path):
    check_inversion(denoiser, latents, texts, checkpoint, "ddim", tmp_path)


def check_inversion(denoiser, latents, texts, checkpoint, method, tmp_path):
    found = invert(denoiser, latents.mean, texts[0], num_steps=STEPS, method=method, iterations=2, store="cpu")
    loaded = Trajectory.load(found.save(tmp_path / "trajectory.safetensors"))
    rendered = is_there(edit(denoiser, loaded, texts[1], texts[2], config=EDIT))
    frames = decode_latents(checkpoint.vae, rendered)
    assert frames.shape == (1, FRAMES, SIDE, SIDE, 3) and not isinstance(frames, PretendTensor)
    reconstruct(denoiser, loaded, texts[0])


@ONE_FAMILY
def test_edits_from_noise(denoiser, latents, texts):
    from diffusers import EulerAncestralDiscreteScheduler

    noise = gaussian_noise(tuple(latents.mean.shape), 0)
    is_there(edit(denoiser, noise, texts[1], texts[2], config=replace(EDIT, eta=0.5)))
    scheduler = EulerAncestralDiscreteScheduler()
    is_there(edit(denoiser, noise, texts[1], texts[2], config=EDIT, scheduler=scheduler))


@ONE_FAMILY
def test_edits_of_changed_starts(denoiser, trajectory, texts):
    start = stretch(blend(trajectory, trajectory, 0.5), 0.5)
    is_there(edit(denoiser, start, texts[1], texts[2], config=replace(EDIT, noise_prior=0.5)))


@ONE_FAMILY
def test_previews(motion, checkpoint, latents, texts, monkeypatch):
    monkeypatch.setattr("tav_core.evaluation.preview.NUM_STEPS", STEPS)
    base, schedule = checkpoint.unet, checkpoint.schedule
    is_there(render_preview(motion, base, schedule, latents.mean, source=texts[0], shown=texts[1], negative=texts[2]))


@ONE_FAMILY
def test_flow_guidance(denoiser, trajectory, texts, clip):
    """The paths are measured in the clip, on the CPU; the later half of the clip takes those of its own frames."""
    along = FlowGuidedDenoiser(denoiser=denoiser, paths=token_paths(clip))
    is_there(edit(along, trajectory, texts[1], texts[2], config=EDIT))
    windowed = WindowedDenoiser(denoiser=along, windows=ContextWindows(length=2, overlap=1))
    is_there(edit(windowed, trajectory, texts[1], texts[2], config=EDIT))


def test_windows_injection_and_masks(denoiser, trajectory, texts, clip):
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows(length=3, overlap=1))
    injected = InjectedDenoiser(denoiser=windowed, trajectory=trajectory, source_context=texts[0])
    mask = torch.zeros(FRAMES, SIDE, SIDE)
    mask[:, 8:24, 8:24] = 1
    correct = keep_outside(trajectory, mask)
    is_there(edit(injected, trajectory, texts[1], texts[2], config=EDIT, correct=correct))
    composite(clip, clip.flip(0), mask)
    noise = free_noise((1, 4, FRAMES, 4, 4), 0, window=3, stride=1)
    is_there(edit(windowed, noise, texts[1], texts[2], config=EDIT))


@ONE_FAMILY
@pytest.mark.parametrize("kind", ["controlnet", "adapter"])
def test_controls_that_are_read_onto_the_cpu(denoiser, checkpoint, trajectory, texts, clip, kind):
    config = {name: value for name, value in checkpoint.unet.config.items() if not name.startswith("_")}
    if kind == "controlnet":
        from diffusers import UNet2DConditionModel

        cpu = UNet2DConditionModel.from_config(config)
        net = ControlNetModel.from_unet(cpu, conditioning_embedding_out_channels=(4, 8, 8, 8))
    else:
        net = T2IAdapter(in_channels=3, channels=list(config["block_out_channels"]))
    controlled = add_controls(denoiser, [Control(net=net.eval().requires_grad_(False), frames=clip)])
    is_there(edit(controlled, trajectory, texts[1], texts[2], config=EDIT))


def test_a_lora(checkpoint, tmp_path):
    names = (name for name, _ in checkpoint.unet.named_modules() if name.endswith("attn1.to_q"))
    name = next(names)
    query = checkpoint.unet.get_submodule(name)
    width = query.weight.shape[0]
    tensors = {f"unet.{name}.lora_A.weight": torch.ones(2, width), f"unet.{name}.lora_B.weight": torch.ones(width, 2)}
    save_file(tensors, tmp_path / "lora.safetensors")
    changed = apply_loras(checkpoint, [load_lora(tmp_path / "lora.safetensors")])
    weight = is_there(changed.unet.get_submodule(name).weight)
    torch.testing.assert_close(weight.cpu().detach(), query.weight.cpu().detach() + 2)


@ONE_FAMILY
def test_video_from_text(checkpoint, texts):
    unet = InflatedUNet.from_2d(checkpoint.unet, attention="first", temporal=False)
    denoiser = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    config = ZeroShotConfig(num_frames=FRAMES, num_steps=4, chunk_size=2, **SIZE)
    foreground = torch.zeros(FRAMES, 8, 8)
    foreground[:, 2:5, 2:5] = 1
    motion = MotionField(move=(12, 4), zoom=1.02, turn=2)
    is_there(generate(denoiser, texts[0], texts[2], config=config, motion=motion, foreground=foreground))


@ONE_FAMILY
def test_an_instruction(sd1, clip, texts, checkpoint):
    unet = widen_input(sd1).unet.to(DEVICE.type)
    schedule = NoiseSchedule.from_config(sd1.scheduler)
    video = InflatedUNet.from_2d(unet, attention="first", temporal=False)
    denoiser, config = UNetDenoiser(unet=video, schedule=schedule), InstructConfig(num_steps=2)
    pictures = encode_pictures(checkpoint.vae, clip)
    is_there(instruct(denoiser, pictures, texts[0], texts[2], config=config))


@pytest.mark.parametrize("kind", ["base", "interpolation", "super_resolution"])
def test_lavie(kind, clip):
    denoiser = UNetDenoiser(unet=small_lavie(kind).to(DEVICE.type), schedule=lavie_schedule(kind))
    told, negative = torch.randn(2, 1, 77, 64).to(DEVICE.type)
    if kind == "base":
        config = TextToVideoConfig(num_steps=2, num_frames=3, **SIZE)
        is_there(text_to_video(denoiser, told, negative, config=config))
    elif kind == "interpolation":
        keys = torch.randn(1, 4, 3, 4, 4)
        is_there(interpolate(denoiser, keys, told, negative, config=InterpolateConfig(num_steps=2)))
    else:
        is_there(upscale(denoiser, clip[:3, :16, :16], told, negative, config=UpscaleConfig(num_steps=2)))


class TestOfTheTest:
    """Planted errors: each leaves one tensor where it was."""

    def test_a_start_that_stays_on_the_cpu(self, denoiser, trajectory, texts, monkeypatch):
        monkeypatch.setattr("tav_core.sampling.edit.as_conditioning", lambda told: told.to(device="cpu"))
        with pytest.raises(MixedDevicesError):
            edit(denoiser, trajectory, texts[1], texts[2], config=EDIT)

    @ONE_FAMILY
    def test_noise_that_stays_on_the_cpu(self, untuned, latents, texts, monkeypatch):
        plain = NoiseSchedule.add_noise
        monkeypatch.setattr(NoiseSchedule, "add_noise", lambda self, x, noise, t: plain(self, x, noise.cpu(), t))
        with pytest.raises(MixedDevicesError):
            tune(untuned, latents, texts[0], config=TuneConfig(num_steps=1))

    @ONE_FAMILY
    def test_attention_along_paths_on_the_cpu(self, denoiser, trajectory, texts, clip, monkeypatch):
        plain = along_paths.attend_along
        monkeypatch.setattr(along_paths, "attend_along", lambda *given: plain(*given).cpu())
        along = FlowGuidedDenoiser(denoiser=denoiser, paths=token_paths(clip))
        with pytest.raises(MixedDevicesError):
            edit(along, trajectory, texts[1], texts[2], config=EDIT)

    @ONE_FAMILY
    def test_frames_that_stay_on_the_cpu(self, checkpoint, clip):
        with pytest.raises(MixedDevicesError):
            checkpoint.vae.encode(clip.movedim(-1, 1))

    @pytest.mark.parametrize("checkpoint", ["sdxl"], indirect=True)
    def test_a_pooled_text_that_stays_on_the_cpu(self, checkpoint, denoiser, latents, texts):
        told = Conditioning(text=texts[0].text, pooled_text=texts[0].pooled_text.cpu())
        with pytest.raises(MixedDevicesError):
            denoiser.epsilon(latents.mean, 500, told)
