"""What people try to load as a checkpoint and this library does not take: what gives it away, and why it is refused.

What is taken is families.py's. A family that is taken from now on moves from `REFUSED` to `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .families import SDXL, TEXT_TIME

BLOCK_TYPES = frozenset({"CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"})
# diffusers' name of a middle with attention, its default.
MIDDLE = "UNetMidBlock2DCrossAttn"
# Settings of a diffusers UNet that give it more than text to look at; of their values, only SDXL's is taken here.
MORE_THAN_TEXT = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim")


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Something else that people try to load as a checkpoint, what gives it away, and what to say of it.

    Args:
        title: what it is, as in "a LoRA".
        why: why it is not taken, as a sentence; empty where the title says it all.
        mend: what to do instead, as a sentence.
        marks: parts of tensor names, any of which gives it away.
        starts: beginnings of tensor names, likewise.
        also: the ending of one more tensor name that it must have.
        never: a part that no tensor name of it has.
        in_channels: input channels of its UNet, where they tell.
        settings: settings of its diffusers UNet config that give it away.
        pipeline: a part of the names of its diffusers pipelines' classes.
        core_classes: its names in ComfyUI's own list of models.
    """

    title: str
    why: str = ""
    mend: str = "Choose another file."
    marks: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    also: str = ""
    never: str = ""
    in_channels: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    pipeline: str = ""
    core_classes: tuple[str, ...] = ()

    def has_names(self, names: Sequence[str]) -> bool:
        """Whether a file with tensors of these names is one."""
        found = any(name.startswith(self.starts) or any(mark in name for mark in self.marks) for name in names)
        also = not self.also or any(name.endswith(self.also) for name in names)
        return found and also and not (self.never and any(self.never in name for name in names))

    def has_config(self, config: Mapping[str, Any]) -> bool:
        """Whether a diffusers UNet config is one's."""
        return bool(self.settings) and all(config.get(name) == value for name, value in self.settings.items())


