"""LoRAs on tiny checkpoints, in every layout; names of layers are written here from the layouts themselves."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tav_core import apply_loras, load_checkpoint, load_lora
from tav_core.checkpoints.lora import describe_lora
from tav_core.checkpoints.lora_file import read_lora
from tav_core.errors import CheckpointError, ConfigError
from tav_core.tuning.motion import hash_base

RANK = 2
QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
KOHYA_QUERY = f"lora_unet_{QUERY.replace('.', '_')}"
PARTS = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def parts(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def checkpoint(parts, tmp_path_factory, write_folder):
    return load_checkpoint(write_folder(parts, tmp_path_factory.mktemp("model") / "model"))


@pytest.fixture(scope="module")
def sd1_checkpoint(sd1, tmp_path_factory, write_folder):
    return load_checkpoint(write_folder(sd1, tmp_path_factory.mktemp("model") / "model"))


def layers_of(checkpoint, part):
    return {n: m for n, m in getattr(checkpoint, part).named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}


def thin(weight, generator):
    """The two matrices of a layer's difference; a convolution's kernel is in the first."""
    out, kernel = weight.shape[0], weight.shape[1:]
    up = torch.randn(out, RANK, *[1] * (len(kernel) - 1), generator=generator)
    return torch.randn(RANK, *kernel, generator=generator) * 0.05, up * 0.05


def random_lora(checkpoint, names):
    """A LoRA on every layer of the named parts: tensors by the layer's own name and part, and what they add."""
    generator, found = torch.Generator().manual_seed(1), []
    for part in names:
        if getattr(checkpoint, part) is None:
            continue
        for name, layer in layers_of(checkpoint, part).items():
            down, up = thin(layer.weight, generator)
            added = (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape)
            found.append(SimpleNamespace(part=part, name=name, down=down, up=up, added=added, weight=layer.weight))
    return found


def kohya(lora, alpha=1.0):
    tensors = {}
    for layer in lora:
        text = "text_model." if layer.part != "unet" and layer.name.startswith("encoder") else ""
        name = PARTS[layer.part] + (text + layer.name).replace(".", "_")
        tensors |= {f"{name}.lora_down.weight": layer.down, f"{name}.lora_up.weight": layer.up}
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def diffusers(lora, down="lora_A", up="lora_B"):
    tensors = {}
    for layer in lora:
        text = "text_model." if layer.part != "unet" and layer.name.startswith("encoder") else ""
        name = f"{layer.part}.{text}{layer.name}"
        tensors |= {f"{name}.{down}.weight": layer.down, f"{name}.{up}.weight": layer.up}
    return tensors


def check(checkpoint, changed, lora, factor):
    """Every layer has what the LoRA adds to it, and no other weight is changed."""
    added = {(layer.part, f"{layer.name}.weight"): factor * layer.added for layer in lora}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        before, after = getattr(checkpoint, part), getattr(changed, part)
        for name, weight in before.state_dict().items() if before is not None else ():
            expected = weight + added[part, name] if (part, name) in added else weight
            torch.testing.assert_close(after.state_dict()[name], expected, rtol=0, atol=1e-7)


def save(tmp_path, tensors, **metadata):
    save_file({n: t.contiguous() for n, t in tensors.items()}, tmp_path / "lora.safetensors", metadata or None)
    return tmp_path / "lora.safetensors"


ALL = ("unet", "text_encoder", "text_encoder_2")


def test_kohya_with_alpha_changes_every_layer(checkpoint, tmp_path):
    lora = random_lora(checkpoint, ALL)
    changed = apply_loras(checkpoint, [load_lora(save(tmp_path, kohya(lora, alpha=1.0)), 0.5)])
    check(checkpoint, changed, lora, 0.5 * 1.0 / RANK)


@pytest.mark.parametrize(("down", "up"), [("lora_A", "lora_B"), ("lora.down", "lora.up")])
def test_diffusers_layouts_without_alpha(sd1_checkpoint, tmp_path, down, up):
    lora = random_lora(sd1_checkpoint, ALL)
    changed = apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, diffusers(lora, down, up)))])
    check(sd1_checkpoint, changed, lora, 1.0)


