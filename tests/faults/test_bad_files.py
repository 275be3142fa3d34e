"""Tensor files that are broken, or not what they claim to be: each reader refuses them in words, and runs nothing."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint, load_original_unet
from tav_core.checkpoints.weight_files import open_weights
from tav_core.cli.info import describe
from tav_core.errors import CheckpointError, ConfigError, InputError, LatentsError, MotionError
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.motion import Motion
from tav_core.tuning.state import RunState, read_losses
from tests.faults.checks import refused
from tests.faults.files import BROKEN, rewrite

READERS = {
    "weights": (open_weights, CheckpointError),
    "motion": (Motion.load, MotionError),
    "trajectory": (Trajectory.load, LatentsError),
    "losses": (read_losses, ConfigError),
    "info": (describe, InputError),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("broken", BROKEN)
def test_no_safetensors(tmp_path, broken, reader):
    read, error = READERS[reader]
    (tmp_path / "a.safetensors").write_bytes(BROKEN[broken])
    with refused(error, "a.safetensors", folder=tmp_path):
        read(tmp_path / "a.safetensors")


PATHS = {
    "gone": (lambda folder: folder / "gone.safetensors", "gone.safetensors"),
    "a folder": (lambda folder: folder, "folder"),
    "300 letters": (lambda folder: folder / ("x" * 300 + ".safetensors"), "name"),
    "a zero byte": (lambda folder: folder / "a\0.safetensors", "zero byte"),
    "a home of nobody": (lambda folder: "~nobody-of-this-name/a.safetensors", "nobody-of-this-name"),
    "nothing": (lambda folder: None, "None"),
}


@pytest.mark.parametrize("reader", ["weights", "motion", "trajectory", "losses"])
@pytest.mark.parametrize("path", PATHS)
def test_no_file(tmp_path, path, reader):
    (read, error), (make, word) = READERS[reader], PATHS[path]
    with refused(error, word, folder=tmp_path):
        read(make(tmp_path))


@pytest.mark.parametrize("read", [load_checkpoint, load_original_unet, open_weights])
@pytest.mark.parametrize("path", ["300 letters", "a zero byte", "a home of nobody", "nothing"])
def test_no_checkpoint(tmp_path, path, read):
    make, word = PATHS[path]
    with refused(CheckpointError, word, folder=tmp_path):
        read(make(tmp_path))


class Trap:
    """Runs code as soon as someone unpickles it."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def traps(trace: Path) -> dict[str, object]:
    import builtins
    import os
    import shutil
    import subprocess

    return {
        "os.system": Trap(os.system, f"touch {trace}"),
        "eval": Trap(builtins.eval, f"open({str(trace)!r}, 'w')"),
        "exec": Trap(builtins.exec, f"open({str(trace)!r}, 'w')"),
        "open": Trap(open, str(trace), "w"),
        "subprocess": Trap(subprocess.check_call, ["touch", str(trace)]),
        "getattr": Trap(getattr, "x", "join"),
        "__import__": Trap(builtins.__import__, "antigravity"),
        "rmtree": Trap(shutil.rmtree, str(trace.parent / "no such folder")),
        "torch's own loader": Trap(torch.load, str(trace)),
        "a path": Trap(Path, str(trace)),
    }


def in_torchs_zip(content: object, path: Path) -> None:
    torch.save(content, path)


