"""The conditioning of a model: the text and, for some families, further inputs.

Stable Diffusion 1.x and 2.x take the text alone. A parameter named `context` is a `Conditioning`; public functions also
accept bare text embeddings for it and convert them at once by `as_conditioning`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError, LatentsError
from ..layouts import all_finite
from ..settings import is_whole

AXES = {
    "text": "b m d",
    "pooled_text": "b p",
    "size_ids": "b n",
    "channels": "b c f h w",
    "noise_level": "b",
    "image_text": "b i m d",
}
# Of one prompt, with start, end and padding, in all models that this library takes. Long prompts have a multiple.
PROMPT_TOKENS = 77
# Size ids of one video: original height and width, top and left of the crop, target height and width, in pixels.
NUM_SIZES = 6
# The most that ComfyUI's "CLIP Text Encode SDXL" takes.
LARGEST_SIZE = 16384


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioning:
    """The inputs of a denoiser besides latents and timestep, for a batch of `b` videos.

    `len` is the number of videos; iterating gives one conditioning per video.

    Args:
        text: text embeddings, `b m d`: m tokens of width d.
        pooled_text: one embedding per prompt, `b p`. For SDXL.
        size_ids: integers, `b n`, in pixels. For SDXL n = `NUM_SIZES`: original height and width, top and left of the
            crop, target height and width.
        channels: further input channels, `b c f h w`, which follow those of the latents: the image that
            Instruct-Pix2Pix edits, or LaVie's key frames.
        noise_level: the timestep of the noise in `channels`, one integer per video, `b`. For upscalers.
        image_text: text embeddings of i still pictures, `b i m d`, which follow the frames of each video: LaVie is
            tuned on videos and pictures together.

    Raises:
        ConfigError: a part has another layout or kind, or the parts are for different numbers of videos.
    """

    text: Tensor
    pooled_text: Tensor | None = None
    size_ids: Tensor | None = None
    channels: Tensor | None = None
    noise_level: Tensor | None = None
    image_text: Tensor | None = None

    def __post_init__(self) -> None:
        check_layout("text embeddings", self.text, AXES["text"], floats=True)
        for name, part in self.parts().items():
            check_layout(name, part, AXES[name], floats=name not in ("size_ids", "noise_level"))
            if len(part) != len(self.text):
                raise ConfigError(
                    got=f"{name} for {len(part)} videos, text for {len(self.text)}",
                    expected="the same number of videos in each part of a conditioning",
                    mend="Repeat the shorter part.",
                )

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, videos: slice) -> Conditioning:
        """The conditioning of a range of the videos."""
        return self.map(lambda part: part[videos])

    def __iter__(self) -> Iterator[Conditioning]:
        return (self[i : i + 1] for i in range(len(self)))

    def parts(self) -> dict[str, Tensor]:
        """The parts that are set, by name."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: part for name, part in given.items() if part is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """A new conditioning, with a function applied to each part that is set."""
        return Conditioning(**{name: change(part) for name, part in self.parts().items()})

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditioning:
        """Moves all parts to a device and casts the floats. Integers stay, because half precision would round them."""
        return self.map(lambda part: part.to(device=device, dtype=dtype if part.is_floating_point() else None))

    def expand(self, num_videos: int) -> Conditioning:
        """Repeats the conditioning of one video for several, without copying values.

        Raises:
            ConfigError: it is already for several videos, but not for `num_videos`.
        """
        if len(self) not in (1, num_videos):
            raise ConfigError(
                got=f"the conditioning of {len(self)} videos for {num_videos}",
                expected="one for all videos, or one for each",
                mend="Encode as many prompts as there are videos.",
            )
        return self.map(lambda part: part.expand(num_videos, *part.shape[1:]))

    def check_fits(self, shape: Sequence[int]) -> None:
        """Raises `LatentsError` unless `channels` has the frames and the size of latents of a shape `b c f h w`."""
        if self.channels is not None and self.channels.shape[2:] != tuple(shape[2:]):
            raise LatentsError(
                got=f"channels of shape {tuple(self.channels.shape)} for latents of {tuple(shape)}",
                expected="as many frames in both, of one size",
                mend="Make the channels from the same clip as the latents.",
            )

    def pick_frames(self, frames: Sequence[int]) -> Conditioning:
        """The conditioning of some of the frames. Only `channels` hold data per frame."""
        if self.channels is None:
            return self
        return dataclasses.replace(self, channels=self.channels[:, :, list(frames)])

    def check(self, *, width: int | None = None, values: bool = False) -> None:
        """Checks the width of the text; with `values` also that all values are finite, which waits for the device.

        Args:
            width: the width of the text embeddings that the model attends to; any if None.

        Raises:
            ConfigError: the text has another width, or there are values that are not finite numbers.
        """
        if width is not None:
            check_layout("text embeddings", self.text, AXES["text"], floats=True, width=width)
        for name, part in self.parts().items():
            if values and not all_finite(part):
                raise ConfigError(
                    got=f"{'text embeddings' if name == 'text' else name} with values that are not finite numbers",
                    expected="finite numbers",
                    mend="Check how they were made: a text encoder in float16 may overflow.",
                )


def as_conditioning(context: Conditioning | Tensor) -> Conditioning:
    """Returns a conditioning unchanged, and text embeddings `b m d` as a conditioning with text alone.

    Raises:
        ConfigError: it is neither of the two.
    """
    return context if isinstance(context, Conditioning) else Conditioning(text=context)


def repeat_to_one_length(texts: Sequence[Tensor]) -> list[Tensor]:
    """Text embeddings `b m d` repeated along their tokens to one length, the least that all divide.

    Attention to tokens that are all there equally often is attention to them once.
    """
    length = math.lcm(*(text.shape[1] for text in texts))
    return [text.repeat(1, length // text.shape[1], 1) for text in texts]


def are_size_ids(sizes: Sequence[int]) -> bool:
    """Whether these are the six sizes of a picture, whole numbers that are not too large."""
    return len(sizes) == NUM_SIZES and all(is_whole(size) and 0 <= size <= LARGEST_SIZE for size in sizes)


def repeat_size_ids(sizes: Sequence[int], num_videos: int, device: torch.device | str) -> Tensor:
    """The same size ids for all videos, `b n`.

    Raises:
        ConfigError: they are not `NUM_SIZES` whole numbers from 0 to 16384.
    """
    if not are_size_ids(sizes):
        raise ConfigError(
            got=f"size ids {list(sizes)}",
            expected=f"{NUM_SIZES} whole numbers from 0 to {LARGEST_SIZE}: original height and width, top and left of "
            "the crop, target height and width",
            mend="Leave them out for the size of the clip, or use 1024 1024 0 0 1024 1024.",
        )
    return torch.tensor([[int(size) for size in sizes]], device=device).expand(num_videos, -1)


def cat_videos(contexts: Sequence[Conditioning]) -> Conditioning:
    """Concatenates conditionings along the batch. Of long prompts, the shorter are repeated: `repeat_to_one_length`.

    Raises:
        ConfigError: the conditionings have different parts, or parts of different shapes.
    """
    lengths = {context.text.shape[1] for context in contexts}
    if len(lengths) > 1 and not any(length % PROMPT_TOKENS for length in lengths):
        texts = repeat_to_one_length([context.text for context in contexts])
        contexts = [dataclasses.replace(one, text=text) for one, text in zip(contexts, texts, strict=True)]
    parts = [context.parts() for context in contexts]
    shapes = [{name: tuple(part.shape[1:]) for name, part in each.items()} for each in parts]
    if other := next((each for each in shapes if each != shapes[0]), None):
        raise ConfigError(
            got=f"two conditionings for one batch, of {shapes[0]} and {other}",
            expected="the same parts, of the same shape for each video",
            mend="Make both in the same way; use zeros of the same shape for a part that one of them should lack.",
        )
    return Conditioning(**{name: torch.cat([each[name] for each in parts]) for name in parts[0]})


def check_layout(what: str, part: Tensor, axes: str, *, floats: bool, width: int | None = None) -> None:
    """Checks the axes of one part of a conditioning, and whether it holds floats or integers.

    Args:
        what: its name in the error message.
        axes: the names of its axes.
        floats: whether floats are expected, or integers.
        width: the size of its last axis; any if None.

    Raises:
        ConfigError: it is no such tensor, has another rank, or an empty axis.
    """
    is_kind = isinstance(part, Tensor) and part.is_floating_point() == floats
    shape, names = tuple(part.shape) if is_kind else (), axes.split()
    if len(shape) != len(names) or 0 in shape or width not in (None, shape[-1]):
        found = getattr(part, "dtype", type(part).__name__)
        layout = f"{'floats' if floats else 'integers'} in {len(names)} axes, {' '.join(names)}"
        raise ConfigError(
            got=f"{what} of {f'shape {shape}' if is_kind else found}",
            expected=layout if width is None else f"{layout}, {names[-1]} {width}",
            mend="Encode the prompt with the text encoder of the same checkpoint.",
        )