MORE_INPUT = "Its UNet is given more than noisy latents and a text."
TRANSFORMER = "It has a transformer in place of the UNet that is tuned here."
ACROSS_FRAMES = "It has layers across frames already."
PART = "It is one part of a checkpoint."
RELATIVE = "It is a relative of Stable Diffusion XL with a smaller UNet, on which a motion of XL does not fit."
OTHER_NOISE = "Its noise schedule is another than Stable Diffusion XL's, whose UNet it has."
REFINER = Refused(
    title="Stable Diffusion XL's refiner",
    why="It finishes the pictures of the base model.",
    mend="Choose the base model.",
    starts=("conditioner.embedders.0.model.",),
    settings={"addition_embed_type": TEXT_TIME, "cross_attention_dim": 1280},
    core_classes=("SDXLRefiner",),
)
# Names of SDXL's smaller relatives by the transformer blocks at the coarsest level of their UNet's first half, which is
# as wide as SDXL's (Segmind's and ETRI's configs; ComfyUI tells them so, too).
RELATIVES = {
    4: Refused(title="SSD-1B", why=RELATIVE, core_classes=("SSD1B",)),
    2: Refused(title="Segmind Vega", why=RELATIVE, core_classes=("Segmind_Vega",)),
    5: Refused(title="KOALA-700M", why=RELATIVE, core_classes=("KOALA_700M",)),
    6: Refused(title="KOALA-1B", why=RELATIVE, core_classes=("KOALA_1B",)),
}
UNNAMED_RELATIVE = Refused(title="a smaller relative of Stable Diffusion XL", why=RELATIVE)
EDM = Refused(title="Playground v2.5", why=OTHER_NOISE, marks=("edm_mean", "edm_std"))
EDM_VELOCITY = Refused(
    title="a Stable Diffusion XL model that predicts EDM's velocity", why=OTHER_NOISE, marks=("edm_vpred.",)
)
ZERO_SNR_XL = Refused(
    title="a Stable Diffusion XL model with zero terminal SNR",
    why="Its last timestep is pure noise, which no inversion ends at.",
    mend="Choose one without, such as the epsilon version of the model.",
)
ORIGINAL_UNET = Refused(
    title="a UNet saved by the original Tune-A-Video",
    mend="Give the folder of the whole pipeline, or read this file with load_original_unet. LaVie's interpolation has "
    "the same names: give that to interpolate.",
    marks=(".attn_temp.",),
    also="conv_in.weight",
)
TEXT_TO_VIDEO = Refused(title="a text-to-video model (UNet3DConditionModel without attn_temp)", why=ACROSS_FRAMES)
LAVIE = Refused(
    title="one of LaVie's models",
    why=ACROSS_FRAMES,
    mend="Give it where LaVie's base, interpolation or super-resolution is asked for, and a checkpoint here.",
    marks=(".time_rel_pos_bias.",),
)
# The first that a file shows the marks of is what it is: later ones share marks with earlier ones.
REFUSED = (
    Refused(
        title="the saved state of a training",
        why="It resumes that training.",
        mend="Give the file that the training wrote at its end: motion.safetensors of tune, lavie_base.safetensors of "
        "train-video.",
        starts=("param.",),
        also="losses",
    ),
    Refused(
        title="a LoRA",
        why="It changes a checkpoint and is none.",
        marks=(
            "lora_up.",
            "lora_down.",
            "lora.up.",
            "lora.down.",
            ".lora_A.",
            ".lora_B.",
            ".lokr_",
            ".hada_",
            ".oft_",
        ),
    ),
    Refused(
        title="a ControlNet",
        why="It goes with a checkpoint and is none.",
        marks=("control_model.", "controlnet_", "input_hint_block."),
    ),
    Refused(
        title="a T2I-Adapter",
        why="It goes with a checkpoint and is none.",
        marks=("adapter.body.", "body.0.block1.", "body.0.in_conv."),
    ),
    Refused(
        title="an IP-Adapter",
        why="It goes with a checkpoint and is none.",
        starts=("ip_adapter.", "image_proj."),
    ),
    Refused(
        title="a textual inversion embedding",
        why="It is the embedding of a word.",
        marks=("emb_params", "string_to_param"),
        # diffusers' learned_embeds.bin names its tensor after the new word.
        starts=("<",),
        # Whole checkpoints may hold embeddings, too: `bundle_emb.NAME.string_to_param.*`.
        never="diffusion_model.",
    ),
    Refused(
        title="a video model",
        why=ACROSS_FRAMES,
        marks=(
            "time_stack.",
            "time_mixer.",
            "motion_modules.",
            "temporal_transformer",
            "temopral_conv",
            "temp_convs.",
            "transformer_in.",
            "individual_token_refiner.",
            "self_attn.norm_q.",
        ),
        core_classes=("SVD_img2vid",),
    ),
    EDM,
    EDM_VELOCITY,
    REFINER,
    *RELATIVES.values(),
    Refused(title="Stable Diffusion 3", why=TRANSFORMER, marks=("joint_blocks.",), core_classes=("SD3",)),
    Refused(
        title="Flux",
        why=TRANSFORMER,
        marks=("double_blocks.", "single_transformer_blocks."),
        core_classes=("Flux", "FluxSchnell"),
    ),
    LAVIE,
    Refused(
        title="a checkpoint in fp8 with scales",
        why="Its weights are 8-bit numbers that are multiplied again by each layer.",
        mend="Give the fp16 or bf16 version of it.",
        marks=("scaled_fp8", ".scale_weight"),
    ),
    Refused(
        title="a class-conditioned or unCLIP model",
        why="Its UNet also takes a class, or the embedding of an image.",
        marks=("label_emb.", "class_embedding."),
        # Stable Diffusion XL keeps its added conditions under the same name.
        never="conditioner.embedders.",
        core_classes=("SD21UnclipL", "SD21UnclipH"),
    ),
    ORIGINAL_UNET,
    Refused(
        title="a motion file",
        mend="Give it where a motion is asked for, and a checkpoint here.",
        marks=(".attn_temp.",),
    ),
    Refused(
        title="the UNet of a diffusers folder alone",
        mend="Give the folder that holds unet, vae, text_encoder, tokenizer and scheduler.",
        starts=("down_blocks.",),
    ),
    Refused(
        title="a checkpoint that has a UNet as averaged weights alone (model_ema)",
        mend="Get the version of it for drawing, which is often named 'pruned'.",
        starts=("model_ema.",),
        never="diffusion_model.",
    ),
    Refused(
        title="a VAE alone",
        why=PART,
        starts=("first_stage_model.", "vae.", "encoder.conv_in.", "encoder.down", "decoder.conv_in."),
        never="diffusion_model.",
    ),
    Refused(
        title="a text encoder alone",
        why=PART,
        starts=("cond_stage_model.", "text_model.", "transformer.resblocks.", "shared.weight"),
        never="diffusion_model.",
    ),
    Refused(title="a depth-to-image model", why=MORE_INPUT, in_channels=5),
    Refused(title="an upscaler", why=MORE_INPUT, in_channels=7),
    Refused(title="an inpainting model", why=MORE_INPUT, in_channels=9),
)
# It is loaded, and refused where there is no picture to give it.
INSTRUCT = Refused(title="an InstructPix2Pix model", why="Its UNet is given a picture beside the latents.")
# The same for files given as a ControlNet or a T2I-Adapter.
REFUSED_NETS = (
    Refused(
        title="a ControlNet-LoRA or difference, which is only part of a net", marks=("lora_controlnet", "difference")
    ),
    Refused(
        title="a ControlNet of another kind", marks=("task_embedding", "control_add_embedding", "controlnet_blocks.")
    ),
)


