"""Core's nodes that merge or cut the tokens of attn1, behind Apply Motion: what changes, what is refused; prints JSON.

Usage: COMFYUI_PATH=... python token_checks.py
"""

from __future__ import annotations

import json
from collections.abc import Callable

from host_checks import CLIP, DEMO, EMPTY, LATENT, NUM_FRAMES, SOURCE, TARGET, far, make_motion, refusal

# After host_checks, which sets ComfyUI up.
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import torch  # isort: skip
from comfy_extras.nodes_hypertile import HyperTile  # isort: skip
from comfy_extras.nodes_tomesd import TomePatchModel  # isort: skip
from einops import rearrange  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.frame_attention import FrameAttention  # isort: skip
from tune_a_video_pack.nodes.core.cross_frame import look_across_frames  # isort: skip
from tune_a_video_pack.nodes.core.flow import add_flow_guidance  # isort: skip
from tune_a_video_pack.nodes.core.injection import add_injection  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.nodes.sockets.bridge import first_context  # isort: skip
from tune_a_video_pack.tav_core.denoisers.config import FlowConfig  # isort: skip
from tune_a_video_pack.tav_core.metrics.token_paths import token_paths  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import InjectionConfig  # isort: skip

NUM_STEPS, CFG, RATIO = 4, 4.0, 0.5
# HyperTile's smallest tiles, of 4 x 4 tokens: the demo's frames of 12 x 12 have no larger parts.
TILE = 32
TUNED = core_motion.apply_motion(DEMO.model, make_motion(1))


def merged(model, ratio: float = RATIO):
    """The MODEL behind core's ToMe."""
    return TomePatchModel.execute(model, ratio).args[0]


def tiled(model):
    """The MODEL behind core's HyperTile."""
    return HyperTile.execute(model, TILE, 2, 0, False)[0]


def invert(model) -> tuple:
    return DDIMInvert.execute(model, EMPTY, LATENT, NUM_STEPS).args


def edit(model, inverted, trajectory) -> torch.Tensor:
    told = {"num_steps": NUM_STEPS, "cfg": CFG, "eta": 0.0, "edit_seed": 1, "trajectory": trajectory}
    return SampleEdit.execute(model, TARGET, EMPTY, inverted, **told)[0]["samples"]


def sample(model) -> torch.Tensor:
    """Core's own way, from noise of a seed."""
    samples = LATENT["samples"]
    noise = comfy.sample.prepare_noise(samples, 7)
    return comfy.sample.sample(model, noise, NUM_STEPS, CFG, "euler", "normal", TARGET, EMPTY, samples, seed=7)


def check_merging(inverted, trajectory) -> dict[str, float]:
    """ToMe in Sample Edit, DDIM Invert and a stock sampler: what it changes, and whether a second run is the same."""
    plain, model = edit(TUNED, inverted, trajectory), merged(TUNED)
    once, start, stock = edit(model, inverted, trajectory), invert(model)[0]["samples"], sample(model)
    return {
        "edit": far(once, plain),
        "edit_again": torch.equal(once, edit(model, inverted, trajectory)),
        "inversion": far(start, inverted["samples"]),
        "inversion_again": torch.equal(start, invert(model)[0]["samples"]),
        "stock": far(stock, sample(TUNED)),
        "stock_again": torch.equal(stock, sample(model)),
        "nothing_merged": torch.equal(edit(merged(TUNED, 0.0), inverted, trajectory), plain),
        "left_alone": torch.equal(edit(TUNED, inverted, trajectory), plain),
        "draws_go_on": draws_go_on(lambda: edit(TUNED, inverted, trajectory)),
    }


def draws_go_on(run: Callable[[], object]) -> bool:
    """Whether PyTorch's own generator draws the same after a run as without it."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run()
    return torch.equal(torch.rand(1), expected)


def check_fewer_queries() -> float:
    """A FrameAttention that some of the tokens ask, against plain attention to frames 0 and i - 1 in float64."""
    layer = next(
        block.attn1
        for block in TUNED.object_patches.values()
        if isinstance(getattr(block, "attn1", None), FrameAttention)
    )
    width = layer.to_q.weight.shape[1]
    tokens = torch.randn((NUM_FRAMES, 16, width), generator=torch.Generator().manual_seed(3))
    layer.frames.value = NUM_FRAMES
    got = layer(tokens[:, ::3], context=tokens, value=tokens)
    double = lambda linear, x: torch.nn.functional.linear(x, linear.weight.double())  # noqa: E731
    heads = lambda x: rearrange(x, "n (h e) -> h n e", h=layer.heads)  # noqa: E731
    outputs = []
    for frame, own in enumerate(tokens.double()):
        seen = torch.cat([tokens[0], tokens[max(frame - 1, 0)]]).double()
        query, key, value = (
            heads(double(*each)) for each in ((layer.to_q, own[::3]), (layer.to_k, seen), (layer.to_v, seen))
        )
        weights = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(-1)
        outputs.append(rearrange(weights @ value, "h n e -> n (h e)"))
    out = layer.to_out[0]
    expected = double(out, torch.stack(outputs)) + out.bias.double()
    return far(got.double(), expected)


def check_refusals(inverted, trajectory) -> dict[str, str]:
    """HyperTile, whose tiles are no frames; and ToMe with what needs every token in its place, in either order.

    Last, HyperTile where frames do not see each other, made while a flow's clone is loaded, is as on pictures.
    """
    source = add_injection(merged(TUNED), trajectory, first_context(SOURCE), InjectionConfig())
    flow = add_flow_guidance(TUNED, token_paths(CLIP), FlowConfig())
    spatial = core_motion.apply_motion(DEMO.model, make_motion(1), attention="spatial")
    spatial_flow = add_flow_guidance(spatial, token_paths(CLIP), FlowConfig())
    return {
        "hypertile_edit": refusal(lambda: edit(tiled(TUNED), inverted, trajectory)),
        "hypertile_inversion": refusal(lambda: invert(tiled(TUNED))),
        "hypertile_stock": refusal(lambda: sample(tiled(TUNED))),
        "hypertile_cross_frame": refusal(lambda: sample(tiled(look_across_frames(DEMO.model, attention="first")))),
        "tome_source": refusal(lambda: edit(source, inverted, trajectory)),
        "tome_flow": refusal(lambda: edit(merged(flow), inverted, trajectory)),
        "tiled_flow": refusal(lambda: sample(tiled(spatial_flow))),
        "spatial": refusal(lambda: sample(tiled(look_across_frames(DEMO.model, attention="spatial")))),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        start = invert(TUNED)[:2]
        results = {
            "merging": check_merging(*start),
            "fewer_queries": check_fewer_queries(),
            "refusals": check_refusals(*start),
        }
        print("RESULTS " + json.dumps(results))
