"""Controls and rotary positions on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does: core's
own nodes and nets against the library's, with the same weights in files. Prints JSON.

Usage: COMFYUI_PATH=... python control_checks.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from host_checks import (
    CHECKPOINT,
    CLIP,
    DEMO,
    EDITED,
    EMPTY,
    LATENT,
    NUM_STEPS,
    TARGET,
    far,
    make_controlnet,
    make_motion,
    refusal,
    scaled,
    with_control,
)

# After host_checks, which sets ComfyUI up.
import comfy.controlnet  # isort: skip
import comfy.t2i_adapter.adapter  # isort: skip
import comfy.utils  # isort: skip
import torch  # isort: skip
from local_checks import moving_mask  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.control_mask import mask_control  # isort: skip
from tune_a_video_pack.nodes.sampling.context_windows import ContextWindows  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.mask_control import MaskControl  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.denoisers.control import Control, add_controls  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.control_nets import load_control  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.invert import invert  # isort: skip
from tune_a_video_pack.tav_core.models.latents import encode_frames  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.denoisers import windows as core  # isort: skip

STEPS, GUIDANCE = 3, 4.0
HINT = torch.rand(CLIP.shape, generator=torch.Generator().manual_seed(2))


def hosts(motion) -> tuple:
    """One motion on both hosts."""
    return core_motion.apply_motion(DEMO.model, motion), UNetDenoiser(
        unet=motion.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule
    )


def check_rotary() -> dict[str, float | str]:
    """Inversions with rotary positions on both hosts, and what the motion says is what both do."""
    motion = make_motion(1, positions="rotary")
    core_host, host = hosts(motion)
    plain_host = core_motion.apply_motion(DEMO.model, motion, positions="none")
    latents, empty = encode_frames(CHECKPOINT.vae, CLIP).mean, encode_prompt(CHECKPOINT, "")
    expected = invert(host, latents, empty, num_steps=NUM_STEPS).latents
    without = invert(hosts(make_motion(1))[1], latents, empty, num_steps=NUM_STEPS).latents
    ours, plain = (DDIMInvert.execute(m, EMPTY, LATENT, NUM_STEPS).args[1].latents for m in (core_host, plain_host))
    return {
        "agreement": far(ours, expected),
        "counts": far(ours, plain),
        "off": far(plain, without),
        "unknown": refusal(lambda: core_motion.apply_motion(DEMO.model, make_motion(1, positions="learned"))),
    }


def check_adapters(folder: Path) -> dict[str, float]:
    """The features of core's T2I-Adapters and of the library's from the same weights.

    core puts them into the UNet by numbers that fit real models alone, so no edit on the demo model is led by them. Of
    a size that halves three times: of others core and diffusers treat the edge each in their own way.
    """
    widths, path, farthest = [32, 64, 128, 128], folder / "adapter.safetensors", {}
    hint = torch.rand((2, 3, 64, 128), generator=torch.Generator().manual_seed(3))
    full = {"cin": 3 * 64, "nums_rb": 2, "ksize": 1, "sk": True, "use_conv": False, "xl": False}
    for kind, net in {
        "full": comfy.t2i_adapter.adapter.Adapter(channels=widths, **full),
        "light": comfy.t2i_adapter.adapter.Adapter_light(channels=widths, cin=3 * 64, nums_rb=4),
    }.items():
        comfy.utils.save_torch_file({n: t.contiguous() for n, t in net.state_dict().items()}, str(path))
        theirs = [x for x in net(hint)["input"][::-1] if x is not None]
        farthest[kind] = max(far(a, b) for a, b in zip(load_control(path)(hint), theirs, strict=True))
    return farthest


def check_masked_adapter() -> dict[str, float | int]:
    """What core's T2I-Adapter gives inside a mask, for two videos of two frames, against the mask times all of it."""
    net = comfy.t2i_adapter.adapter.Adapter_light(channels=[32, 64, 128, 128], cin=3 * 64, nums_rb=4)
    generator = torch.Generator().manual_seed(4)
    hint, mask = torch.rand((2, 3, 64, 128), generator=generator), torch.rand((2, 64, 128), generator=generator)
    control = comfy.controlnet.T2IAdapter(net, 3, 8, "nearest-exact").set_cond_hint(hint, 1.0, (0.0, 1.0))
    given = (torch.zeros(4, 4, 8, 16), None, {}, 2, {})
    plain, masked = control.get_control(*given), mask_control(control, mask).get_control(*given)
    farthest, places = 0.0, 0
    for ours, theirs in zip(masked["input"], plain["input"], strict=True):
        if theirs is not None:
            cells = torch.nn.functional.avg_pool2d(mask[:, None], 64 // theirs.shape[2])
            farthest, places = max(farthest, far(ours, theirs * cells.repeat(2, 1, 1, 1))), places + 1
    one = comfy.controlnet.T2IAdapter(net, 3, 8, "nearest-exact").set_cond_hint(hint[:1], 1.0, (0.0, 1.0))
    plain, masked = one.get_control(*given), mask_control(one, mask).get_control(*given)
    ours, theirs = next((a, b) for a, b in zip(masked["input"], plain["input"], strict=True) if b is not None)
    cells = torch.nn.functional.avg_pool2d(mask[:, None], 64 // theirs.shape[2])
    return {
        "agreement": farthest,
        "places": places,
        "one picture": far(ours, theirs[:1] * cells.repeat(2, 1, 1, 1)),
    }


def with_own_methods(control):
    """A control as Advanced-ControlNet makes them: its instances have methods of their own."""
    own = control.copy()
    own.get_control, own.control_merge = own.get_control, own.control_merge
    return own


def pooling(control):
    """A control that gives one value for the whole picture, as *shuffle* does."""
    own = control.copy()
    own.global_average_pooling = True
    return own


def with_clone(control):
    """A control with a copy for a second card, which knows nothing of a mask."""
    own = control.copy()
    own.multigpu_clones = {"cuda:1": control}
    return own


def check_control(control, folder: Path) -> dict[str, float]:
    """A guided edit led by core's own net, and by the library's from the same weights; whole and by windows."""
    path = folder / "net.safetensors"
    weights = {f"control_model.{n}": t.contiguous() for n, t in control.control_model.state_dict().items()}
    comfy.utils.save_torch_file(weights, str(path))
    core_host, host = hosts(make_motion(1))
    with torch.inference_mode(False):
        net = load_control(path)
    controlled = add_controls(host, [Control(net=net, frames=HINT.clone())])
    start = {"samples": torch.randn(LATENT["samples"].shape, generator=torch.Generator().manual_seed(5))}
    noise = scaled(start["samples"])
    texts = (encode_prompt(CHECKPOINT, EDITED), encode_prompt(CHECKPOINT, ""))
    config = EditConfig(num_steps=STEPS, guidance_scale=GUIDANCE)
    given = {"num_steps": STEPS, "cfg": GUIDANCE, "eta": 0.0, "edit_seed": 1}

    def both(model, denoiser, positive, negative) -> tuple[torch.Tensor, torch.Tensor]:
        ours = SampleEdit.execute(model, positive, negative, start, **given)[0]["samples"]
        return scaled(ours), edit(denoiser, noise, *texts, config=config)

    led = [with_control(texts_, control, HINT) for texts_ in (TARGET, EMPTY)]
    whole, plain = both(core_host, controlled, *led), both(core_host, host, TARGET, EMPTY)
    windowed = core.WindowedDenoiser(denoiser=controlled, windows=core.ContextWindows(length=3, overlap=1))
    by_windows = ContextWindows.execute(core_host, 3, 1)[0]
    parts = both(by_windows, windowed, *led)
    mask = moving_mask()
    inside = add_controls(host, [Control(net=net, frames=HINT.clone(), mask=mask)])
    led_inside = MaskControl.execute(led[0], led[1], mask).args
    masked = both(core_host, inside, *led_inside)
    masked_parts = both(by_windows, core.WindowedDenoiser(denoiser=inside, windows=windowed.windows), *led_inside)
    run = lambda *prompts: both(core_host, host, *prompts)[0]  # noqa: E731
    second = control.copy().set_cond_hint(1 - HINT.movedim(-1, 1), 1.0, (0.0, 1.0))
    second.set_previous_controlnet(led[0][0][1]["control"])
    twice = [[[text, {**told, "control": second}] for text, told in prompt] for prompt in led]
    return {
        "agreement": far(*whole),
        "leads": far(whole[0], plain[0]),
        "windows": far(*parts),
        "masked": far(*masked),
        "mask counts": min(far(masked[0], other[0]) for other in (whole, plain)),
        "masked windows": far(*masked_parts),
        "white": far(run(*MaskControl.execute(led[0], led[1], torch.ones(1, 96, 96)).args), whole[0]),
        "black": far(run(*MaskControl.execute(led[0], led[1], torch.zeros(96, 96)).args), plain[0]),
        "last alone": far(run(*MaskControl.execute(twice[0], twice[1], torch.zeros(96, 96)).args), whole[0]),
        "given stays": far(run(*led), whole[0]),
        "no control": refusal(lambda: MaskControl.execute(TARGET, EMPTY, mask)),
        "other size": refusal(lambda: run(*MaskControl.execute(led[0], led[1], mask[:, :64]).args)),
        "other frames": refusal(lambda: run(*MaskControl.execute(led[0], led[1], mask[:2]).args)),
        "other frames in windows": refusal(
            lambda: both(by_windows, host, *MaskControl.execute(led[0], led[1], mask[:2]).args)
        ),
        "another pack's": refusal(lambda: mask_control(with_own_methods(control), mask)),
        "pooled": refusal(lambda: mask_control(pooling(control), mask)),
        "rounded": far(run(*MaskControl.execute(led[0], led[1], torch.full((1, 96, 96), 1.0000004)).args), whole[0]),
        "clones": [len(mask_control(with_clone(control), mask).multigpu_clones)],
        "copied": type(led_inside[0][0][1]["control"].copy()).__name__,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        results = {
            "rotary": check_rotary(),
            "controlnet": check_control(make_controlnet(), Path(folder)),
            "adapters": check_adapters(Path(folder)),
            "masked adapter": check_masked_adapter(),
        }
    print("RESULTS " + json.dumps(results))
