"""The families of models that this library takes: the one place that knows their sizes and what sets them apart.

A new family is one entry in `FAMILIES`. What is refused, and why, is listed in unsupported.py. Both live in models/
because every room that asks about families may import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings import as_json

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

# Channels of a head, in UNets that do not fix the number of heads, and in CLIP's text encoders.
HEAD_SIZE = 64
# Settings of a diffusers UNet that must be equal where weights of one UNet are to fit on another.
ARCHITECTURE = (
    "block_out_channels",
    "layers_per_block",
    "down_block_types",
    "cross_attention_dim",
    "attention_head_dim",
    "use_linear_projection",
    "in_channels",
)
# The same for settings that most UNets leave at these values; they are recorded only where they differ.
OPTIONAL_ARCHITECTURE = {"transformer_layers_per_block": 1, "addition_embed_type": None}
# The `addition_embed_type` of a UNet that is told a pooled text and sizes beside the text.
TEXT_TIME = "text_time"
# All reference configs share one noise schedule; steps_offset and set_alpha_to_one are those of the diffusers folders.
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of text-to-image models that this library takes.

    Args:
        name: a short name, as in "sd1".
        title: the name that people use.
        linear_projection: whether linear layers lead into and out of the UNet's attention, or convolutions do. This
            tells the families apart at any size.
        widths: channels of the official UNet's levels, the largest resolution first.
        text_width: width of the text embeddings that the official UNet attends to.
        text_layers: layers of the official text encoder that are used.
        num_heads: heads of every attention of the UNet; None where each head has `HEAD_SIZE` channels.
        predictions: what its published UNets predict, the most usual first, with the side of the latents that those
            were trained on.
        scaling_factor: from the VAE's latents to the UNet's.
        scheduler: the noise schedule, as a diffusers scheduler config without its prediction type.
        text_prefix: what the names of the text encoder's tensors begin with in a single-file checkpoint.
        open_clip: whether the text encoder has OpenCLIP's layout there, or transformers'.
        pad_token: the token that fills up a prompt; None for the tokenizer's own.
        t2i_adapters: whether anyone has published T2I-Adapters for it.
        vae_file: the name of a published file with its VAE alone, for messages.
        added_conditions: whether the UNet is told a pooled text and sizes, too. This tells it from a family with the
            same projections, at any size.
        second_text_prefix: what the names of a second text encoder's tensors begin with; "" if there is none. It has
            OpenCLIP's layout and a projection, and pads with id 0.
        upcast_velocity: whether models that predict velocity attend in float32.
        temporal: the transformer blocks that get temporal attention unless said otherwise, see `TEMPORAL_BLOCKS`.
        query_rank: the rank of the tuned queries' differences unless said otherwise; 0 tunes them whole.
    """

    name: str
    title: str
    linear_projection: bool
    widths: tuple[int, ...]
    text_width: int
    text_layers: int
    num_heads: int | None
    predictions: Mapping[str, int]
    scaling_factor: float
    scheduler: Mapping[str, Any]
    text_prefix: str
    open_clip: bool
    pad_token: str | None
    t2i_adapters: bool
    vae_file: str
    added_conditions: bool = False
    second_text_prefix: str = ""
    upcast_velocity: bool = True
    temporal: str = "all"
    query_rank: int = 0

    def attention_heads(self, widths: Sequence[int]) -> int | list[int]:
        """The number of heads at levels of these widths, as diffusers' `attention_head_dim` wants it."""
        return self.num_heads or [count_heads(width) for width in widths]

    @property
    def usual_prediction(self) -> str:
        return next(iter(self.predictions))


# OpenCLIP pads with id 0, and so were the models trained that use it; CLIP pads with <|endoftext|>.
OPEN_CLIP_PAD = "!"

