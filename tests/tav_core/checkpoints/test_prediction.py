"""What a single file predicts: by the option, its YAML, its mark, its metadata, in this order."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.checkpoints.prediction import find_prediction_type, find_yaml, has_zero_snr
from tav_core.checkpoints.weight_files import WeightFile, open_weights
from tav_core.errors import CheckpointError
from tav_core.models.families import SD1, SD2

V_YAML = """\
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: "v"
    linear_start: 0.00085
"""
EPS_YAML = V_YAML.replace('"v"', "eps")
SILENT_YAML = V_YAML.replace('    parameterization: "v"\n', "")
SGM_YAML = """\
model:
  params:
    denoiser_config:
      params:
        scaling_config:
          target: sgm.modules.diffusionmodules.denoiser_scaling.VScaling
"""
MARK = torch.tensor([])
VELOCITY = {"modelspec.prediction_type": "v"}
# Ten levels of lists, each eight times the one below: as text it would have 8^10 letters.
BOMB = "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}' if i else 'y'] * 8)}]\n" for i in range(10))


@pytest.fixture
def predicts(tmp_path):
    """What a file of a few marks predicts: predicts(yaml, marks, metadata, ...)."""

    def predict(yaml=None, marks=(), metadata=None, *, beside="model.yaml", name="model.safetensors", family=SD1):
        tensors = {"first.weight": torch.ones(2), **dict.fromkeys(marks, MARK)}
        if name.lower().endswith(".ckpt"):
            torch.save({"state_dict": tensors}, tmp_path / name)
        else:
            save_file(tensors, tmp_path / name, metadata)
        if yaml is not None:
            (tmp_path / beside).write_bytes(yaml if isinstance(yaml, bytes) else yaml.encode())
        return find_prediction_type(open_weights(tmp_path / name), family)

    return predict


@pytest.mark.parametrize("parts", ["sd1", "sd2"])
@pytest.mark.usefixtures("offline")
def test_a_velocity_model_with_its_yaml_is_read_as_one(request, to_ldm, tmp_path, parts):
    tensors = {n: t.contiguous().clone() for n, t in to_ldm(request.getfixturevalue(parts)).items()}
    save_file(tensors, tmp_path / "v.safetensors")
    assert load_checkpoint(tmp_path / "v.safetensors").schedule.prediction_type == "epsilon"
    (tmp_path / "v.yaml").write_text(V_YAML)
    checkpoint = load_checkpoint(tmp_path / "v.safetensors")
    assert checkpoint.schedule.prediction_type == "v_prediction"
    assert checkpoint.unet.config.upcast_attention
    # The option wins, and needs no YAML that can be read.
    (tmp_path / "v.yaml").write_text("model: [")
    for said in ("epsilon", "v_prediction"):
        assert load_checkpoint(tmp_path / "v.safetensors", prediction_type=said).schedule.prediction_type == said


@pytest.mark.parametrize(
    "content",
    {
        "plain": V_YAML,
        "CRLF": V_YAML.replace("\n", "\r\n"),
        "a byte order mark": "\ufeff" + V_YAML,
        "UTF-16": V_YAML.encode("utf-16"),
        "no quotes": V_YAML.replace('"v"', "v"),
        "Stability's later code": SGM_YAML,
    }.items(),
    ids=lambda item: item[0],
)
def test_yamls_that_say_velocity(predicts, content):
    assert predicts(content[1]) == "v_prediction"


@pytest.mark.parametrize(
    "name, beside",
    [
        ("model.ckpt", "model.yaml"),
        ("model.safetensors", "model.yml"),
        ("Model.SAFETENSORS", "model.YAML"),
        ("v1.5.safetensors", "v1.5.yaml"),
        ("model.safetensors", "model.safetensors.yaml"),
    ],
)
def test_the_yaml_has_the_files_name(predicts, name, beside):
    assert predicts(V_YAML, beside=beside, name=name) == "v_prediction"


@pytest.mark.parametrize("beside", ["v1-inference-v.yaml", "model2.yaml", "model.yaml.txt"])
def test_a_yaml_of_another_name_belongs_to_another_file(predicts, beside):
    assert predicts(V_YAML, beside=beside) == "epsilon"


def test_a_link_finds_the_yaml_of_its_target(tmp_path, predicts):
    assert predicts(V_YAML) == "v_prediction"
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "other.safetensors"
    link.symlink_to(tmp_path / "model.safetensors")
    assert find_yaml(link) == tmp_path / "model.yaml"


@pytest.mark.parametrize("content", ["", "a text", "job: train\nconfig: {a: 1}\n", "- 1\n", "model: sd15\n"])
def test_a_yaml_of_something_else_says_nothing(predicts, content):
    assert predicts(content) == "epsilon"
    assert predicts(content, metadata=VELOCITY) == "v_prediction"


@pytest.mark.parametrize(
    "content, word",
    [
        ("<!DOCTYPE html><html></html>", "a web page"),
        ("model: [a", "expected"),
        ("model:\n\tparams:\n", "tab|\\\\t"),
        ("!!python/object/apply:os.system ['touch ran']", "constructor"),
        (b"\xff\x00\x12\x9c", "cannot be read as YAML"),
        ("[" * 100_000, "recursion"),
        ("#" * 1_000_001, "1000001 bytes"),
        ("a: 1\n---\nb: 2\n", "document"),
        ("a: !!timestamp 9999-99-99x", "NoneType"),
        (V_YAML.replace('"v"', "x0"), "'x0' as parameterization"),
        (V_YAML.replace('"v"', "bananas"), "'bananas' as parameterization"),
        (BOMB + V_YAML.replace('"v"', "*x9"), "'list' as parameterization"),
    ],
    ids=range(12),
)
def test_a_yaml_that_cannot_be_used_is_named_with_the_way_out(predicts, tmp_path, monkeypatch, content, word):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=word) as caught:
        predicts(content)
    assert "model.yaml" in caught.value.got and "--prediction-type" in caught.value.mend
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "model.yaml"]


@pytest.mark.parametrize(
    "metadata, expected",
    [
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
        ({"modelspec.prediction_type": "V-Prediction"}, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"modelspec.predict_key": "v"}, "v_prediction"),
        ({"prediction_type": "v_prediction"}, "v_prediction"),
        ({"ss_v2": "True", "ss_v_parameterization": "True"}, "v_prediction"),
        ({"ss_v_parameterization": "False", "ss_base_model_version": "sd_v2_v"}, "epsilon"),
        ({"ss_base_model_version": "sd_v1_v"}, "v_prediction"),
        ({"ss_v2": "True"}, "epsilon"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v1"}, "epsilon"),
        # What nobody can read says nothing.
        ({"modelspec.prediction_type": "None", "modelspec.predict_key": "v"}, "v_prediction"),
        ({"modelspec.prediction_type": "", "format": "pt"}, "epsilon"),
    ],
)
def test_metadata_say_it(predicts, metadata, expected):
    assert predicts(metadata=metadata) == expected


def test_metadata_of_another_prediction_are_refused(predicts):
    with pytest.raises(CheckpointError, match=r"'flow' as modelspec\.prediction_type in the metadata of .*model\.safe"):
        predicts(metadata={"modelspec.prediction_type": "flow"})


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_the_mark_of_a_velocity_model(predicts, name):
    assert predicts(marks=["v_pred", "ztsnr"], name=name) == "v_prediction"


@pytest.mark.parametrize(
    "yaml, marks, metadata, expected",
    [
        (EPS_YAML, ["v_pred"], VELOCITY, "epsilon"),
        (V_YAML, [], {"modelspec.prediction_type": "epsilon"}, "v_prediction"),
        (None, ["v_pred"], {"modelspec.prediction_type": "epsilon"}, "v_prediction"),
        (SILENT_YAML, ["v_pred"], {}, "v_prediction"),
        (SILENT_YAML, [], VELOCITY, "v_prediction"),
        (SILENT_YAML, [], {}, "epsilon"),
    ],
)
def test_the_order_of_those_that_say_it(predicts, yaml, marks, metadata, expected):
    assert predicts(yaml, marks, metadata) == expected


@pytest.mark.parametrize("yaml, expected", [(None, "v_prediction"), (SILENT_YAML, "epsilon")])
def test_a_config_that_is_silent_means_epsilon_and_comes_before_a_guess(tmp_path, yaml, expected):
    mark = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    save_file({mark: torch.linspace(-1, 1, 64)}, tmp_path / "model.safetensors")
    if yaml:
        (tmp_path / "model.yaml").write_text(yaml)
    assert find_prediction_type(open_weights(tmp_path / "model.safetensors"), SD2) == expected


@pytest.mark.parametrize(
    "shapes, metadata, expected",
    [
        ({"ztsnr": (0,)}, {}, True),
        ({}, {"ss_zero_terminal_snr": "True"}, True),
        ({}, {"ss_zero_terminal_snr": "False"}, False),
        ({"v_pred": (0,)}, {}, False),
    ],
)
def test_pure_noise_at_the_end_is_said(tmp_path, shapes, metadata, expected):
    assert has_zero_snr(WeightFile(path=tmp_path, shapes=shapes, fetch=lambda _: {}, metadata=metadata)) == expected


@pytest.mark.usefixtures("offline")
def test_a_marked_checkpoint_has_the_noise_that_it_was_trained_on(sd1, to_ldm, tmp_path):
    tensors = {n: t.contiguous().clone() for n, t in to_ldm(sd1).items()} | {"v_pred": MARK, "ztsnr": MARK.clone()}
    save_file(tensors, tmp_path / "v.safetensors")
    schedule = load_checkpoint(tmp_path / "v.safetensors").schedule
    assert schedule.prediction_type == "v_prediction" and schedule.alphas[-1] < 1e-7
