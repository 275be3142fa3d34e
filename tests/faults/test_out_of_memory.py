"""Memory that runs out at each stage: one clear error, inputs as they were, and the next try works."""

from __future__ import annotations

import copy
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch

from tav_core.checkpoints.tokenizer import CLIP_TOKENIZER
from tav_core.errors import ConfigError, OutOfMemory
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.models.text import encode_prompt
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tensor_files import load_tensors
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune
from tests.tav_core.conftest import small  # noqa: F401

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
HOST = MemoryError()
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
# What the cockpit and its neighbours import of ComfyUI.
CORE = (
    "comfy",
    "comfy_execution",
    "comfy_execution.progress",
    "comfy.model_management",
    "comfy.utils",
    "comfy_api",
    "comfy_api.latest",
    "folder_paths",
)
ERRORS = pytest.mark.parametrize("error", [CUDA, HOST, CPU], ids=["device", "host", "PyTorch on a CPU"])
FAST = {"num_steps": 4, "learning_rate": 1e-3, "memory": "speed", "save_every": 0}


def exhausted(error, *, calls=0, honest=None):
    """A function that runs out of memory after so many calls."""
    left = [calls]

    def run(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return honest(*args, **kwargs)

    return run


def tensors_in(thing):
    if isinstance(thing, torch.nn.Module):
        return list(thing.state_dict().values())
    return [thing]


@pytest.fixture
def stages(small, denoiser, clip_latents, context):  # noqa: F811
    """name: (what it computes, what runs out, the inputs)."""
    vae, encoder = small.vae, small.text_encoder
    frames, latents = torch.rand(2, 16, 16, 3), torch.rand(1, 4, 2, 2, 2)
    from transformers import CLIPTokenizer

    checkpoint = SimpleNamespace(text_encoder=encoder, tokenizer=CLIPTokenizer.from_pretrained(CLIP_TOKENIZER))
    start = invert(denoiser, clip_latents, context, num_steps=2)
    config = EditConfig(num_steps=2)
    unet = denoiser.unet
    return {
        "encode": (lambda: encode_frames(vae, frames).mean, (vae, "encode"), (vae, frames)),
        "decode": (lambda: decode_latents(vae, latents), (vae, "decode"), (vae, latents)),
        "text": (lambda: encode_prompt(checkpoint, "a cat").text, (encoder, "forward"), (encoder,)),
        "invert": (
            lambda: invert(denoiser, clip_latents, context, num_steps=2).latents,
            (unet, "forward"),
            (unet, clip_latents, context),
        ),
        "edit": (
            lambda: edit(denoiser, start, context, context, config=config),
            (unet, "forward"),
            (unet, start.latents, context),
        ),
    }


@ERRORS
@pytest.mark.parametrize("stage", ["encode", "decode", "text", "invert", "edit"])
def test_a_stage(stages, monkeypatch, stage, error):
    compute, (owner, name), inputs = stages[stage]
    before = copy.deepcopy([tensor for thing in inputs for tensor in tensors_in(thing)])
    expected = compute()
    for calls in (0, 1):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, exhausted(error, calls=calls, honest=getattr(owner, name)))
            if stage == "text" and calls:
                continue
            with pytest.raises(OutOfMemory, match=r"out of memory while .*Expected.*(smaller|fewer)"):
                compute()
    after = [tensor for thing in inputs for tensor in tensors_in(thing)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert torch.equal(compute(), expected)


def test_the_room_for_a_trajectory(denoiser, clip_latents, context, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "new_empty", exhausted(CPU))
    with pytest.raises(OutOfMemory, match="while inverting 4 frames"):
        invert(denoiser, clip_latents, context, num_steps=2)


TUNING = {
    "forward": (TuningRun, "loss"),
    "backward": (torch.Tensor, "backward"),
    "clipping": (torch.nn.utils, "clip_grad_norm_"),
    "optimizer": (torch.optim.AdamW, "step"),
}


@pytest.mark.parametrize(
    ("part", "error"), [("forward", CUDA), ("backward", CPU), ("clipping", HOST), ("optimizer", CUDA)]
)
def test_tuning(tmp_path, untuned, clip_latents, context, monkeypatch, part, error):
    """If no weight was partly updated, the steps so far are saved, and the run continues as if unbroken."""
    (owner, name), path, steps = TUNING[part], tmp_path / "state.safetensors", []
    inputs = [clip_latents, context, *untuned.unet.state_dict().values()]
    before = copy.deepcopy(inputs)
    note, config = lambda progress: steps.append(progress.step), TuneConfig(**FAST)
    go = lambda path: tune(untuned, clip_latents, context, config=config, state_path=path, on_step=note)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, exhausted(error, calls=2, honest=getattr(owner, name)))
        with pytest.raises(OutOfMemory, match=r"out of memory while tuning on 4 frames.*fewer frames"):
            go(path)
    assert steps == [1, 2]
    assert path.exists() == (part != "optimizer")
    if path.exists():
        assert load_tensors(path, error=ConfigError, what="")[1]["step"] == "2"
    assert all(torch.equal(one, other) for one, other in zip(before, inputs, strict=True))
    resumed, whole = go(path), go(None)
    assert all(torch.equal(delta, whole.deltas[n]) for n, delta in resumed.deltas.items())
    assert all(torch.equal(value, whole.temporal[n]) for n, value in resumed.temporal.items())


