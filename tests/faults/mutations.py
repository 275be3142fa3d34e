"""Central lines broken on purpose, in a copy of the project: the tests named for each must fail.

    python -m tests.faults.mutations            all, with a table
    python -m tests.faults.mutations windows    those whose name holds a word

A mutation that no test notices is a hole in the suite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "out", "*.jpg", "*.png", "benchmarks", "training")
SECONDS = 1800


@dataclass(frozen=True)
class Mutation:
    """One line that is broken.

    Args:
        name: what is wrong then.
        file: the module, from the project's root.
        old: a text that stands in it once.
        new: what stands there instead.
        tests: what to run; at least one of these must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "attention: each frame looks two frames back",
        "tav_core/models/attention_modes.py",
        '"sparse_causal": lambda i: (0, max(i - 1, 0)),',
        '"sparse_causal": lambda i: (0, max(i - 2, 0)),',
        ("tests/tav_core/models/test_attention.py",),
    ),
    Mutation(
        "layouts: frames and channels are swapped in unfolding",
        "tav_core/layouts.py",
        'UNFOLD = "(b f) c h w -> b c f h w"',
        'UNFOLD = "(f b) c h w -> b c f h w"',
        ("tests/faults/test_properties.py::TestLayouts",),
    ),
    Mutation(
        "windows: the first window is not moved into the clip",
        "tav_core/denoisers/windows.py",
        "(min(max(s, 0), last) for s in starts)",
        "(min(s, last) for s in starts)",
        ("tests/tav_core/denoisers/test_windows.py", "tests/faults/test_properties.py::TestWindows"),
    ),
    Mutation(
        "frames: the last frame picked is left out",
        "tav_core/video/timeline.py",
        "[wanted.start : wanted[-1] + 1 : wanted.step]",
        "[wanted.start : wanted[-1] : wanted.step]",
        ("tests/tav_core/video/test_timeline.py", "tests/faults/test_properties.py::TestFrames"),
    ),
    Mutation(
        "sampling: alpha is taken at the wrong timestep",
        "tav_core/sampling/samplers.py",
        "alpha_to = schedule.alpha(schedule.previous(timestep, config.num_steps))",
        "alpha_to = schedule.alpha(timestep - 1)",
        ("tests/tav_core/sampling/test_edit.py",),
    ),
    Mutation(
        "inversion: both alphas are taken at the same timestep",
        "tav_core/sampling/solvers.py",
        "alpha, alpha_to = schedule.alpha(schedule.previous(timestep, num_steps)), schedule.alpha(timestep)",
        "alpha, alpha_to = schedule.alpha(timestep), schedule.alpha(timestep)",
        ("tests/tav_core/sampling/test_invert.py",),
    ),
    Mutation(
        "tuning: takes one step too many",
        "tav_core/tuning/tune.py",
        "while run.step < last",
        "while run.step <= last",
        ("tests/tav_core/tuning/test_tune.py::TestResume::test_a_finished_run_costs_nothing_and_can_be_prolonged",),
    ),
    Mutation(
        "resuming: the moments of the optimizer are left out",
        "tav_core/tuning/state_contents.py",
        'if f"exp_avg.{name}" in tensors:',
        'if f"exp_avg.{name}" in tensors and False:',
        ("tests/tav_core/tuning/test_tune.py::TestResume",),
    ),
    Mutation(
        "resuming: a state with a missing part is accepted",
        "tav_core/tuning/state.py",
        "if found is None or tuple(found.shape) != shape or not is_finite(found):",
        "if found is None:",
        ("tests/faults/test_bad_files.py",),
    ),
    Mutation(
        "tuning: a run with a NaN loss continues",
        "tav_core/tuning/weight_updates.py",
        "if not math.isfinite(value):",
        "if value is None:",
        ("tests/tav_core/tuning/test_tune.py::test_nan_stops_with_the_last_good_state",),
    ),
    Mutation(
        "tuning: a cancelled run is not saved",
        "tav_core/tuning/tune.py",
        "        except BaseException:\n            state.save()\n            raise",
        "        except BaseException:\n            raise",
        ("tests/tav_core/tuning/test_tune.py::TestResume",),
    ),
    Mutation(
        "early stopping: the last score counts as the best",
        "tav_core/tuning/early_stop.py",
        "value > max(self.scores.values())",
        "value is not None",
        ("tests/tav_core/tuning/test_early_stop.py",),
    ),
    Mutation(
        "early stopping: a resumed run forgets its scores",
        "tav_core/tuning/state_contents.py",
        'run.scored_by, run.scores = metadata.get("scored_by", ""), scores',
        'run.scored_by, run.scores = metadata.get("scored_by", ""), {}',
        ("tests/tav_core/tuning/test_early_stop.py",),
    ),
    Mutation(
        "masks: NaN is accepted",
        "tav_core/layouts.py",
        "if not (low >= 0 and high <= 1):",
        "if low < 0 or high > 1:",
        ("tests/faults/test_bad_edits.py::TestMasks",),
    ),
    Mutation(
        "files: written in place instead of to a temporary file that is then renamed",
        "tav_core/tensor_files.py",
        "write_safetensors(temporary, tensors, metadata)",
        "write_safetensors(path, tensors, metadata); temporary.write_bytes(path.read_bytes())",
        ("tests/tav_core/test_tensor_files.py",),
    ),
    Mutation(
        "videos: a half-written file stays",
        "tav_core/atomic_files.py",
        "            remove(temporary)\n            remove(replaced)",
        "            remove(replaced)",
        ("tests/tav_core/video/test_write.py::TestFailure",),
    ),
    Mutation(
        "videos: values outside [0, 1] are not clamped",
        "tav_core/video/encode.py",
        "frame.float().clamp(0, 1).mul(255)",
        "frame.float().mul(255)",
        ("tests/tav_core/video/test_write.py::TestFrames",),
    ),
    Mutation(
        "videos: the refusal of an encoder is swallowed",
        "tav_core/video/write.py",
        "        if isinstance(error, OSError):\n            raise\n        raise OutputError(",
        "        if isinstance(error, OSError):\n            raise\n        return\n        raise OutputError(",
        ("tests/tav_core/video/test_write.py::TestFailure::test_a_size_that_the_format_cannot_hold",),
    ),
    Mutation(
        "settings: NaN counts as a number within bounds",
        "tav_core/settings.py",
        'not allowed["low"] <= value <= allowed["high"]',
        '(value < allowed["low"] or value > allowed["high"])',
        ("tests/faults/test_bad_settings.py",),
    ),
    Mutation(
        "weights: pickles may run code",
        "tav_core/checkpoints/weight_files.py",
        "weights_only=True, mmap",
        "weights_only=False, mmap",
        ("tests/tav_core/checkpoints/test_weight_files.py", "tests/faults/test_security.py"),
    ),
    Mutation(
        "weights: an index may lead out of its folder",
        "tav_core/checkpoints/part_folders.py",
        "name == Path(name).name",
        "name",
        ("tests/tav_core/checkpoints/test_part_folders.py",),
    ),
    Mutation(
        "checkpoints: a YAML may build any object",
        "tav_core/checkpoints/prediction.py",
        "yaml.safe_load(",
        "yaml.unsafe_load(",
        ("tests/tav_core/checkpoints/test_prediction.py",),
    ),
    Mutation(
        "motion: NaN weights are accepted",
        "tav_core/tuning/motion.py",
        "or not holds_finite_floats(tensor)",
        "",
        ("tests/tav_core/tuning/test_motion.py::TestDamagedFiles", "tests/faults/test_bad_files.py"),
    ),
    Mutation(
        "motion: strength does not scale the queries",
        "tav_core/tuning/motion.py",
        "changed = base.float() + strength * delta.to(base.device)",
        "changed = base.float() + delta.to(base.device)",
        ("tests/tav_core/tuning/test_motion.py",),
    ),
    Mutation(
        "latents: the spread is not scaled by the factor of the VAE",
        "tav_core/models/latents.py",
        "std=_as_clip(stds) * factor",
        "std=_as_clip(stds)",
        ("tests/tav_core/models/test_latents.py",),
    ),
    Mutation(
        "report: a label is not escaped",
        "tav_core/evaluation/page.py",
        "label = html.escape(shown.video.label)",
        "label = shown.video.label",
        ("tests/tav_core/evaluation/test_report.py", "tests/faults/test_security.py"),
    ),
    Mutation(
        "info: control bytes reach the terminal",
        "tav_core/cli/commands.py",
        'c if c.isprintable() else c.encode("unicode_escape").decode()',
        "c",
        ("tests/faults/test_bad_commands.py::test_info_shows_and_never_interprets",),
    ),
    Mutation(
        "names: device names of Windows are accepted",
        "nodes/sockets/folders.py",
        "or reserved or",
        "or",
        ("tests/faults/test_bad_names.py",),
    ),
    Mutation(
        "names: a path separator is accepted",
        "nodes/sockets/folders.py",
        "FORBIDDEN = '<>:\"|?*\\\\/'",
        "FORBIDDEN = '<>:\"|?*'",
        ("tests/faults/test_bad_names.py",),
    ),
    Mutation(
        "paths: a pipe is opened",
        "tav_core/paths.py",
        "or (there and not plain)",
        "",
        ("tests/faults/test_bad_videos.py::test_what_is_no_video_by_itself",),
    ),
    Mutation(
        "motion field: pixel centres are divided by the field's size",
        "tav_core/sampling/zero_shot/motion_field.py",
        "return own + (flows - 0.5) / scale",
        "return own + flows / scale",
        ("tests/tav_core/sampling/zero_shot/test_motion_field.py",),
    ),
    Mutation(
        "zero-shot: moved frames get no fresh noise",
        "tav_core/sampling/zero_shot/generate.py",
        "self.noised(moved, own)], dim=2)",
        "moved], dim=2)",
        ("tests/tav_core/sampling/zero_shot/test_generate.py",),
    ),
    Mutation(
        "instruct: the text leads away from no picture at all",
        "tav_core/denoisers/instruct.py",
        "self.guidance_scale * (told - shown)",
        "self.guidance_scale * (told - free)",
        ("tests/tav_core/sampling/zero_shot/test_instruct.py",),
    ),
)