def test_names_of_the_single_file_layout(parts, checkpoint, tmp_path, to_ldm):
    lora = random_lora(checkpoint, ("unet",))
    marks = {layer.name: torch.tensor(float(i)) for i, layer in enumerate(lora)}
    # The conftest renames tensors by name; a mark for each layer's weight tells which name it got.
    state = {n: marks.get(n.removesuffix(".weight"), torch.tensor(-1.0)) for n in checkpoint.unet.state_dict()}
    unet = SimpleNamespace(config=checkpoint.unet.config, state_dict=lambda: state)
    renamed = to_ldm_unet(to_ldm, parts, unet)
    given = {int(mark): name for name, mark in renamed.items() if mark >= 0 and "weight" in name}
    tensors = {}
    for i, layer in enumerate(lora):
        name = given[i].removesuffix(".weight")
        # ComfyUI's own files have dots, kohya's for XL underscores.
        name = f"diffusion_model.{name}" if i % 2 else f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{name}.lora_down.weight": layer.down, f"{name}.lora_up.weight": layer.up}
    changed = apply_loras(checkpoint, [load_lora(save(tmp_path, tensors))])
    check(checkpoint, changed, lora, 1.0)


def to_ldm_unet(to_ldm, parts, unet):
    named = to_ldm(SimpleNamespace(**{**vars(parts), "unet": unet}))
    return {n.removeprefix("model.diffusion_model."): t for n, t in named.items() if "diffusion_model" in n}


def test_the_oldest_layout_of_diffusers(sd1_checkpoint, tmp_path):
    lora = [x for x in random_lora(sd1_checkpoint, ALL) if ".attn" in x.name or "self_attn" in x.name]
    short = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out", "0": "to_out"}
    tensors = {}
    for layer in lora:
        owner, _, last = layer.name.removesuffix(".0").rpartition(".")
        last = short.get(last, last)
        middle = f"unet.{owner}.processor" if layer.part == "unet" else f"text_encoder.{owner}"
        tensors |= {f"{middle}.{last}_lora.down.weight": layer.down, f"{middle}.{last}_lora.up.weight": layer.up}
    check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, tensors))]), lora, 1.0)


def test_a_convolution_in_three_parts(sd1_checkpoint, tmp_path):
    name = "down_blocks.0.resnets.0.conv1"
    weight = sd1_checkpoint.unet.get_submodule(name).weight
    generator = torch.Generator().manual_seed(3)
    up, down = (
        torch.randn(weight.shape[0], 2, 1, 1, generator=generator),
        torch.randn(2, weight.shape[1], 1, 1, generator=generator),
    )
    mid = torch.randn(2, 2, 3, 3, generator=generator)
    key = "lora_unet_" + name.replace(".", "_")
    tensors = {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down, f"{key}.lora_mid.weight": mid}
    changed = apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, tensors))])
    # A picture goes through the three convolutions one after the other.
    picture = torch.randn(1, weight.shape[1], 6, 6, generator=generator)
    through = nn.functional.conv2d(nn.functional.conv2d(nn.functional.conv2d(picture, down), mid, padding=1), up)
    given = [c.unet.get_submodule(name).weight for c in (changed, sd1_checkpoint)]
    after, before = (nn.functional.conv2d(picture, weight, padding=1) for weight in given)
    torch.testing.assert_close(after - before, through, rtol=1e-3, atol=1e-3)


def one_query(checkpoint, scale=0.05):
    """A LoRA on one layer, in kohya's layout."""
    weight = checkpoint.unet.get_submodule(QUERY).weight
    down, up = thin(weight, torch.Generator().manual_seed(2))
    return {f"{KOHYA_QUERY}.lora_down.weight": down, f"{KOHYA_QUERY}.lora_up.weight": up * scale / 0.05}


def test_several_at_their_scales_add_up_and_the_given_model_stays(sd1_checkpoint, tmp_path):
    before = {n: t.clone() for n, t in sd1_checkpoint.unet.state_dict().items()}
    lora = load_lora(save(tmp_path, one_query(sd1_checkpoint)), 1.0)
    half = type(lora)(file=lora.file, scale=0.5)
    both, one_and_a_half = apply_loras(sd1_checkpoint, [lora, half]), type(lora)(file=lora.file, scale=1.5)
    expected = apply_loras(sd1_checkpoint, [one_and_a_half])
    torch.testing.assert_close(both.unet.get_submodule(QUERY).weight, expected.unet.get_submodule(QUERY).weight)
    assert all(torch.equal(t, before[n]) for n, t in sd1_checkpoint.unet.state_dict().items())
    shared = "down_blocks.0.resnets.0.conv1.weight"
    assert both.unet.get_parameter(shared).data_ptr() == sd1_checkpoint.unet.get_parameter(shared).data_ptr()
    assert hash_base(both.unet) != hash_base(sd1_checkpoint.unet)


