"""The tiny Stable Diffusion XL of sdxl_files.py in both hosts, with prompts and motions, for the scripts of checks.

It sets ComfyUI up, by host_checks.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import sdxl_files as tiny
from host_checks import CLIP as FRAMES

# After host_checks, which sets ComfyUI up.
import torch  # isort: skip
from comfy_extras.nodes_clip_sdxl import CLIPTextEncodeSDXL  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.load import load_checkpoint  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.tokenizer import CLIP_TOKENIZER  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.families import describe_architecture  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.models.unet import InflatedUNet  # isort: skip
from tune_a_video_pack.tav_core.tuning.low_rank import LowRankDeltas  # isort: skip
from tune_a_video_pack.tav_core.tuning.motion import Motion, hash_base  # isort: skip
from tune_a_video_pack.tav_core.tuning.motion_info import NEWEST_FORMAT, MotionInfo  # isort: skip

STEPS, RANK, SIDE = 4, 4, FRAMES.shape[1]
CLIP_SIZES = [SIDE, SIDE, 0, 0, SIDE, SIDE]
PROMPT, EDITED = "a rabbit is running on the meadow", "a cat is running in the snow"
PARTS = tiny.make_parts()
FOLDER = tiny.write_folder(PARTS, Path(tempfile.mkdtemp()) / "xl", Path(CLIP_TOKENIZER))
CHECKPOINT = load_checkpoint(FOLDER)
MODEL, CLIP, VAE = tiny.core_model(PARTS.unet), tiny.core_clip(PARTS), tiny.core_vae(PARTS.vae)


def encode(text: str) -> list:
    return CLIP.encode_from_tokens_scheduled(CLIP.tokenize(text))


def told(text: str, **sizes: int) -> list:
    """A prompt by CLIP Text Encode SDXL, whose sizes are all 1024 unless given."""
    whole = {"width": 1024, "height": 1024, "crop_w": 0, "crop_h": 0, "target_width": 1024, "target_height": 1024}
    return CLIPTextEncodeSDXL.execute(CLIP, **{**whole, **sizes}, text_g=text, text_l=text)[0]


SOURCE, EMPTY, TARGET = encode(PROMPT), encode(""), encode(EDITED)
SAMPLES = VAE.encode(FRAMES)
LATENT = {"samples": SAMPLES}
OURS = {text: encode_prompt(CHECKPOINT, text) for text in (PROMPT, "", EDITED)}


def make_xl_motion(seed: int, *, temporal: str = "last", rank: int = RANK, sizes=CLIP_SIZES, **modes) -> Motion:
    """A motion of random weights for the tiny model."""
    generator = torch.Generator().manual_seed(seed)
    noise = lambda shape: 0.1 * torch.randn(shape, generator=generator)  # noqa: E731
    inflated = InflatedUNet.from_2d(PARTS.unet, temporal=temporal)
    queries = [n for n, _ in PARTS.unet.named_parameters() if n.endswith(("attn1.to_q.weight", "attn2.to_q.weight"))]
    shapes = {name: PARTS.unet.get_parameter(name).shape for name in queries}
    whole = {name: noise(shape) for name, shape in shapes.items()}
    factors = {name: (noise((rank, shape[1])), noise((shape[0], rank))) for name, shape in shapes.items()}
    info = MotionInfo(
        architecture=describe_architecture(PARTS.unet),
        base_hash=hash_base(PARTS.unet),
        modes={"attention": "sparse_causal", "attention_k": 2, "group_norm": "frame", "temporal": temporal, **modes},
        size_ids=list(sizes),
        format_version=NEWEST_FORMAT,
    )
    return Motion(
        deltas=LowRankDeltas(factors=factors) if rank else whole,
        temporal={n: t + noise(t.shape) for n, t in inflated.temporal_state().items()},
        info=info,
    )


def host(motion: Motion) -> UNetDenoiser:
    return UNetDenoiser(unet=motion.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)


def scaled(samples: torch.Tensor) -> torch.Tensor:
    """A LATENT's samples as the library's latents, `1 c f h w`."""
    return MODEL.get_model_object("latent_format").process_in(samples).movedim(0, 1)[None]


def render(model, positive=None, negative=None, **more) -> torch.Tensor:
    """A short edit from a fixed start, on a MODEL."""
    start = {"samples": torch.randn(SAMPLES.shape, generator=torch.Generator().manual_seed(5))}
    given = {"num_steps": STEPS, "cfg": 5.0, "eta": 0.0, "edit_seed": 1, **more}
    return SampleEdit.execute(model, positive or TARGET, negative or EMPTY, start, **given)[0]["samples"]