def in_the_old_format(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def in_a_zip_of_ones_own(content: object, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        file.writestr("archive/version", "3\n")


@pytest.mark.parametrize("wrap", [in_torchs_zip, in_the_old_format, in_a_zip_of_ones_own])
@pytest.mark.parametrize("trap", traps(Path("x")))
def test_a_pickle_that_would_run_code(tmp_path, trap, wrap):
    path, trace = tmp_path / "model.ckpt", tmp_path / "it ran"
    wrap({"state_dict": {"a": torch.ones(1) if wrap is not in_a_zip_of_ones_own else 1}, "x": traps(trace)[trap]}, path)
    with refused(CheckpointError, "model.ckpt", folder=tmp_path):
        open_weights(path)
    assert not trace.exists()


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    {
        "INST": b"(S'touch x'\nios\nsystem\n.",
        "a stack that is empty": opcodes(b"0"),
        "a memo that there is not": opcodes(b"h\x07"),
        "an extension": opcodes(b"\x82\x01"),
        "a persistent id": opcodes(b"Q"),
        "a protocol of the future": b"\x80\xff}.",
        "BUILD on nothing": opcodes(b"}}b"),
        "a text of 2^31 bytes": opcodes(b"X\xff\xff\xff\x7f"),
        "a hundred thousand lists": opcodes(b"]" * 100_000),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_pickle_made_by_hand(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.bin").write_bytes(content[1])
    with refused(CheckpointError, "model.bin", folder=tmp_path):
        open_weights(tmp_path / "model.bin")


def first(tensors, part):
    return next(name for name in tensors if name.startswith(part))


def set_tensor(part, change):
    """Changes the first tensor of a part."""
    return lambda tensors, _: tensors.update({(name := first(tensors, part)): change(tensors[name])})


def tell(name, value):
    """Changes the metadata: the value as JSON, or as it is if it is bytes."""
    text = value.decode() if isinstance(value, bytes) else json.dumps(value)
    return lambda _, metadata: metadata.update({name: text})


def drop(part):
    return lambda tensors, _: tensors.pop(first(tensors, part))


def forget(name):
    return lambda _, metadata: metadata.pop(name)


MOTIONS = {
    "NaN": (set_tensor("delta.", lambda t: t * float("nan")), "finite"),
    "infinite": (set_tensor("temporal.", lambda t: t + float("inf")), "finite"),
    "whole numbers": (set_tensor("delta.", lambda t: t.to(torch.int32)), "tensor delta."),
    "eight-bit floats": (set_tensor("delta.", lambda t: t.to(torch.float8_e4m3fn)), "tensor delta."),
    "complex numbers": (set_tensor("delta.", lambda t: t.to(torch.complex64)), "tensor delta."),
    "a tensor too many": (lambda tensors, _: tensors.update(extra=torch.ones(1)), "extra"),
    "no metadata": (lambda _, metadata: metadata.clear(), "metadata"),
    "no hash": (forget("base_hash"), "base_hash"),
    "no architecture": (forget("architecture"), "architecture"),
    "an empty architecture": (tell("architecture", {}), "architecture"),
    "metadata that are no JSON": (tell("prompt", b"a cat"), "metadata"),
    "metadata 100000 deep": (tell("config", nested := b"[" * 100_000 + b"]" * 100_000), "metadata"),
    "a later format": (tell("format_version", 3), "Update this pack"),
    "five sizes": (tell("size_ids", [1024] * 5), "size_ids"),
    "sizes that are text": (tell("size_ids", ["1024"] * 6), "size_ids"),
    "sizes that are no list": (tell("size_ids", "1024"), "size_ids"),
    "sizes without end": (tell("size_ids", [10**30] * 6), "size_ids"),
    "temporal attention nowhere known": (tell("modes", {"temporal": "first"}), "temporal"),
    "temporal attention in a list": (tell("modes", {"temporal": ["last"]}), "temporal"),
    "a format that is text": (tell("format_version", "1"), "format_version"),
    "a format below zero": (tell("format_version", -1), "format_version"),
    "frames that are text": (tell("num_frames", "24"), "num_frames"),
    "frames below zero": (tell("num_frames", -24), "num_frames"),
    "frames without end": (tell("num_frames", 10**30), "num_frames"),
    "half a frame": (tell("num_frames", 1.5), "num_frames"),
    "a rate that is NaN": (tell("fps", b"NaN"), "fps"),
    "a prompt that is a list": (tell("prompt", ["rm", "-rf"]), "prompt"),
    "a hash that is a number": (tell("base_hash", 5), "base_hash"),
    "modes that are a list": (tell("modes", ["full"]), "modes"),
    "a mode that there is not": (tell("modes", {"attention": "telepathic"}), "telepathic"),
    "a mode that would load code": (tell("modes", {"attention": "full", "processor": "os.system"}), "modes"),
    "a mode of a number": (tell("modes", {"attention": 3}), "attention"),
    "a mode of a list": (tell("modes", {"group_norm": ["clip"]}), "group_norm"),
    "positions that there are not": (tell("modes", {"positions": "learned"}), "learned"),
    "a step back of none": (tell("modes", {"attention_k": 0}), "attention_k"),
}


@pytest.mark.parametrize("case", MOTIONS)
def test_a_motion_that_is_none(written, case):
    change, word = MOTIONS[case]
    rewrite(written.motion, change)
    with refused(MotionError, "motion.safetensors", word, folder=written.folder):
        Motion.load(written.motion)


def architecture_says(**changes):
    return lambda _, metadata: metadata.update(
        architecture=json.dumps({**json.loads(metadata["architecture"]), **changes})
    )


MISFITS = {
    "a delta too few rows": (set_tensor("delta.", lambda t: t[1:].clone()), "shape"),
    "a temporal weight gone": (drop("temporal."), "none"),
    "a temporal weight too many": (
        lambda tensors, _: tensors.update({"temporal.x.attn_temp.y": torch.ones(1)}),
        "x.attn_temp.y",
    ),
    "a delta too many": (lambda tensors, _: tensors.update({"delta.gone.weight": torch.ones(1)}), "gone.weight"),
    "a delta of a temporal weight": (
        lambda tensors, _: tensors.update({first(tensors, "temporal.").replace("temporal", "delta", 1): torch.ones(1)}),
        "none, as in this model",
    ),
    "another family": (architecture_says(cross_attention_dim=1024), "cross_attention_dim 1024"),
    "a family that is a list": (architecture_says(cross_attention_dim=[32]), "cross_attention_dim [32]"),
    "a family that is an object": (architecture_says(cross_attention_dim={"1": 2}), "cross_attention_dim"),
    "widths that are text": (architecture_says(block_out_channels="32"), "block_out_channels 32"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_motion_that_does_not_fit(written, tiny_2d, case):
    change, word = MISFITS[case]
    motion = Motion.load(rewrite(written.motion, change))
    with refused(MotionError, "" if word == "shape" else word, folder=written.folder):
        motion.apply_to(tiny_2d)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None], ids=repr)
@pytest.mark.parametrize("name", ["strength", "temporal_strength"])
def test_a_strength_that_is_none(written, tiny_2d, name, value):
    motion = Motion.load(written.motion)
    with refused(ConfigError, name, folder=written.folder):
        motion.apply_to(tiny_2d, **{name: value})


def latents_become(change):
    return lambda tensors, _: tensors.update(latents=change(tensors["latents"]))


TRAJECTORIES = {
    "no latents": (lambda tensors, _: tensors.update(others=tensors.pop("latents")), "no trajectory"),
    "no timesteps": (forget("timesteps"), "no trajectory"),
    "timesteps that are no JSON": (tell("timesteps", b"1, 501"), "not consistent"),
    "timesteps that are a number": (tell("timesteps", 501), "not consistent"),
    "timesteps that are text": (tell("timesteps", ["1", "501"]), "whole numbers"),
    "timesteps that are halves": (tell("timesteps", [1.5, 501.5]), "whole numbers"),
    "timesteps below zero": (tell("timesteps", [-1, 501]), "whole numbers"),
    "timesteps the wrong way round": (tell("timesteps", [501, 1]), "ascending"),
    "more timesteps than latents": (tell("timesteps", [1, 251, 501]), "3 timesteps"),
    "no timestep at all": (tell("timesteps", []), "0 timesteps"),
    "a start before the clip": (tell("start", -1), "not consistent"),
    "a stride that is a text": (tell("stride", "2"), "not consistent"),
    "a fit that is a number": (tell("fit", 3), "not consistent"),
    "timesteps 100000 deep": (tell("timesteps", nested), "not consistent"),
    "a rate that is text": (tell("fps", "8"), "fps '8'"),
    "a rate without end": (tell("fps", b"Infinity"), "fps inf"),
    "five axes": (latents_become(lambda t: t[0].clone()), "latents of shape"),
    "a method that there is not": (tell("method", b"telepathy"), "telepathy"),
    "an exact method without its remainder": (tell("method", b"o_belm"), "without a remainder"),
    "a remainder of no exact method": (lambda t, _: t.update(remainder=t["latents"][0].clone()), "with a remainder"),
    "a remainder of another shape": (
        lambda t, m: (t.update(remainder=t["latents"][0, :, :, :1].clone()), m.update(method="o_belm")),
        "remainder of another shape",
    ),
    "a remainder that is NaN": (
        lambda t, m: (t.update(remainder=t["latents"][0] * float("nan")), m.update(method="o_belm")),
        "remainder of shape",
    ),
    "no frames": (latents_become(lambda t: t[:, :, :, :0].clone()), "latents of shape"),
    "NaN": (latents_become(lambda t: t * float("nan")), "not finite"),
    "whole numbers": (latents_become(lambda t: t.to(torch.int64)), "int64"),
    "eight-bit floats": (latents_become(lambda t: t.to(torch.float8_e5m2)), "float8"),
}


@pytest.mark.parametrize("case", TRAJECTORIES)
def test_a_trajectory_that_is_none(written, case):
    change, word = TRAJECTORIES[case]
    rewrite(written.trajectory, change)
    with refused(LatentsError, "trajectory.safetensors", word, folder=written.folder):
        Trajectory.load(written.trajectory)


STATES = {
    "no identity": (forget("identity"), "identity"),
    "an identity that is a list": (tell("identity", [1]), "identity"),
    "an identity 100000 deep": (tell("identity", nested), "identity"),
    "no step": (forget("step"), "step"),
    "a step that is text": (tell("step", b"two"), "step"),
    "a step below zero": (tell("step", -1), "step"),
    "a step that is not the losses'": (tell("step", 2), "loss"),
    "steps without end": (tell("step", b"9" * 5000), "step"),
    "no scaler": (forget("scaler"), "scaler"),
    "scores that are no JSON": (tell("scores", b"{50: 1"), "scores"),
    "scores that are a list": (tell("scores", [1.0]), "scores"),
    "scores that are text": (tell("scores", {"50": "much"}), "scores"),
    "scores of no step": (tell("scores", {"first": 1.0}), "scores"),
    "scores 100000 deep": (tell("scores", nested), "scores"),
    "no losses": (drop("losses"), "loss"),
    "losses of two axes": (set_tensor("losses", lambda t: t[None].clone()), "loss"),
    "a parameter gone": (drop("param."), "param."),
    "a parameter of one number": (set_tensor("param.", lambda t: t.flatten()[:1].clone()), "param."),
    "a parameter that is NaN": (set_tensor("param.", lambda t: t * float("nan")), "param."),
    "a moment gone": (drop("exp_avg."), "exp_avg."),
    "a moment of another shape": (set_tensor("exp_avg_sq.", lambda t: t.flatten().clone()), "exp_avg_sq."),
    "a count of steps gone": (drop("adam_step."), "adam_step."),
    "the clip gone": (drop("input.mean"), "clip"),
    "a clip that is NaN": (set_tensor("input.mean", lambda t: t * float("nan")), "clip"),
    "the clip's spread gone": (drop("input.std"), "input.std"),
}


@pytest.mark.parametrize("case", STATES)
def test_a_state_that_is_none(written, make_run, case):
    change, word = STATES[case]
    rewrite(written.state, change)
    run = make_run()
    before = [p.clone() for p in run.trainable.values()]
    with refused(ConfigError, "state.safetensors", word, folder=written.folder):
        RunState(written.state, run).begin()
    assert run.step == 0 and all(torch.equal(a, b) for a, b in zip(before, run.trainable.values(), strict=True))


def test_a_whole_state_is_taken(written, make_run):
    run = make_run()
    RunState(written.state, run).begin()
    assert run.step == 1 and len(run.losses) == 1 and len(run.optimizer.state) == len(run.trainable)


def test_a_state_goes_on_in_another_precision(written, make_run):
    """The loss scale of fp16 is not there in the state of a run in fp32."""
    run = make_run(precision="fp16")
    RunState(written.state, run).begin()
    assert run.step == 1


@pytest.mark.parametrize("case", ["a motion without a hash", "a trajectory without latents", "a state without a step"])
def test_info_of_what_is_cut(written, case):
    kind, change = {
        "a motion without a hash": (written.motion, forget("base_hash")),
        "a trajectory without latents": (written.trajectory, lambda t, _: t.update(x=t.pop("latents"))),
        "a state without a step": (written.state, forget("step")),
    }[case]
    rewrite(kind, change)
    with refused(InputError, kind.name, folder=written.folder):
        describe(kind)


def spoiled(parts, to_ldm, folder, change):
    tensors = to_ldm(parts)
    change(tensors)
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


FIRST_QUERY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
CHECKPOINTS = {
    "NaN": (lambda t: t.update({FIRST_QUERY: t[FIRST_QUERY] * float("nan")}), "finite"),
    "whole numbers": (lambda t: t.update({FIRST_QUERY: t[FIRST_QUERY].to(torch.int8)}), "int8"),
    "a scalar where a matrix should be": (lambda t: t.update({FIRST_QUERY: torch.tensor(1.0)}), "shape"),
    "a vector for the first convolution": (
        lambda t: t.update({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(3)}),
        "model.safetensors",
    ),
    "no numbers in the first convolution": (
        lambda t: t.update({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(0, 0, 3, 3)}),
        "model.safetensors",
    ),
    "a billion levels": (
        lambda t: t.update({"model.diffusion_model.input_blocks.999999999.0.op.weight": torch.ones(1)}),
        "model.safetensors",
    ),
    "a vocabulary of one axis": (
        lambda t: t.update(
            {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": torch.ones(9)}
        ),
        "model.safetensors",
    ),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_that_is_spoiled(sd1, to_ldm, tmp_path, case):
    change, word = CHECKPOINTS[case]
    path = spoiled(sd1, to_ldm, tmp_path, change)
    with refused(CheckpointError, word, folder=tmp_path):
        load_checkpoint(path)


def test_a_zip_that_unpacks_to_terabytes(tmp_path):
    """A storage that says it is large and is not: refused before memory is asked for."""
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(4)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "model.pt", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                # The number of elements, 4, as a byte: BININT1 becomes LONG1 of six bytes.
                data = data.replace(b"K\x04", b"\x8a\x06" + (2**44).to_bytes(6, "little"))
            target.writestr(name, data)
    with refused(CheckpointError, "model.pt", folder=tmp_path):
        open_weights(tmp_path / "model.pt")
