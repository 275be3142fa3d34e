"""What a model is told besides latents and timestep: the text, and for some families more than the text.

Only what is set is passed on. Stable Diffusion 1.x and 2.x are told `text` alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from ..layouts import all_finite

AXES = {"text": "b m d", "pooled_text": "b p", "size_ids": "b n", "channels": "b c f h w", "noise_level": "b"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioning:
    """What a denoiser is told of `b` videos.

    Iterating gives one conditioning for each video, and `len` their number.

    Args:
        text: text embeddings, `b m d`: m tokens of width d.
        pooled_text: one embedding of the whole prompt, `b p`. SDXL's.
        size_ids: whole numbers of pixels, `b n`. SDXL's six: original height and width, top and left of the crop,
            target height and width.
        channels: what is concatenated to the latents in axis 1, `b c f h w`: an image that is edited, or key frames.
        noise_level: the timestep of the noise in `channels`, a whole number for each video, `b`. An upscaler's.

    Raises:
        ConfigError: a part of another layout or kind, or parts of different numbers of videos.
    """

    text: Tensor
    pooled_text: Tensor | None = None
    size_ids: Tensor | None = None
    channels: Tensor | None = None
    noise_level: Tensor | None = None

    def __post_init__(self) -> None:
        check_layout("text embeddings", self.text, AXES["text"], floats=True)
        for name, part in self.parts().items():
            check_layout(name, part, AXES[name], floats=name not in ("size_ids", "noise_level"))
            if len(part) != len(self.text):
                raise ConfigError(
                    got=f"{name} for {len(part)} videos, text for {len(self.text)}",
                    expected="the same number in each part of a conditioning",
                    mend="Repeat the part that is shorter.",
                )

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, videos: slice) -> Conditioning:
        """The conditioning of some of the videos."""
        return self.map(lambda part: part[videos])

    def __iter__(self) -> Iterator[Conditioning]:
        return (self[i : i + 1] for i in range(len(self)))

    def parts(self) -> dict[str, Tensor]:
        """The parts that are set, by name."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: part for name, part in given.items() if part is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """The conditioning with a function applied to each part that is set."""
        return Conditioning(**{name: change(part) for name, part in self.parts().items()})

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditioning:
        """The conditioning on a device, its floats in a dtype. Whole numbers stay: half precision would round them."""
        return self.map(lambda part: part.to(device=device, dtype=dtype if part.is_floating_point() else None))

    def expand(self, num_videos: int) -> Conditioning:
        """The conditioning of one video for several. No values are copied.

        Raises:
            ConfigError: it is of several videos, and of another number.
        """
        if len(self) not in (1, num_videos):
            raise ConfigError(
                got=f"the conditioning of {len(self)} videos for {num_videos}",
                expected="one for all videos, or one for each",
                mend="Encode as many prompts as there are videos.",
            )
        return self.map(lambda part: part.expand(num_videos, *part.shape[1:]))

    def pick_frames(self, frames: Sequence[int]) -> Conditioning:
        """The conditioning of some of the frames. Only `channels` hold something for each frame."""
        if self.channels is None:
            return self
        return dataclasses.replace(self, channels=self.channels[:, :, list(frames)])

    def check(self, *, width: int | None = None, values: bool = False) -> None:
        """Checks that a model can be told this; with `values` also every value, which waits for the device.

        Args:
            width: of the text that the model attends to.

        Raises:
            ConfigError: text of another width, or values that are not finite numbers.
        """
        if width is not None:
            check_layout("text embeddings", self.text, AXES["text"], floats=True, width=width)
        for name, part in self.parts().items():
            if values and not all_finite(part):
                raise ConfigError(
                    got=f"{'text embeddings' if name == 'text' else name} with values that are not finite numbers",
                    expected="finite numbers",
                    mend="Look at what made them: a text encoder in float16 may overflow.",
                )


def as_conditioning(context: Conditioning | Tensor) -> Conditioning:
    """A conditioning as it is; text embeddings `b m d` as a conditioning of text alone.

    Raises:
        ConfigError: neither of the two.
    """
    return context if isinstance(context, Conditioning) else Conditioning(text=context)


def cat_videos(contexts: Sequence[Conditioning]) -> Conditioning:
    """The videos of several conditionings, one after the other.

    Raises:
        ConfigError: the conditionings differ in what they hold, or in the shape of it.
    """
    parts = [context.parts() for context in contexts]
    shapes = [{name: tuple(part.shape[1:]) for name, part in each.items()} for each in parts]
    if other := next((each for each in shapes if each != shapes[0]), None):
        raise ConfigError(
            got=f"two conditionings for one batch, of {shapes[0]} and {other}",
            expected="the same parts, of the same shape for each video",
            mend="Make both in the same way. What a prompt is to lack is zeros of the same shape.",
        )
    return Conditioning(**{name: torch.cat([each[name] for each in parts]) for name in parts[0]})


def check_layout(what: str, part: Tensor, axes: str, *, floats: bool, width: int | None = None) -> None:
    """Checks that a part of a conditioning has its axes, none of them empty, and holds floats or whole numbers.

    Args:
        width: of the last axis; any where None.

    Raises:
        ConfigError: see there.
    """
    is_kind = isinstance(part, Tensor) and part.is_floating_point() == floats
    shape, names = tuple(part.shape) if is_kind else (), axes.split()
    if len(shape) != len(names) or 0 in shape or width not in (None, shape[-1]):
        found = getattr(part, "dtype", type(part).__name__)
        layout = f"{'floats' if floats else 'whole numbers'} in {len(names)} axes, {' '.join(names)}"
        raise ConfigError(
            got=f"{what} of {f'shape {shape}' if is_kind else found}",
            expected=layout if width is None else f"{layout}, {names[-1]} {width}",
            mend=f"Make the {what} as the model's own pipeline does; a prompt's by the text encoder of its checkpoint.",
        )
