"""CLIP's embeddings and scores against transformers' own model, image processor and tokenizer, on random weights."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tav_core.errors import CheckpointError, InputError, PromptError
from tav_core.metrics.clip import load_clip_model
from tav_core.metrics.similarity import frame_consistency, text_similarity

PROMPT = "a man is skiing"


def their_image_embeddings(model, frames):
    """Image embeddings by transformers: its processor, with Pillow, and its model."""
    from transformers.models.clip import CLIPImageProcessor

    size = model.config.vision_config.image_size
    processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    pictures = frames.mul(255).round().to(torch.uint8)
    pixels = processor(images=list(pictures.numpy()), return_tensors="pt").pixel_values
    return model(pixel_values=pixels, input_ids=torch.tensor([[1, 49407]])).image_embeds


def their_text_embedding(model, prompt):
    """Text embeddings by transformers, padded to 77 tokens."""
    from transformers import CLIPTokenizer

    from tav_core.checkpoints.tokenizer import CLIP_TOKENIZER

    tokenizer = CLIPTokenizer.from_pretrained(str(CLIP_TOKENIZER))
    tokens = tokenizer([prompt], padding="max_length", max_length=77, return_tensors="pt")
    pixels = torch.zeros(1, 3, 32, 32)
    return model(pixel_values=pixels, **tokens).text_embeds


@pytest.fixture
def square():
    """Frames that need no resizing, of 8-bit values: nothing is rounded on the way."""
    pixels = torch.randint(0, 256, (5, 32, 32, 3), generator=torch.Generator().manual_seed(3))
    return pixels / 255


def test_scores_are_those_of_transformers(clip_folder, clip_model, square, offline):
    clip = load_clip_model(clip_folder)
    images, text = clip.encode_images(square), clip.encode_text(PROMPT)
    theirs, their_text = their_image_embeddings(clip_model, square), their_text_embedding(clip_model, PROMPT)
    logits = theirs.double() @ their_text.double().T
    torch.testing.assert_close(text_similarity(images, text), 100 * logits[:, 0], rtol=0, atol=1e-4)
    cosines = theirs.double() @ theirs.double().T
    pairs = [cosines[i, j] for i in range(5) for j in range(5) if i != j]
    torch.testing.assert_close(frame_consistency(images), 100 * torch.stack(pairs).mean(), rtol=0, atol=1e-4)


def test_resized_frames_differ_from_pillows_by_its_rounding_alone(clip_folder, clip_model, video):
    frames = video.mul(255).round() / 255
    ours, theirs = load_clip_model(clip_folder).encode_images(frames), their_image_embeddings(clip_model, frames)
    cosines = torch.nn.functional.cosine_similarity(ours, theirs)
    assert cosines.min() > 0.9999


def test_a_single_file_is_the_same_clip(clip_folder, clip_model, video, tmp_path, offline):
    folder = load_clip_model(clip_folder)
    file = load_clip_model(clip_folder / "model.safetensors")
    assert torch.equal(file.encode_images(video), folder.encode_images(video))
    assert torch.equal(file.encode_text(PROMPT), folder.encode_text(PROMPT))


def test_loading_and_measuring_in_inference_mode_as_in_comfyui(clip_folder, video):
    outside = load_clip_model(clip_folder).encode_images(video)
    with torch.inference_mode():
        for path in (clip_folder, clip_folder / "model.safetensors"):
            assert torch.equal(load_clip_model(path).encode_images(video.clone()), outside)


def to_original(tensors):
    """transformers' names to OpenAI's, written here from the layout itself."""
    out = {}
    for tower, old in {"vision_model.": "visual.", "text_model.": ""}.items():
        stem = f"{tower}encoder.layers."
        for index in range(2):
            new, at = f"{old}transformer.resblocks.{index}.", f"{stem}{index}."
            for kind in ("weight", "bias"):
                qkv = [tensors[f"{at}self_attn.{part}_proj.{kind}"] for part in "qkv"]
                out[f"{new}attn.in_proj_{kind}"] = torch.cat(qkv)
                out[f"{new}attn.out_proj.{kind}"] = tensors[f"{at}self_attn.out_proj.{kind}"]
                for ours, theirs in {"c_fc": "fc1", "c_proj": "fc2"}.items():
                    out[f"{new}mlp.{ours}.{kind}"] = tensors[f"{at}mlp.{theirs}.{kind}"]
                for number in (1, 2):
                    out[f"{new}ln_{number}.{kind}"] = tensors[f"{at}layer_norm{number}.{kind}"]
    for kind in ("weight", "bias"):
        out[f"visual.ln_pre.{kind}"] = tensors[f"vision_model.pre_layrnorm.{kind}"]
        out[f"visual.ln_post.{kind}"] = tensors[f"vision_model.post_layernorm.{kind}"]
        out[f"ln_final.{kind}"] = tensors[f"text_model.final_layer_norm.{kind}"]
    out["visual.class_embedding"] = tensors["vision_model.embeddings.class_embedding"]
    out["visual.conv1.weight"] = tensors["vision_model.embeddings.patch_embedding.weight"]
    out["visual.positional_embedding"] = tensors["vision_model.embeddings.position_embedding.weight"]
    out["token_embedding.weight"] = tensors["text_model.embeddings.token_embedding.weight"]
    out["positional_embedding"] = tensors["text_model.embeddings.position_embedding.weight"]
    out["visual.proj"] = tensors["visual_projection.weight"].T
    out["text_projection"] = tensors["text_projection.weight"].T
    out["logit_scale"] = tensors["logit_scale"]
    return {name: tensor.contiguous() for name, tensor in out.items()}


def test_openai_names_are_the_same_clip(clip_folder, video, tmp_path):
    save_file(to_original(load_file(clip_folder / "model.safetensors")), tmp_path / "open_clip.safetensors")
    original, folder = load_clip_model(tmp_path / "open_clip.safetensors"), load_clip_model(clip_folder)
    torch.testing.assert_close(original.encode_images(video), folder.encode_images(video), rtol=0, atol=1e-5)
    torch.testing.assert_close(original.encode_text(PROMPT), folder.encode_text(PROMPT), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "patch", "text", "expected"), [(768, 32, 512, "quick_gelu"), (1280, 14, 1024, "gelu")]
)
def test_the_activation_goes_by_the_size(width, patch, text, expected):
    from tav_core.checkpoints.clip_weights import text_settings, vision_settings

    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": ((224 // patch) ** 2 + 1, width),
        "vision_model.encoder.layers.0.mlp.fc1.weight": (4 * width, width),
        "visual_projection.weight": (512, width),
        "text_model.embeddings.token_embedding.weight": (49408, text),
        "text_model.embeddings.position_embedding.weight": (77, text),
        "text_model.encoder.layers.0.mlp.fc1.weight": (4 * text, text),
        "text_projection.weight": (512, text),
    }
    assert vision_settings(shapes)["hidden_act"] == text_settings(shapes)["hidden_act"] == expected
    assert vision_settings(shapes)["image_size"] == 224
    assert vision_settings(shapes)["num_attention_heads"] == {768: 12, 1280: 16}[width]


def test_half_precision_weights_are_read_as_float32(clip_folder, video, tmp_path):
    halves = {name: tensor.half() for name, tensor in load_file(clip_folder / "model.safetensors").items()}
    save_file(halves, tmp_path / "half.safetensors")
    ours = load_clip_model(tmp_path / "half.safetensors").encode_images(video)
    assert ours.dtype == torch.float32
    full = load_clip_model(clip_folder).encode_images(video)
    assert torch.nn.functional.cosine_similarity(ours, full).min() > 0.9999


class TestImagesAlone:
    """A CLIP without its tower for text."""

    @pytest.fixture
    def file(self, clip_folder, tmp_path):
        tensors = load_file(clip_folder / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if name.startswith("vis")}
        save_file(kept, tmp_path / "vision.safetensors")
        return tmp_path / "vision.safetensors"

    def test_gives_the_same_image_embeddings(self, file, clip_folder, video):
        assert torch.equal(
            load_clip_model(file).encode_images(video), load_clip_model(clip_folder).encode_images(video)
        )

    def test_refuses_a_prompt(self, file):
        with pytest.raises(InputError, match="a CLIP without a text tower"):
            load_clip_model(file).encode_text(PROMPT)

    def test_as_a_folder(self, clip_model, clip_folder, video, tmp_path):
        from transformers import CLIPVisionModelWithProjection

        config = copy.deepcopy(clip_model.config.vision_config)
        config.projection_dim = clip_model.config.projection_dim
        vision = CLIPVisionModelWithProjection(config)
        vision.load_state_dict({k: v for k, v in clip_model.state_dict().items() if k.startswith("vis")}, strict=False)
        vision.save_pretrained(tmp_path / "vision")
        clip = load_clip_model(tmp_path / "vision")
        assert clip.tokenizer is None
        assert torch.equal(clip.encode_images(video), load_clip_model(clip_folder).encode_images(video))


class TestErrors:
    """Each says what it got, what it expected and what to do."""

    def test_nothing_there(self, tmp_path, offline):
        with pytest.raises(CheckpointError, match="no such file or folder"):
            load_clip_model(tmp_path / "gone")
        with pytest.raises(CheckpointError, match="model hub"):
            load_clip_model("openai/clip-vit-large-patch14")

    def test_another_model(self, dino_folder):
        with pytest.raises(CheckpointError, match="type vit"):
            load_clip_model(dino_folder)

    def test_missing_weights(self, clip_folder, tmp_path):
        shutil.copytree(clip_folder, tmp_path / "clip")
        tensors = load_file(tmp_path / "clip" / "model.safetensors")
        del tensors["text_projection.weight"]
        save_file(tensors, tmp_path / "clip" / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=r"without text_projection\.weight"):
            load_clip_model(tmp_path / "clip")

    def test_a_damaged_file(self, clip_folder, tmp_path):
        shutil.copytree(clip_folder, tmp_path / "clip")
        (tmp_path / "clip" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0junkjunk")
        for path in ("clip", "clip/model.safetensors"):
            with pytest.raises(CheckpointError, match="cannot be"):
                load_clip_model(tmp_path / path)

    def test_weights_of_another_size(self, clip_folder, tmp_path):
        shutil.copytree(clip_folder, tmp_path / "clip")
        config = json.loads((tmp_path / "clip" / "config.json").read_text())
        config["projection_dim"] = 48
        (tmp_path / "clip" / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_clip_model(tmp_path / "clip")

    def test_a_file_of_something_else(self, dino_folder):
        with pytest.raises(CheckpointError, match="patch_embedding"):
            load_clip_model(dino_folder / "model.safetensors")

    def test_a_prompt_that_is_not_unicode(self, clip_folder):
        with pytest.raises(PromptError, match="not Unicode text"):
            load_clip_model(clip_folder).encode_text("a \ud83c")

    def test_a_prompt_too_long(self, clip_folder):
        with pytest.raises(PromptError, match="76 tokens"):
            load_clip_model(clip_folder).encode_text("cat " * 76)
        assert load_clip_model(clip_folder).encode_text("cat " * 75).shape == (1, 24)
