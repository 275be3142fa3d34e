"""Mutated files for the readers: anything but an error of the library's own, a hang or too much memory is a defect.

    python -m tests.faults.fuzz --minutes 10 motion
    python -m tests.faults.fuzz --minutes 1 --seed 7 all

Half of the inputs have bytes changed, half their structure: the header of a safetensors file, the JSON in its metadata,
the nodes of a graph. What was found is kept in the folder that --keep names.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import random
import struct
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tav_core.errors import TavError
from tests.faults.checks import TookTooLong, time_limit

SECONDS, MEGABYTES = 10, 512
NUMBERS = (0, 1, -1, 2, 7, 8, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 10**30)
VALUES: tuple[Any, ...] = (
    *NUMBERS, 0.5, -1e308, float("nan"), float("inf"), True, False, None, "", "0", "F32", "F64", "I8", "BOOL",
    "F8_E4M3", "BF16", "C64", "U16", "F4", "\ud800", "\0", "../../x", "<script>", "{0}", "%s", "x" * 3000, [], {}, [[]],
    [0], [-1], [1, 2], [2**31] * 4, {"a": 1}, [[]] * 50,
)  # fmt: skip
Read = Callable[[bytes], None]


@dataclass
class Target:
    """One reader.

    Args:
        seeds: good inputs.
        read: reads one; may raise `TavError`.
        reshape: changes an input's structure.
    """

    seeds: list[bytes]
    read: Read
    reshape: Callable[[bytes, random.Random], bytes]


@dataclass
class Result:
    """What a round of fuzzing saw."""

    inputs: int = 0
    taken: int = 0
    refused: Counter = field(default_factory=Counter)
    defects: dict[str, bytes] = field(default_factory=dict)
    megabytes: float = 0.0


def change_bytes(data: bytes, seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """A few changes of bytes, and sometimes a cut."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # The head is where the structure is.
        place = rng.randrange(min(len(data), 400 if rng.random() < 0.6 else len(data)) + 1)
        new = new_bytes(data, place, rng.choice(seeds), rng)
        data = data[:place] + new + data[place + rng.choice((0, len(new), len(new))) :]
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data


def new_bytes(data: bytes, place: int, other: bytes, rng: random.Random) -> bytes:
    """What comes in at a place: a bit turned, noise, a number, what is there, or a piece of another input."""
    way, size = rng.randrange(5), rng.choice((1, 2, 8, 64))
    if way == 0:
        return bytes(byte ^ (1 << rng.randrange(8)) for byte in data[place : place + 1])
    if way == 1:
        return rng.randbytes(size)
    if way == 2:
        return struct.pack("<Q", rng.choice(NUMBERS) % 2**64)
    if way == 3:
        return data[place : place + size] * rng.choice((0, 2, 9))
    start = rng.randrange(len(other) + 1)
    return other[start : start + size]


