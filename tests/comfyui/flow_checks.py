"""What flow guidance does on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python flow_checks.py
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from host_checks import (
    CHECKPOINT,
    CLIP,
    DEMO,
    EDITED,
    EMPTY,
    LATENT,
    NUM_STEPS,
    SAMPLES,
    TARGET,
    core_demo,
    far,
    make_motion,
    refusal,
    report,
    scaled,
)

# After host_checks, which sets ComfyUI up.
import comfy.model_management  # isort: skip
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import folder_paths  # isort: skip
import torch  # isort: skip
from torchvision.models import optical_flow  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.flow import add_flow_guidance  # isort: skip
from tune_a_video_pack.nodes.sampling.context_windows import ContextWindows  # isort: skip
from tune_a_video_pack.nodes.sampling.flow_guidance import FlowGuidance  # isort: skip
from tune_a_video_pack.nodes.sampling.inject_source import InjectSource  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.denoisers import windows as core  # isort: skip
from tune_a_video_pack.tav_core.denoisers.config import FlowConfig  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.denoisers.flow_guided import FlowGuidedDenoiser  # isort: skip
from tune_a_video_pack.tav_core.metrics.token_paths import token_paths  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig, InjectionConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.injection import InjectedDenoiser  # isort: skip
from tune_a_video_pack.tav_core.video.clip import read_clip  # isort: skip

MOTION = make_motion(1)
with torch.inference_mode():
    TUNED = core_motion.apply_motion(DEMO.model, MOTION)
    INVERTED, TRAJECTORY, NOISE, SIGMAS = DDIMInvert.execute(TUNED, EMPTY, LATENT, NUM_STEPS).args
LENGTH, OVERLAP, LONG = 4, 1, 8


def guide(model, frames=CLIP, *, levels=1, match="output", until=1.0, weights="none"):
    return FlowGuidance.execute(model, frames, levels, match, until, weights)[0]


def inject(model, trajectory=TRAJECTORY):
    return InjectSource.execute(model, trajectory, EMPTY, 0.5, 0.8, 4)[0]


def render(model, *, latent=INVERTED, num_steps=NUM_STEPS) -> torch.Tensor:
    given = {"num_steps": num_steps, "cfg": 4.0, "eta": 0.0, "edit_seed": 1}
    return SampleEdit.execute(model, TARGET, EMPTY, latent, **given)[0]["samples"]


quick = partial(render, num_steps=3)


def host_edit(trajectory, paths, *, windows=None, injected=False, **settings) -> torch.Tensor:
    """The same edit on the diffusers host."""
    host = UNetDenoiser(unet=MOTION.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
    host = FlowGuidedDenoiser(denoiser=host, paths=paths, config=FlowConfig(**settings))
    host = core.WindowedDenoiser(denoiser=host, windows=windows) if windows else host
    empty, target = encode_prompt(CHECKPOINT, ""), encode_prompt(CHECKPOINT, EDITED)
    if injected:
        source = {"trajectory": trajectory, "source_context": empty}
        host = InjectedDenoiser(denoiser=host, **source, config=InjectionConfig())
    return edit(host, trajectory, target, empty, config=EditConfig(num_steps=NUM_STEPS, guidance_scale=4.0))


def check_agreement() -> dict[str, float]:
    """Our nodes and a stock sampler on core against the diffusers host."""
    guided, plain, paths = guide(TUNED), render(TUNED), token_paths(CLIP)
    ours = render(guided)
    ddim = comfy.samplers.sampler_object("ddim")
    stock = comfy.sample.sample_custom(
        guided, NOISE.generate_noise(LATENT), 4.0, ddim, SIGMAS, TARGET, EMPTY, SAMPLES, disable_pbar=True, seed=1
    )
    other = {"levels": 2, "match": "queries", "until": 0.6}
    both = host_edit(TRAJECTORY, paths, injected=True)
    nowhere = tuple(torch.arange(level.numel()).view(level.shape) for level in paths)
    return {
        "edit": far(scaled(ours), host_edit(TRAJECTORY, paths)),
        "other_settings": far(scaled(render(guide(TUNED, **other))), host_edit(TRAJECTORY, paths, **other)),
        "changes": far(ours, plain),
        "stock_ddim": far(stock, ours),
        "source_after": far(scaled(render(inject(guided))), both),
        "source_before": far(scaled(render(guide(inject(TUNED)))), both),
        "source_changes": far(scaled(ours), both),
        "none_equal": torch.equal(render(guide(TUNED, until=0.0)), plain),
        "no_paths_equal": torch.equal(render(add_flow_guidance(TUNED, nowhere, FlowConfig())), plain),
        "alpha_equal": torch.equal(render(guide(TUNED, torch.cat([CLIP, CLIP[..., :1]], dim=-1))), ours),
    }


def check_windows() -> dict[str, float]:
    """A clip longer than a window, windows before and after the guidance."""
    frames = read_clip(core_demo.CLIP, num_frames=LONG, width=96, height=96).frames
    windowed = ContextWindows.execute(TUNED, LENGTH, OVERLAP)[0]
    inverted, trajectory, *_ = DDIMInvert.execute(windowed, EMPTY, {"samples": DEMO.vae.encode(frames)}, NUM_STEPS).args
    windows = core.ContextWindows(length=LENGTH, overlap=OVERLAP)
    expected = host_edit(trajectory, token_paths(frames), windows=windows)
    before = ContextWindows.execute(guide(TUNED, frames), LENGTH, OVERLAP)[0]
    return {
        "windows_before": far(scaled(render(guide(windowed, frames), latent=inverted)), expected),
        "windows_after": far(scaled(render(before, latent=inverted)), expected),
    }


def check_patches() -> dict[str, bool]:
    """Taking the guidance off, and putting it on while another clone is loaded."""
    comfy.model_management.unload_all_models()
    before = {name: t.clone() for name, t in DEMO.model.model.state_dict().items()}
    plain, cold = quick(TUNED), guide(TUNED)
    first = quick(cold)
    back, again = quick(TUNED), quick(cold)
    comfy.model_management.unload_all_models()
    after = DEMO.model.model.state_dict()
    return {
        "plain_back": torch.equal(plain, back),
        "again": torch.equal(first, again),
        "weights_back": before.keys() == after.keys() and all(torch.equal(t, after[n]) for n, t in before.items()),
    }


def check_raft() -> dict[str, bool | str]:
    """RAFT's weights, random ones, from the folder that the node lists."""
    with TemporaryDirectory() as folder:
        torch.manual_seed(0)
        torch.save(optical_flow.raft_small(weights=None).state_dict(), Path(folder) / "raft_small.pth")
        torch.save({"a": torch.zeros(2)}, Path(folder) / "other.pth")
        folder_paths.add_model_folder_path("optical_flow", folder)
        listed = {name: name in str(FlowGuidance.GET_NODE_INFO_V1()) for name in ("raft_small.pth", "other.pth")}
        return {
            "listed": all(listed.values()),
            "differs": not torch.equal(quick(guide(TUNED, weights="raft_small.pth")), quick(guide(TUNED))),
            "other weights": refusal(lambda: guide(TUNED, weights="other.pth")),
            "gone": refusal(lambda: guide(TUNED, weights="gone.pth")),
        }


def check_refusals() -> dict[str, str]:
    """What cannot be guided."""
    fewer = {"samples": INVERTED["samples"][:3]}
    return {
        "without a motion": refusal(lambda: guide(DEMO.model)),
        "twice": refusal(lambda: guide(guide(TUNED))),
        "twice, a source between": refusal(lambda: guide(inject(guide(TUNED)))),
        "fewer frames": refusal(lambda: quick(guide(TUNED), latent=fewer)),
        "another size": refusal(lambda: quick(guide(TUNED, CLIP[:, :64]))),
        "not a number": refusal(lambda: guide(TUNED, CLIP * float("nan"))),
        "a mask": refusal(lambda: guide(TUNED, CLIP[..., 0])),
    }


CHECKS = {
    "agreement": check_agreement,
    "windows": check_windows,
    "patches": check_patches,
    "raft": check_raft,
    "refusals": check_refusals,
}

if __name__ == "__main__":
    report(CHECKS)
