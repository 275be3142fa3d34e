"""LOVEU-TGVE's scores against transformers' own processor and model, by the steps of the competition's script."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.errors import CheckpointError, PromptError
from tav_core.metrics.clip import load_clip_model
from tav_core.metrics.loveu import SIDE, loveu_scores
from tests.tav_core.metrics.tiny_judges import make_clip, save_clip

PROMPT = "a man is skiing, cartoon style"


def theirs(model, frames, prompt):
    """The three scores by transformers alone: processor, tokenizer, model; and numpy."""
    from transformers import CLIPTokenizer
    from transformers.models.clip import CLIPImageProcessor

    from tav_core.checkpoints.tokenizer import CLIP_TOKENIZER

    size = model.config.vision_config.image_size
    processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    tokenizer = CLIPTokenizer.from_pretrained(str(CLIP_TOKENIZER))
    pictures = [Image.fromarray((frame.numpy() * 255).round().astype(np.uint8)) for frame in frames]
    pictures = [picture.resize((SIDE, SIDE)) for picture in pictures]
    pixels = processor(images=pictures, return_tensors="pt").pixel_values
    tokens = tokenizer(prompt, padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        output = model(pixel_values=pixels, **tokens)
    images = output.image_embeds / output.image_embeds.norm(dim=-1, keepdim=True)
    text = output.text_embeds / output.text_embeds.norm(dim=-1, keepdim=True)
    cosines = (images @ images.T).numpy()
    np.fill_diagonal(cosines, 0)
    count = len(frames)
    return {
        "loveu_frames": cosines.sum() / (count * (count - 1)),
        "loveu_text": float(output.logits_per_image.mean()),
        "loveu_pick": float((model.logit_scale.exp() * (text @ images.T)[0]).mean()),
    }


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return load_clip_model(save_clip(make_clip(), tmp_path_factory.mktemp("judge")))


@pytest.fixture
def frames():
    """Smooth pictures of 8 bits, not square: on noise, two bicubics differ by more than any score may."""
    blocks = torch.rand((5, 3, 6, 9), generator=torch.Generator().manual_seed(7)) * 0.6 + 0.2
    smooth = torch.nn.functional.interpolate(blocks, (48, 72), mode="bicubic").clamp(0, 1).movedim(1, -1)
    return smooth.mul(255).round() / 255


def test_scores_are_those_of_the_script(judge, frames, offline):
    ours = loveu_scores(frames, PROMPT, clip=judge, pick=judge)
    expected = theirs(judge.model, frames, PROMPT)
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, rel=2e-3), name
    # The two differ by the prompt's cut alone, which a short prompt does not need.
    assert ours["loveu_text"] == ours["loveu_pick"]


def test_pickscore_cuts_a_long_prompt_as_its_tokenizer_does(judge, frames, offline):
    long = "a man " * 60
    ours = loveu_scores(frames, long, pick=judge)
    assert ours["loveu_pick"] == pytest.approx(theirs(judge.model, frames, long)["loveu_pick"], rel=2e-3)
    with pytest.raises(PromptError):
        loveu_scores(frames, long, clip=judge)


def test_weights_without_a_scale_are_refused(judge, frames, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_clip(make_clip(), tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop("logit_scale")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="without logit_scale"):
        loveu_scores(frames, PROMPT, pick=load_clip_model(folder))
    assert loveu_scores(frames, PROMPT) == {}