@ERRORS
def test_setting_up_a_run(untuned, clip_latents, context, monkeypatch, error):
    monkeypatch.setattr(sys.modules["tav_core.tuning.training_run"], "copy_for_training", exhausted(error))
    with pytest.raises(OutOfMemory, match=r"while setting up the tuning.*fp16/bf16"):
        tune(untuned, clip_latents, context)


@ERRORS
def test_writing_a_state(tmp_path, untuned, clip_latents, context, monkeypatch, error):
    path = tmp_path / "state.safetensors"
    tune(untuned, clip_latents, context, config=TuneConfig(**FAST), state_path=path)
    before = path.read_bytes()
    more = TuneConfig(**{**FAST, "num_steps": 6})
    with monkeypatch.context() as patch:
        patch.setattr("tav_core.tensor_files.write_safetensors", exhausted(error))
        with pytest.raises(OutOfMemory, match=r"while writing .*state\.safetensors"):
            tune(untuned, clip_latents, context, config=more, state_path=path)
    assert path.read_bytes() == before and [item.name for item in tmp_path.iterdir()] == [path.name]
    assert tune(untuned, clip_latents, context, config=more, state_path=path).info.steps_done == 6


@pytest.fixture
def cockpit(monkeypatch):
    """nodes/tuning/cockpit.py, with stand-ins for ComfyUI."""
    import importlib

    root = Path(__file__).parents[2]
    packages = {"pack_of_cockpit": root, "pack_of_cockpit.nodes": root / "nodes"}
    for name, folder in packages.items():
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, name, package)
    core = {name: MagicMock() for name in CORE}
    for name, module in core.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield importlib.import_module("pack_of_cockpit.nodes.tuning.cockpit")
    for name in [name for name in sys.modules if name.startswith("pack_of_cockpit")]:
        sys.modules.pop(name)


@ERRORS
def test_a_preview(cockpit, caplog, untuned, clip_latents, context, error):
    """The run continues without it."""
    preview = SimpleNamespace(render=exhausted(error))
    shown = cockpit.Cockpit("1", 4, preview, 2)
    shown.begin(untuned, None, clip_latents)
    motion = tune(untuned, clip_latents, context, config=TuneConfig(**FAST), on_step=shown)
    assert motion.info.steps_done == 4
    assert caplog.text.count("no memory for a preview") == 2


def test_another_error_of_a_preview_is_told(cockpit, untuned, clip_latents, context):
    shown = cockpit.Cockpit("1", 4, SimpleNamespace(render=exhausted(ValueError("a bug"))), 2)
    shown.begin(untuned, None, clip_latents)
    with pytest.raises(ValueError, match="a bug"):
        tune(untuned, clip_latents, context, config=TuneConfig(**FAST), on_step=shown)


def test_the_time_left_of_more_than_a_day(cockpit):
    assert "27:46:40 left" in cockpit.text.describe_step(1, 9, seconds_left=100_000.9, memory="")