# CompVis' v1-inference.yaml.
SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1.x",
    linear_projection=False,
    widths=(320, 640, 1280, 1280),
    text_width=768,
    text_layers=12,
    num_heads=8,
    predictions={"epsilon": 64},
    scaling_factor=0.18215,
    scheduler=SCHEDULER,
    text_prefix="cond_stage_model.transformer.",
    open_clip=False,
    pad_token=None,
    t2i_adapters=True,
    vae_file="vae-ft-mse-840000-ema-pruned.safetensors",
)
# Stability's v2-inference.yaml and v2-inference-v.yaml.
SD2 = Family(
    name="sd2",
    title="Stable Diffusion 2.x",
    linear_projection=True,
    widths=(320, 640, 1280, 1280),
    text_width=1024,
    # It takes the penultimate layer of OpenCLIP ViT-H, so diffusers keeps 23 of its 24.
    text_layers=23,
    num_heads=None,
    predictions={"epsilon": 64, "v_prediction": 96},
    scaling_factor=0.18215,
    scheduler=SCHEDULER,
    text_prefix="cond_stage_model.model.",
    open_clip=True,
    pad_token=OPEN_CLIP_PAD,
    t2i_adapters=False,
    vae_file="vae-ft-mse-840000-ema-pruned.safetensors",
)
# Stability's sd_xl_base.yaml. Both text encoders are taken at their penultimate layer, without the final norm; the
# pooled text is the second's at its last layer, so all layers are kept.
SDXL = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    linear_projection=True,
    widths=(320, 640, 1280),
    text_width=2048,
    text_layers=12,
    num_heads=None,
    predictions={"epsilon": 128},
    scaling_factor=0.13025,
    scheduler=SCHEDULER,
    text_prefix="conditioner.embedders.0.transformer.",
    open_clip=False,
    pad_token=None,
    t2i_adapters=True,
    vae_file="sdxl_vae.safetensors",
    added_conditions=True,
    second_text_prefix="conditioner.embedders.1.model.",
    upcast_velocity=False,
    # All of its 70 blocks and whole queries would be 614 M values to train, in a motion of 1.2 GB; so it is 58 M.
    temporal="last",
    query_rank=32,
)
FAMILIES = (SD1, SD2, SDXL)


def count_heads(width: int) -> int:
    """How many heads of 64 channels a width has."""
    return max(1, width // HEAD_SIZE)


def join_titles(families: Sequence[Family]) -> str:
    """The families in words: "Stable Diffusion 1.x or 2.x"."""
    first, *others = (family.title for family in families)
    *commas, last = [first, *(title.removeprefix("Stable Diffusion ") for title in others)]
    return f"{', '.join(commas)} or {last}" if commas else last


ANY_FAMILY = join_titles(FAMILIES)
SUPPORTED = f"a {ANY_FAMILY} text-to-image checkpoint"


def find_family(config: Mapping[str, Any]) -> Family:
    """The family that a UNet of a size of its own would be of, by the two settings that tell at any size.

    Args:
        config: of a diffusers UNet that was not refused; only `use_linear_projection` and `addition_embed_type` are
            read. All UNets with added conditions that are taken have linear projections.
    """
    if config.get("addition_embed_type") == TEXT_TIME:
        return SDXL
    linear = bool(config["use_linear_projection"])
    return next(family for family in FAMILIES if family.linear_projection == linear)


def name_architecture(config: Mapping[str, Any]) -> str:
    """A short name of a UNet's architecture from its config: "sd1", "sd2", "sd1-64-128-128-text64", for messages."""
    family = find_family(config)
    widths, text_width = tuple(config["block_out_channels"]), config["cross_attention_dim"]
    if (widths, text_width) == (family.widths, family.text_width):
        return family.name
    return "-".join([family.name, *map(str, widths), f"text{text_width}"])


def describe_architecture(unet: UNet2DConditionModel) -> dict[str, Any]:
    """A UNet's settings `ARCHITECTURE`, and those of `OPTIONAL_ARCHITECTURE` that it sets, as plain JSON values."""
    own = {name: read_setting(unet.config, name) for name in (*ARCHITECTURE, *OPTIONAL_ARCHITECTURE)}
    usual = OPTIONAL_ARCHITECTURE.items()
    return {name: value for name, value in own.items() if (name, value) not in usual}


def read_setting(config: Mapping[str, Any], name: str) -> Any:
    """One setting of an architecture as a plain JSON value; a depth that is the same at all levels as one number."""
    value = as_json(config.get(name, OPTIONAL_ARCHITECTURE.get(name)))
    if name == "transformer_layers_per_block" and isinstance(value, list) and value == value[:1] * len(value):
        return value[0] if value else 1
    return value


def title_by_text_width(config: Mapping[str, Any]) -> str:
    """The title of the family whose official UNet attends to text of a config's width, for messages.

    Args:
        config: of a diffusers UNet, or what a motion file says of one; whatever stands in it.
    """
    # A file may hold anything here, what cannot be looked up too.
    width = str(config.get("cross_attention_dim"))
    return next((family.title for family in FAMILIES if str(family.text_width) == width), "a model of another size")


def list_text_widths() -> str:
    """Which family attends to text of which width, in words: "1.x attends to text of width 768, 2.x of 1024"."""
    first, *others = ((family.title.removeprefix("Stable Diffusion "), family.text_width) for family in FAMILIES)
    return ", ".join(
        [f"{first[0]} attends to text of width {first[1]}", *(f"{title} of {width}" for title, width in others)]
    )
