"""tav_core/models/conditioning.py: what a model is told, its operations, and a bare text tensor in its place."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tav_core import (
    Conditioning,
    ContextWindows,
    EditConfig,
    InjectedDenoiser,
    TuneConfig,
    WindowedDenoiser,
    edit,
    invert,
    reconstruct,
    render_preview,
    tune,
)
from tav_core.denoisers.guidance import guided
from tav_core.errors import ConfigError
from tav_core.models.conditioning import as_conditioning, cat_videos


def whole(videos=2, frames=5, seed=0):
    """A conditioning with every part."""
    generator = torch.Generator().manual_seed(seed)
    return Conditioning(
        text=torch.randn((videos, 7, 32), generator=generator),
        pooled_text=torch.randn((videos, 16), generator=generator),
        size_ids=torch.randint(0, 1025, (videos, 6), generator=generator),
        channels=torch.randn((videos, 4, frames, 8, 8), generator=generator),
        noise_level=torch.randint(0, 1000, (videos,), generator=generator),
        image_text=torch.randn((videos, 2, 7, 32), generator=generator),
    )


def same(got, expected):
    assert got.parts().keys() == expected.parts().keys()
    return all(torch.equal(part, expected.parts()[name]) for name, part in got.parts().items())


def test_every_field_is_a_part_and_only_what_is_set():
    assert whole().parts().keys() == {field.name for field in dataclasses.fields(Conditioning)}
    assert Conditioning(text=torch.zeros(1, 7, 32)).parts().keys() == {"text"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole().text = torch.zeros(1, 7, 32)


def test_a_bare_text_is_a_conditioning_of_text_alone(context):
    bare = as_conditioning(context)
    assert bare.text is context
    assert bare.parts().keys() == {"text"}
    assert as_conditioning(bare) is bare


def test_videos_are_cut_out_put_together_and_gone_through():
    given, other = whole(3), whole(2, seed=1)
    both = cat_videos([given, other])
    assert len(both) == 5
    assert same(both[:3], given)
    assert same(both[3:], other)
    assert same(cat_videos(list(both)), both)
    assert [len(each) for each in both] == [1] * 5
    assert torch.equal(list(both)[3].pooled_text, other.pooled_text[:1])


def test_one_video_expands_to_several_without_a_copy():
    one = whole(1)
    three = one.expand(3)
    assert same(three, cat_videos([one] * 3))
    assert three.channels.data_ptr() == one.channels.data_ptr()
    assert same(three.expand(3), three)
    with pytest.raises(ConfigError, match="2 videos for 3"):
        whole(2).expand(3)


def test_a_cast_leaves_whole_numbers_whole():
    given = whole()
    half = given.to(dtype=torch.bfloat16)
    assert {half.text.dtype, half.pooled_text.dtype, half.channels.dtype} == {torch.bfloat16}
    assert torch.equal(half.size_ids, given.size_ids)
    assert torch.equal(half.noise_level, given.noise_level)
    assert half.size_ids.dtype == half.noise_level.dtype == torch.int64
    assert {part.device.type for part in given.to(device="meta").parts().values()} == {"meta"}
    assert given.text.dtype == torch.float32
    assert same(given.to(), given)


def test_frames_are_picked_from_the_channels_alone():
    given = whole()
    picked = given.pick_frames([0, 3, 4])
    assert torch.equal(picked.channels, given.channels[:, :, [0, 3, 4]])
    assert same(dataclasses.replace(picked, channels=given.channels), given)
    plain = Conditioning(text=given.text)
    assert plain.pick_frames([1]) is plain


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("text", None),
        ("text", "a cat"),
        ("text", torch.zeros(7, 32)),
        ("text", torch.zeros(2, 0, 32)),
        ("text", torch.zeros(2, 7, 32, dtype=torch.int64)),
        ("pooled_text", torch.zeros(2, 7, 16)),
        ("pooled_text", torch.zeros(1, 16)),
        ("size_ids", torch.zeros(2, 6)),
        ("size_ids", torch.zeros(6, dtype=torch.int64)),
        ("channels", torch.zeros(2, 4, 8, 8)),
        ("noise_level", torch.zeros(3, dtype=torch.int64)),
        ("noise_level", 50),
    ],
)
def test_parts_of_another_layout_are_refused(part, wrong):
    with pytest.raises(ConfigError, match="text embeddings" if part == "text" else part):
        dataclasses.replace(whole(), **{part: wrong})


def test_what_a_model_cannot_be_told_is_refused():
    whole().check(width=32, values=True)
    with pytest.raises(ConfigError, match=r"text embeddings of shape \(2, 7, 32\)[^|]*d 48"):
        whole().check(width=48)
    for name, what in {"text": "text embeddings", "channels": "channels"}.items():
        broken = dataclasses.replace(whole(), **{name: torch.full_like(whole().parts()[name], float("nan"))})
        broken.check(width=32)
        with pytest.raises(ConfigError, match=f"{what} with values that are not finite"):
            broken.check(values=True)


@pytest.mark.parametrize("lacks", ["pooled_text", "channels", "noise_level"])
def test_conditionings_of_different_parts_or_shapes_are_no_batch(lacks):
    with pytest.raises(ConfigError, match=f"same parts[^|]*zeros|{lacks}"):
        cat_videos([whole(), dataclasses.replace(whole(), **{lacks: None})])
    longer = dataclasses.replace(whole(), text=torch.zeros(2, 14, 32))
    with pytest.raises(ConfigError, match=r"\(7, 32\).*\(14, 32\)"):
        cat_videos([whole(), longer])


def test_long_and_short_prompts_are_one_batch():
    short, long = (dataclasses.replace(whole(), text=torch.randn(2, tokens, 32)) for tokens in (77, 154))
    both = cat_videos([short, long]).text
    assert torch.equal(both, torch.cat([short.text.repeat(1, 2, 1), long.text]))


# Each public function with a text in it, given latents `1 c f h w`, a text, and another text.
DOORS = {
    "forward": lambda d, x, text, _: d.unet(x, 481, text),
    "predict": lambda d, x, text, _: d.predict(x, 481, text),
    "epsilon": lambda d, x, text, _: d.epsilon(x, 481, text),
    "guided": lambda d, x, text, other: guided(d, text, other, 4.0)(x, 481),
    "windows": lambda d, x, text, _: WindowedDenoiser(denoiser=d, windows=ContextWindows(length=3, overlap=1)).epsilon(
        x, 481, text
    ),
    "invert": lambda d, x, text, _: invert(d, x, text, num_steps=2).latents,
    "edit": lambda d, x, text, other: edit(d, x, text, other, config=EditConfig(num_steps=2)),
    "reconstruct": lambda d, x, text, _: reconstruct(d, invert(d, x, text, num_steps=2), text).latents,
    "injection": lambda d, x, text, other: InjectedDenoiser(
        denoiser=d, trajectory=invert(d, x, text, num_steps=2), source_context=text
    ).epsilon(x, 501, other),
}


@torch.no_grad()
@pytest.mark.parametrize("door", DOORS)
def test_a_bare_text_gives_the_same_bits(denoiser, clip_latents, context, door):
    other = context.flip(1)
    bare = DOORS[door](denoiser, clip_latents, context, other)
    assert torch.equal(DOORS[door](denoiser, clip_latents, as_conditioning(context), as_conditioning(other)), bare)


def test_a_bare_text_tunes_and_previews_the_same_bits(untuned, unet_2d, clip_latents, context):
    motions, previews = [], []
    for text in (context, as_conditioning(context)):
        motion = tune(untuned, clip_latents, text, config=TuneConfig(num_steps=2, memory="speed"))
        shown = {"source": text, "shown": text, "negative": text}
        motions.append({**motion.deltas, **motion.temporal})
        previews.append(render_preview(motion, unet_2d, untuned.schedule, clip_latents[:, :, :2], **shown))
    assert all(torch.equal(tensor, motions[1][name]) for name, tensor in motions[0].items())
    assert torch.equal(*previews)