def find_refused(names: Iterable[str], among: Sequence[Refused] = REFUSED) -> Refused | None:
    """What the names of a file's tensors give away, or None where they show nothing that is known and refused."""
    names = list(names)
    return next((refused for refused in among if refused.has_names(names)), None)


def find_refused_config(config: Mapping[str, Any]) -> Refused | None:
    """What a diffusers UNet config gives away, or None. Its channels are `find_refused_channels`'."""
    if found := next((refused for refused in REFUSED if refused.has_config(config)), None):
        return found
    if config.get("addition_embed_type") == TEXT_TIME and (relative := find_relative(config)):
        return relative
    for setting in MORE_THAN_TEXT:
        if config.get(setting) not in (None, TEXT_TIME):
            return Refused(title=f"a UNet with {setting} {config[setting]!r}", why=MORE_INPUT)
    for block_type in (*config.get("down_block_types", ()), *config.get("up_block_types", ())):
        if block_type not in BLOCK_TYPES:
            return Refused(title=f"a UNet with a {block_type}")
    return None


def find_relative(config: Mapping[str, Any]) -> Refused | None:
    """What a UNet with SDXL's added conditions is if it is one of SDXL's smaller relatives, or None.

    These lack the attention in the middle, or have depths that differ within a level, or, at SDXL's own widths, another
    number of layers than SDXL's two.

    Args:
        config: of a diffusers UNet whose `addition_embed_type` is "text_time".
    """
    middle = config.get("mid_block_type", MIDDLE) == MIDDLE
    official = config.get("block_out_channels") in (SDXL.widths, list(SDXL.widths))
    depths = config.get("transformer_layers_per_block", 1)
    uneven = config.get("reverse_transformer_layers_per_block") is not None
    if middle and not uneven and not (official and config.get("layers_per_block", 2) != 2):
        return None
    # A file may hold anything here.
    while isinstance(depths, list | tuple) and depths:
        depths = depths[-1]
    return RELATIVES.get(depths, UNNAMED_RELATIVE) if isinstance(depths, int) else UNNAMED_RELATIVE


def find_refused_channels(in_channels: int, out_channels: int) -> Refused | None:
    """What a UNet is that takes more channels than it gives: a mask or a depth map beside the latents.

    One that takes twice as many is InstructPix2Pix's, which is taken: a picture goes beside the latents.
    """
    if in_channels in (out_channels, 2 * out_channels):
        return None
    found = (refused for refused in REFUSED if refused.in_channels == in_channels)
    return next(found, Refused(title="an image-conditioned model", why=MORE_INPUT))


def find_refused_pipeline(name: str) -> Refused | None:
    """What a diffusers folder is that says this class of a pipeline, or None."""
    return next((refused for refused in REFUSED if refused.pipeline and refused.pipeline in name), None)


def find_refused_core_class(name: str) -> Refused:
    """What a model is that is not taken, by the class that ComfyUI sorts it into."""
    return next((refused for refused in REFUSED if name in refused.core_classes), Refused(title=name))