def break_line(root: Path, mutation: Mutation) -> str:
    """Puts a mutation into a copy of the project; gives the module as it was."""
    path = root / mutation.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.name}: the line stands {text.count(mutation.old)} times"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    return text


def run_tests(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit status in a copy of the project, and the end of what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    # The copy must not find this project's modules, nor leave bytecode that outlives a change within a second.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS)
    return done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


def first_failure(output: str) -> str:
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0].removeprefix("FAILED ") if failed else ""


def try_all(mutations: Sequence[Mutation]) -> Iterator[tuple[Mutation, str, float]]:
    """Each mutation with the test that noticed it ("" for none) and the seconds that took.

    Raises:
        RuntimeError: the tests fail already without any mutation, so that they would show nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(ROOT, Path(folder) / "copy", ignore=LEFT_OUT))
        status, output = run_tests(root, sorted({test for mutation in mutations for test in mutation.tests}))
        if status:
            raise RuntimeError(f"the tests fail without a mutation\n{output}")
        for mutation in mutations:
            text, started = break_line(root, mutation), time.monotonic()
            status, output = run_tests(root, mutation.tests)
            (root / mutation.file).write_text(text, encoding="utf-8")
            if status not in (0, 1):
                raise RuntimeError(f"{mutation.name}: pytest ended with {status}\n{output}")
            yield mutation, first_failure(output) if status else "", time.monotonic() - started


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 if a mutation survived."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = [m for m in MUTATIONS if all(word in m.name for word in words)]
    survived = 0
    print("| broken on purpose | noticed by | s |\n|---|---|---|")
    for mutation, noticed, seconds in try_all(chosen):
        survived += not noticed
        print(f"| {mutation.name} | {noticed or 'NOTHING'} | {seconds:.0f} |", flush=True)
    return int(survived > 0)


if __name__ == "__main__":
    raise SystemExit(main())
