"""tav_core/denoisers/local_prompts.py: which prompt holds where, and what is refused."""

from __future__ import annotations

import pytest
import torch

from tav_core import LocalPrompt, edit
from tav_core.denoisers.local_prompts import epsilon_under, local_weights, place_prompts
from tav_core.errors import ClipError, ConfigError
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.config import EditConfig

FRAMES, SIDE = 4, 8
SHAPE = (1, 4, FRAMES, SIDE, SIDE)


@pytest.fixture
def texts(goldens):
    unet = goldens("unet")
    return {name: unet[f"ctx.{name}"] for name in ("empty", "src", "edit")}


def left(share: float = 0.5) -> torch.Tensor:
    """A mask of the left part of the picture, in pixels."""
    mask = torch.zeros(1, 8 * SIDE, 8 * SIDE)
    mask[..., : round(8 * SIDE * share)] = 1
    return mask


def predicted(denoiser, context, local=()):
    with torch.no_grad():
        latents = gaussian_noise(SHAPE, seed=5)
        return epsilon_under(denoiser, latents, 500, context, place_prompts(local, latents))


def test_each_cell_takes_the_prediction_of_its_own_prompt(denoiser, texts):
    whole, other = (predicted(denoiser, texts[name]) for name in ("src", "edit"))
    mixed = predicted(denoiser, texts["src"], [LocalPrompt(context=texts["edit"], mask=left())])
    assert torch.equal(mixed[..., 4:], whole[..., 4:]) and torch.equal(mixed[..., :4], other[..., :4])
    assert not torch.equal(whole[..., :4], other[..., :4])


def test_no_local_prompts_change_no_bit(denoiser, texts):
    start, config = gaussian_noise(SHAPE, seed=5), EditConfig(num_steps=3)
    plain = edit(denoiser, start, texts["src"], texts["empty"], config=config)
    assert torch.equal(plain, edit(denoiser, start, texts["src"], texts["empty"], config=config, local=[]))
    nowhere = [LocalPrompt(context=texts["edit"], mask=0 * left())]
    assert (
        plain - edit(denoiser, start, texts["src"], texts["empty"], config=config, local=nowhere)
    ).abs().max() < 1e-4


def test_an_edit_under_one_local_prompt_everywhere_is_that_prompts(denoiser, texts):
    start, config = gaussian_noise(SHAPE, seed=5), EditConfig(num_steps=3)
    everywhere = [LocalPrompt(context=texts["edit"], mask=left(1.0))]
    got = edit(denoiser, start, texts["src"], texts["empty"], config=config, local=everywhere)
    alone = edit(denoiser, start, texts["edit"], texts["empty"], config=config)
    other = edit(denoiser, start, texts["src"], texts["empty"], config=config)
    assert (got - alone).abs().max() < 1e-4 < 1e-2 < (got - other).abs().max()


def test_masks_may_overlap_and_change_from_frame_to_frame(texts):
    moving = torch.cat([left(share) for share in (0.25, 0.5, 0.75, 1.0)])
    local = [LocalPrompt(context=texts["edit"], mask=moving), LocalPrompt(context=texts["src"], mask=left())]
    weights = local_weights(local, torch.zeros(SHAPE))
    assert weights.shape == (2, FRAMES, SIDE, SIDE)
    assert weights.sum(0).max() == 1
    assert weights[:, 2, 0].tolist() == [[0.5] * 4 + [1.0] * 2 + [0.0] * 2, [0.5] * 4 + [0.0] * 4]


def test_a_cell_on_the_edge_of_a_mask_counts_by_its_share(texts):
    weights = local_weights([LocalPrompt(context=texts["edit"], mask=left(0.5 - 2 / 64))], torch.zeros(SHAPE))
    assert weights[0, 0, 0].tolist() == [1, 1, 1, 0.75, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (torch.zeros(1, 8, 8), "a mask of 8x8 pixels"),
        (torch.zeros(3, 64, 64), "a mask of 3 frames"),
        (torch.full((1, 64, 64), 2.0), "values from 2"),
        (torch.zeros(64, 64), "a mask of shape"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_before_the_first_step(denoiser, texts, mask, said):
    with pytest.raises(ClipError, match=said):
        edit(
            denoiser,
            gaussian_noise(SHAPE, seed=5),
            texts["src"],
            texts["empty"],
            config=EditConfig(num_steps=3),
            on_step=lambda *_: pytest.fail("a step was taken"),
            local=[LocalPrompt(context=texts["edit"], mask=mask)],
        )


@pytest.mark.parametrize(
    ("spoil", "said"), [(lambda text: text * torch.nan, "not finite"), (lambda text: text[..., :-1], "text embeddings")]
)
def test_a_text_that_does_not_fit_is_refused_before_the_first_step(texts, denoiser, monkeypatch, spoil, said):
    monkeypatch.setattr(type(denoiser), "epsilon", lambda *_: pytest.fail("a step was taken"))
    local = [LocalPrompt(context=spoil(texts["edit"]), mask=left())]
    with pytest.raises(ConfigError, match=said):
        edit(denoiser, gaussian_noise(SHAPE, seed=5), texts["src"], texts["empty"], local=local)


def test_one_mask_has_one_prompt(texts):
    with pytest.raises(ConfigError, match="2 prompts for one mask"):
        LocalPrompt(context=torch.cat([texts["src"], texts["edit"]]), mask=left())


def test_reused_layers_are_refused(denoiser, texts):
    local = [LocalPrompt(context=texts["edit"], mask=left())]
    with pytest.raises(ConfigError, match="deep_every 2 with local prompts"):
        edit(
            denoiser,
            gaussian_noise(SHAPE, seed=5),
            texts["src"],
            texts["empty"],
            config=EditConfig(num_steps=2, deep_every=2),
            local=local,
        )