def test_a_scale_of_zero_and_no_lora_change_nothing(sd1_checkpoint, tmp_path):
    silent = apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, one_query(sd1_checkpoint)), 0)])
    assert hash_base(silent.unet) == hash_base(sd1_checkpoint.unet)
    assert apply_loras(sd1_checkpoint, []) is sd1_checkpoint


def test_alphas_of_peft_in_the_metadata_and_beside_the_file(sd1_checkpoint, tmp_path):
    query = [x for x in random_lora(sd1_checkpoint, ("unet",)) if x.name == QUERY]
    inside = {"unet.r": RANK, "unet.lora_alpha": 8, "unet.alpha_pattern": {"attn2.to_q": 1}}
    file = save(tmp_path, diffusers(query), lora_adapter_metadata=json.dumps(inside))
    check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(file)]), query, 8 / RANK)
    inside["unet.alpha_pattern"] = {"attn1.to_q": 1}
    file = save(tmp_path, diffusers(query), lora_adapter_metadata=json.dumps(inside))
    check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(file)]), query, 1 / RANK)
    # A regular expression, and the settings of one model alone, as diffusers' save_lora_adapter writes them.
    inside["unet.alpha_pattern"] = {r".*attn\d\.to_q": 1}
    file = save(tmp_path, diffusers(query), lora_adapter_metadata=json.dumps(inside))
    check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(file)]), query, 1 / RANK)
    alone = {name.removeprefix("unet."): tensor for name, tensor in diffusers(query).items()}
    file = save(tmp_path, alone, lora_adapter_metadata=json.dumps({"r": RANK, "lora_alpha": 8, "alpha_pattern": {}}))
    check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(file)]), query, 8 / RANK)
    for name in ("lora_alpha", "unet.lora_alpha"):
        file = save(tmp_path, diffusers(query), **{name: "8", "unet.r": str(RANK)})
        check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(file)]), query, 8 / RANK)
    bare = {n.replace("unet.", "base_model.model."): t for n, t in diffusers(query).items()}
    file = save(tmp_path, bare).rename(tmp_path / "adapter_model.safetensors")
    config = {"r": RANK, "lora_alpha": 3, "use_rslora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    check(sd1_checkpoint, apply_loras(sd1_checkpoint, [load_lora(file)]), query, 3 / RANK**0.5)


def test_layers_of_the_text_encoder_that_nothing_runs_are_left_out(sd1_checkpoint, tmp_path):
    tensors = one_query(sd1_checkpoint)
    name = "lora_te_text_model_encoder_layers_2_mlp_fc1"
    above = {f"{name}.lora_down.weight": torch.ones(2, 64), f"{name}.lora_up.weight": torch.ones(128, 2)}
    apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, {**tensors, **above}))])
    with pytest.raises(CheckpointError, match="no layer"):
        apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, above))])


OTHERS = {
    "hada_w1_a": "LoHa",
    "lokr_w1": "LoKr",
    "dora_scale": "DoRA",
    "oft_blocks": "OFT",
    "on_input": "IA3",
    "a1.weight": "GLoRA",
    "diff": "whole differences",
}


@pytest.mark.parametrize("part", OTHERS)
def test_other_methods_are_refused_by_name(sd1_checkpoint, tmp_path, part):
    tensors = {f"{KOHYA_QUERY}.{part}": torch.ones(2, 2)}
    if part == "dora_scale":
        tensors |= one_query(sd1_checkpoint)
    with pytest.raises(CheckpointError, match=OTHERS[part]):
        load_lora(save(tmp_path, tensors))