def change_value(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        value, key = dict(value), rng.choice(list(value))
        way = rng.random()
        if way < 0.15:
            del value[key]
        elif way < 0.3:
            value[str(rng.choice((key + "x", "", "delta.", "temporal.x", "__metadata__")))] = value[key]
        else:
            value[key] = change_value(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.6:
        value, place = list(value), rng.randrange(len(value))
        value[place] = change_value(value[place], rng)
        return value
    if isinstance(value, str) and rng.random() < 0.6:
        return change_text(value, rng)
    return rng.choice(VALUES)


def change_text(text: str, rng: random.Random) -> str:
    """A text, changed as JSON if it is that."""
    try:
        return json.dumps(change_value(json.loads(text), rng))
    except (ValueError, RecursionError):
        return str(rng.choice(("", text[:3], text + "}", "[" * rng.choice((9, 9999)), "nan", "-0", "1e999", "{" * 5)))


def reshape_safetensors(data: bytes, rng: random.Random) -> bytes:
    """A file whose header is another, its length right."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    for _ in range(rng.choice((1, 1, 2, 5))):
        if metadata and rng.random() < 0.5:
            key = rng.choice(list(metadata))
            metadata[key] = change_text(metadata[key], rng)
            header["__metadata__"] = metadata
        else:
            header = change_value(header, rng)
        if not isinstance(header, dict):
            break
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def reshape_json(data: bytes, rng: random.Random) -> bytes:
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        value = change_value(value, rng)
    return json.dumps(value).encode()


def fuzz(target: Target, *, seed: int, minutes: float = 0.0, inputs: int = 0) -> Result:
    """Reads mutated inputs for some minutes, or a number of them."""
    rng, result, ends = random.Random(seed), Result(), time.monotonic() + 60 * minutes
    for data in target.seeds:
        target.read(data)
    start = most_memory()
    while result.inputs < inputs or time.monotonic() < ends:
        data = rng.choice(target.seeds)
        if rng.random() < 0.5:
            data = target.reshape(data, rng)
        if rng.random() < 0.6:
            data = change_bytes(data, target.seeds, rng)
        result.inputs += 1
        judge(target, data, result)
        result.megabytes = most_memory() - start
        if result.megabytes > MEGABYTES and "memory" not in result.defects:
            result.defects["memory"] = data
    return result


def judge(target: Target, data: bytes, result: Result) -> None:
    """Reads one input, and notes what came of it."""
    try:
        with time_limit(SECONDS):
            target.read(data)
        result.taken += 1
    except TavError as error:
        result.refused[type(error).__name__] += 1
    except TookTooLong:
        result.defects.setdefault("a hang", data)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        inside = next((f for f in reversed(where) if "tav_core" in f.filename or "nodes" in f.filename), where[-1])
        result.defects.setdefault(f"{type(error).__name__} at {Path(inside.filename).name}:{inside.lineno}", data)


def most_memory() -> float:
    """The most memory that this process has taken so far, in MB; 0 where the system does not say."""
    try:
        import resource
        import sys
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def from_file(folder: Path, read: Callable[[Path], None]) -> Read:
    path = folder / "mutated.safetensors"

    def write_and_read(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return write_and_read


def tiny_unet() -> Any:
    """A 2-D UNet with one attention in each direction."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return UNet2DConditionModel(
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,
    )


def tiny_run(**changes: Any) -> Any:
    """A tuning run of the tiny model, the same at each call but for changed settings."""
    import torch

    from tav_core.denoisers.denoiser import UNetDenoiser
    from tav_core.models.schedule import NoiseSchedule
    from tav_core.models.unet import InflatedUNet
    from tav_core.tuning.config import TuneConfig
    from tav_core.tuning.training_run import TuningRun

    schedule = NoiseSchedule.from_config({"beta_schedule": "scaled_linear", "steps_offset": 1})
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(tiny_unet()), schedule=schedule)
    config = TuneConfig(**{"num_steps": 3, "memory": "speed", **changes})
    latents, context = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 3, 32)
    return TuningRun(denoiser, latents, context, config=config)


def motion_target(folder: Path, stack: ExitStack) -> Target:
    """The motion file, put on a model and shown in a report."""
    from tav_core.evaluation.page import build_page
    from tav_core.tuning.motion import Motion

    run = tiny_run()
    seeds = [run.motion().save(folder / "seed.safetensors").read_bytes()]
    unet = tiny_unet()

    def read(path: Path) -> None:
        motion = Motion.load(path)
        told = {"Motion": dataclasses.asdict(motion.info)}
        page = "\n".join(build_page((), losses=(), settings=told, title="x"))
        assert "<script" not in page, "metadata that a browser would run"
        motion.apply_to(unet)

    return Target(seeds, from_file(folder, read), reshape_safetensors)


def state_target(folder: Path, stack: ExitStack) -> Target:
    """The state of a run, taken up by a run of the same."""
    from tav_core.tuning.state import RunState, read_losses

    run, fresh = tiny_run(), tiny_run()
    seeds = []
    for _ in range(2):
        run.advance()
        RunState(folder / "seed.safetensors", run).save()
        seeds.append((folder / "seed.safetensors").read_bytes())

    def read(path: Path) -> None:
        RunState(path, fresh).begin()
        assert len(fresh.losses) == fresh.step == len(read_losses(path)), "losses of another number than steps"

    return Target(seeds, from_file(folder, read), reshape_safetensors)


