"""Builds the frozen modules of a checkpoint from configs and tensors in diffusers' or transformers' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ..cancelling import cancellable
from ..errors import CheckpointError
from ..models.families import ANY_FAMILY

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, ControlNetModel, T2IAdapter, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Config = Mapping[str, Any]
Tensors = Mapping[str, Tensor]

# The names of the VAE's attention in diffusers below 0.12, with which the original Tune-A-Video saved its pipelines.
OLD_VAE_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
TEXT_PARTS = ("embeddings.", "encoder.", "final_layer_norm.")
PROJECTION = "text_projection.weight"


class Parts(NamedTuple):
    """What a diffusers folder and a single file both give."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    scheduler_config: Config
    # Stable Diffusion XL alone has one.
    text_encoder_2: CLIPTextModelWithProjection | None = None


class Builder(NamedTuple):
    """Builds the modules of the checkpoint at `path`, in one dtype, on one device."""

    path: Path
    dtype: torch.dtype
    device: torch.device | str

    def unet(self, config: Config, tensors: Tensors) -> UNet2DConditionModel:
        from diffusers import UNet2DConditionModel

        return self.build("UNet", lambda: UNet2DConditionModel.from_config(dict(config)), tensors)

    def vae(self, config: Config, tensors: Tensors) -> AutoencoderKL:
        from diffusers import AutoencoderKL

        return self.build("VAE", lambda: AutoencoderKL.from_config(dict(config)), _rename_vae_attention(tensors))

    def text_encoder(self, config: Config, tensors: Tensors) -> CLIPTextModel:
        from transformers import CLIPTextConfig, CLIPTextModel

        def make() -> CLIPTextModel:
            return CLIPTextModel(CLIPTextConfig.from_dict(dict(config)))

        # Some versions of transformers put `text_model.` before every name and some do not; so do files.
        return self.build("text encoder", make, bare_text_names(tensors), prefix="text_model.")

    def text_encoder_2(self, config: Config, tensors: Tensors) -> CLIPTextModelWithProjection:
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        def make() -> CLIPTextModelWithProjection:
            return CLIPTextModelWithProjection(CLIPTextConfig.from_dict(dict(config)))

        named = {f"text_model.{name}": tensor for name, tensor in bare_text_names(tensors).items()}
        projection = {PROJECTION: tensors[PROJECTION]} if PROJECTION in tensors else {}
        return self.build("second text encoder", make, {**named, **projection})

    def controlnet(self, config: Config, tensors: Tensors) -> ControlNetModel:
        from diffusers import ControlNetModel

        return self.build("ControlNet", lambda: ControlNetModel.from_config(dict(config)), tensors)

    def adapter(self, config: Config, tensors: Tensors) -> T2IAdapter:
        from diffusers import T2IAdapter

        return self.build("T2I-Adapter", lambda: T2IAdapter.from_config(dict(config)), tensors)

    def build(self, what: str, make: Callable[[], ModuleT], tensors: Tensors, prefix: str = "") -> ModuleT:
        """A frozen module with exactly these tensors.

        Args:
            what: its name in error messages.
            make: builds the module, without values.
            prefix: put before the tensors' names where the module's own have it.

        Raises:
            CheckpointError: it cannot be built, a tensor is missing or left over, or has another shape, or values that
                are not finite.
        """
        try:
            with torch.device("meta"):
                module = make()
        except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
            raise CheckpointError(
                got=f"a {what} that cannot be built ({error}): {self.path}",
                expected=f"the config of a {ANY_FAMILY} {what}",
                mend="Choose another checkpoint, or get this one again.",
            ) from error
        expected = module.state_dict()
        if prefix and any(name.startswith(prefix) for name in expected):
            tensors = {prefix + name: tensor for name, tensor in tensors.items()}
        self._check_fit(what, expected, tensors)
        # Copied, because tensors of a file opened with mmap would change with the file.
        ready = {name: tensors[name].to(self.device, self.dtype, copy=True) for name in cancellable(expected)}
        self._check_numbers(what, ready, tensors)
        module.load_state_dict(ready, assign=True)
        _fill_positions(module, self.device)
        return module.requires_grad_(False).eval()

    def _check_numbers(self, what: str, ready: Tensors, read: Tensors) -> None:
        for name, tensor in ready.items():
            if not read[name].is_floating_point() or not torch.isfinite(tensor).all():
                raise CheckpointError(
                    got=f"a {what} whose {name}, {read[name].dtype}, is not finite floats in {self.dtype}: {self.path}",
                    expected="weights that are floats and finite",
                    mend="The file is damaged, or quantized: choose another. If it is whole, try fp32 or bf16.",
                )

    def _check_fit(self, what: str, expected: Tensors, found: Tensors) -> None:
        misfits = [f"{name} is missing" for name in expected if name not in found]
        misfits += [f"{name} is not expected" for name in found if name not in expected]
        misfits += [
            f"{name} has shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ]
        if misfits:
            more = f", and {len(misfits) - 1} more such" if len(misfits) > 1 else ""
            raise CheckpointError(
                got=f"weights that do not fit the {what} ({misfits[0]}{more}): {self.path}",
                expected=f"the {len(expected)} tensors that the config of this {what} asks for",
                mend=f"The file is cut short, or of another family than {ANY_FAMILY}: choose another.",
            )


def bare_text_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Only the entries of a CLIP text model, without the prefix `text_model.`, position ids and projections."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    return {name: t for name, t in bare.items() if name.startswith(TEXT_PARTS) and not name.endswith("position_ids")}


def _rename_vae_attention(tensors: Tensors) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in OLD_VAE_ATTENTION.items():
            name = name.replace(old, new) if ".attentions." in name else name
        renamed[name] = tensor
    return renamed


def _fill_positions(module: nn.Module, device: torch.device | str) -> None:
    """Fills CLIP's position ids, a buffer that files need not hold and that has no values on the meta device."""
    for part in module.modules():
        if (unfilled := part._buffers.get("position_ids")) is not None:
            positions = torch.arange(unfilled.shape[-1], device=device)[None]
            part.register_buffer("position_ids", positions, persistent=False)
    left = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    assert not left, f"buffers without values: {left}"