def test_a_lora_of_another_family_is_refused_by_name(sd1_checkpoint, sdxl, tmp_path, write_folder):
    # Of the official widths, whose layers a tiny model has not.
    keys = {"lora_down.weight": torch.zeros(2, 2048), "lora_up.weight": torch.zeros(1280, 2)}
    deep = "lora_unet_input_blocks_7_1_transformer_blocks_9_attn2_to_k"
    same = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    for name in (deep, same):
        with pytest.raises(CheckpointError, match="a LoRA for Stable Diffusion XL on"):
            apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, {f"{name}.{n}": t for n, t in keys.items()}))])
    other = load_checkpoint(write_folder(sdxl, tmp_path / "xl"))
    with pytest.raises(CheckpointError, match=r"layers it has not|weights, where it has"):
        apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, kohya(random_lora(other, ALL))))])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: {n: x for n, x in t.items() if "lora_up" in n}, "has no down matrix"),
        (lambda t: {**t, f"{KOHYA_QUERY}.lora_up.weight": torch.ones(32, 3)}, "matrices of"),
        (lambda t: {n: x * float("nan") for n, x in t.items()}, "not finite"),
        (lambda t: {**t, "lora_unet_x.lora_C.weight": torch.ones(2)}, "lora_C"),
        (lambda t: {"conv_in.weight": torch.ones(2, 2)}, "a file with conv_in.weight"),
        (lambda t: {n.replace("to_q", "to_x"): x for n, x in t.items()}, "1 of 1 layers it has not"),
        (lambda t: {**t, f"{KOHYA_QUERY}.alpha": torch.ones(0)}, "alpha without a value"),
        (
            lambda t: t | {n.replace(KOHYA_QUERY, f"unet.{QUERY}"): x.clone() for n, x in t.items()},
            f"two names for one layer, {KOHYA_QUERY} and unet.{QUERY}",
        ),
    ],
)
def test_damaged_files_and_such_as_match_nothing(sd1_checkpoint, tmp_path, change, match):
    with pytest.raises(CheckpointError, match=match):
        apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, change(one_query(sd1_checkpoint))))])


@pytest.mark.parametrize("pattern", [["attn1"], "attn1", {"(": 1}, {"attn1.to_q": "1"}])
def test_settings_of_peft_that_are_none_are_refused(sd1_checkpoint, tmp_path, pattern):
    inside = json.dumps({"unet.lora_alpha": 8, "unet.alpha_pattern": pattern})
    with pytest.raises(CheckpointError, match="settings of peft cannot be read"):
        load_lora(save(tmp_path, one_query(sd1_checkpoint), lora_adapter_metadata=inside))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_lora_in_eight_bits(sd1_checkpoint, tmp_path, dtype):
    rounded = {name: tensor.to(dtype) for name, tensor in one_query(sd1_checkpoint).items()}
    narrow = apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, rounded))])
    wide = apply_loras(sd1_checkpoint, [load_lora(save(tmp_path, {n: t.float() for n, t in rounded.items()}))])
    assert torch.equal(narrow.unet.get_submodule(QUERY).weight, wide.unet.get_submodule(QUERY).weight)
    assert hash_base(narrow.unet) != hash_base(sd1_checkpoint.unet)


def test_a_folder_is_told_from_a_file_that_is_not_there(tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"a folder.*such as adapter_model.safetensors"):
        load_lora(tmp_path)


def test_a_file_that_is_cut_short_is_refused(sd1_checkpoint, tmp_path):
    file = save(tmp_path, one_query(sd1_checkpoint))
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="incomplete, damaged"):
        load_lora(file)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), "1", True])
def test_scales_that_are_no_numbers(sd1_checkpoint, tmp_path, scale):
    with pytest.raises(ConfigError, match="scale"):
        load_lora(save(tmp_path, one_query(sd1_checkpoint)), scale)


def test_embeddings_bundled_with_a_lora_are_left_alone(sd1_checkpoint, tmp_path):
    file = save(tmp_path, {**one_query(sd1_checkpoint), "bundle_emb.word.string_to_param.*": torch.ones(2, 64)})
    assert len(read_lora(file).layers) == 1


def test_what_a_lora_is(tmp_path):
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{key}.lora_down.weight": torch.ones(4, 768), f"{key}.lora_up.weight": torch.ones(320, 4)}
    about = describe_lora(read_lora(save(tmp_path, {**tensors, f"{key}.alpha": torch.tensor(2.0)})))
    assert about == {
        "kind": "LoRA",
        "trained on": "Stable Diffusion 1.x",
        "layers": "1 in unet",
        "rank": "4",
        "alpha / rank": "0.5",
    }