def trajectory_target(folder: Path, stack: ExitStack) -> Target:
    """The trajectory file, and what `info` says of it."""
    import torch

    from tav_core.cli.info import describe_own_file
    from tav_core.sampling.trajectory import Trajectory

    seeds = []
    for steps, times in ((3, (1, 501)), (2, (1, 251, 501))):
        latents = torch.randn(steps, 1, 4, 2, 4, 4)
        exact = {"method": "o_belm", "remainder": latents[0]} if steps == 2 else {}
        whole = Trajectory(latents=latents, timesteps=times, fps=8.0, **exact)
        seeds.append(whole.save(folder / "seed.safetensors").read_bytes())

    def read(path: Path) -> None:
        describe_own_file(path)
        loaded = Trajectory.load(path)
        assert loaded.latents.isfinite().all() and loaded.noise.ndim == 5, "a trajectory that nothing can start from"

    return Target(seeds, from_file(folder, read), reshape_safetensors)


def weights_target(folder: Path, stack: ExitStack) -> Target:
    """A checkpoint's single file, as far as it is read before a model is built."""
    import torch
    from safetensors.torch import save_file

    from tav_core.checkpoints.prediction import find_prediction_type
    from tav_core.checkpoints.weight_files import open_weights
    from tav_core.models.families import SD2

    tensors = {"model.diffusion_model.out.2.weight": torch.randn(4, 8), "first_stage_model.x": torch.ones(3).half()}
    save_file(tensors, folder / "seed.safetensors")

    def read(path: Path) -> None:
        file = open_weights(path)
        find_prediction_type(file, SD2)
        file.read()

    return Target([(folder / "seed.safetensors").read_bytes()], from_file(folder, read), reshape_safetensors)


def graph_target(folder: Path, stack: ExitStack) -> Target:
    """The one graph that the pack itself reads: the prompt that the server hands to One-Shot Tune."""
    from tests.faults.pack import nodes_without_comfyui

    tune = stack.enter_context(nodes_without_comfyui(folder / "comfyui", "tuning.tune")).tune
    graph = {
        "1": {"class_type": "TAVOneShotTune", "inputs": {"positive": ["2", 0], "num_steps": 5, "run_name": "x"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["3", 1]}},
        "3": {"class_type": "TAVLoadDemoModel", "inputs": {}},
    }

    def read(data: bytes) -> None:
        try:
            mutated = json.loads(data)
        except (ValueError, RecursionError):
            return
        before = copy.deepcopy(mutated)
        assert isinstance(tune.find_prompt(mutated, "1"), str), "a prompt that is no text"
        assert str(mutated) == str(before), "a graph that was changed"

    return Target([json.dumps(graph).encode()], read, reshape_json)


TARGETS = {
    "motion": motion_target,
    "state": state_target,
    "trajectory": trajectory_target,
    "weights": weights_target,
    "graph": graph_target,
}


def run_target(name: str, *, seed: int, minutes: float = 0.0, inputs: int = 0) -> Result:
    """A round on one reader, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        (Path(folder) / "comfyui").mkdir()
        return fuzz(TARGETS[name](Path(folder), stack), seed=seed, minutes=minutes, inputs=inputs)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 if there was a defect."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=(*TARGETS, "all"))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="where inputs of defects go")
    args = parser.parse_args(argv)
    failed = False
    for name in TARGETS if args.target == "all" else (args.target,):
        result = run_target(name, seed=args.seed, minutes=args.minutes)
        told = ", ".join(f"{count} {error}" for error, count in result.refused.most_common())
        print(f"{name}: {result.inputs} inputs, {result.taken} taken, {told} raised, memory +{result.megabytes:.0f} MB")
        for number, (what, data) in enumerate(result.defects.items()):
            args.keep.mkdir(parents=True, exist_ok=True)
            path = args.keep / f"{name}_{number}"
            path.write_bytes(data)
            print(f"  defect: {what}, input in {path}")
        failed |= bool(result.defects)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
