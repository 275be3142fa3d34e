"""The command `python run.py demo`: tunes the bundled model on the bundled clip, inverts the clip, and renders it again
under three new prompts. It prints a table of scores and writes a folder of videos and pictures."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tav_core import (
    Checkpoint,
    ClipInfo,
    Conditioning,
    EditConfig,
    InflatedUNet,
    LatentMoments,
    Motion,
    TavError,
    Trajectory,
    TuneConfig,
    TuneProgress,
    UNetDenoiser,
    decode_latents,
    edit,
    encode_frames,
    encode_prompt,
    invert,
    load_checkpoint,
    read_clip,
    tune,
)
from tav_core.errors import ConfigError
from tav_core.tensor_files import digest, load_tensors
from tav_core.tuning.start import hash_motion

from .creatures.clips import Edit, clip_named
from .creatures.drawing.canvas import SIZE
from .creatures.oracle.scores import Scores, score
from .creatures.settings import EDIT, GROUP_NORM, MODEL, TUNE_BEST
from .make_clip import CLIP, FPS, NAME
from .study.report import format_table, save_results

OUT = Path(__file__).parent / "out"
EDITS = (0, 1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Showcase:
    """The settings of one demonstration.

    Args:
        out: folder for the results.
        model: folder of the checkpoint.
        tuning, sampling: how it tunes and how it edits.
    """

    out: Path = OUT
    model: Path = MODEL
    tuning: TuneConfig = TUNE_BEST
    sampling: EditConfig = EDIT

    @property
    def state(self) -> Path:
        """The file of the tuning's state, from which a second run continues."""
        return self.out / "tuning-state.safetensors"


class Timer:
    """Measures the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)


def run_showcase(showcase: Showcase) -> dict[str, Scores]:
    """Tunes, inverts, edits, and writes the results; returns the scores by prompt.

    Raises:
        TavError: a stage failed; the message says what to do.
    """
    timer, clip = Timer(), clip_named(NAME)
    edits = [clip.edits[index] for index in EDITS]
    with timer.stage("load"):
        checkpoint = load_checkpoint(showcase.model, device="cuda" if torch.cuda.is_available() else "cpu")
        source = read_clip(CLIP, num_frames=len(clip.scenes), width=SIZE, height=SIZE)
        latents = encode_frames(checkpoint.vae, source.frames)
    print(f'{source.num_frames} frames of {source.path}: "{clip.prompt}"', flush=True)
    with timer.stage("tune"):
        motion = tune_clip(showcase, checkpoint, latents, source.info(clip.prompt))
        motion.save(showcase.out / "motion.safetensors")
    videos = render_edits(showcase, checkpoint, motion, latents, edits, timer)
    scores = {each.prompt: score(videos[each.prompt], clip, each) for each in edits}
    save_results(
        showcase.out,
        source=(clip.prompt, source.frames.numpy()),
        edits=videos,
        scores=scores,
        losses=load_tensors(showcase.state, error=ConfigError, what="a tuning's state")[0]["losses"].tolist(),
        fps=FPS,
        about=describe(showcase, timer),
    )
    return scores


def tune_clip(showcase: Showcase, checkpoint: Checkpoint, latents: LatentMoments, about: ClipInfo) -> Motion:
    """Tunes on the clip; continues an earlier run if its state is there and is of the same clip, model and settings."""
    if not showcase.state.exists():
        return tune_from(showcase.tuning, showcase, checkpoint, latents, about)
    print(f"continuing the tuning found in {showcase.out}", flush=True)
    try:
        return tune_from(showcase.tuning, showcase, checkpoint, latents, about)
    except ConfigError as error:
        print(f"starting the tuning again instead: {error.got}", flush=True)
        anew = dataclasses.replace(showcase.tuning, resume="restart")
        return tune_from(anew, showcase, checkpoint, latents, about)


def tune_from(
    config: TuneConfig, showcase: Showcase, checkpoint: Checkpoint, latents: LatentMoments, about: ClipInfo
) -> Motion:
    """Tunes with the given settings and shows a progress bar."""
    unet = InflatedUNet.from_2d(checkpoint.unet, group_norm=GROUP_NORM, seed=config.seed)
    untuned = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    with progress_bar("tune", config.num_steps) as bar:

        def on_step(progress: TuneProgress) -> None:
            bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
            bar.update(progress.step - bar.n)

        motion = tune(
            untuned,
            latents,
            encode_prompt(checkpoint, about.prompt),
            config=config,
            state_path=showcase.state,
            about=about,
            on_step=on_step,
        )
        bar.update(motion.info.steps_done - bar.n)
    return motion


def render_edits(
    showcase: Showcase,
    checkpoint: Checkpoint,
    motion: Motion,
    latents: LatentMoments,
    edits: Sequence[Edit],
    timer: Timer,
) -> dict[str, np.ndarray]:
    """Renders the clip under each edit's prompt: prompt to frames, `f h w 3` in [0, 1]."""
    config, prompts = showcase.sampling, [each.prompt for each in edits]
    denoiser = UNetDenoiser(unet=motion.apply_to(checkpoint.unet), schedule=checkpoint.schedule)
    empty = encode_prompt(checkpoint, "")
    with timer.stage("invert"):
        trajectory = invert_clip(showcase, denoiser, latents, empty, hash_motion(motion))
    with timer.stage("edit"), progress_bar("edit", config.num_steps * len(edits)) as bar:
        edited = edit(
            denoiser,
            trajectory,
            encode_prompt(checkpoint, prompts),
            empty,
            config=config,
            on_step=lambda done, total, latents: bar.update(done - bar.n),
        )
    with timer.stage("decode"):
        videos = decode_latents(checkpoint.vae, edited).numpy()
    return dict(zip(prompts, videos, strict=True))


def invert_clip(
    showcase: Showcase, denoiser: UNetDenoiser, latents: LatentMoments, empty: Conditioning, motion_hash: str
) -> Trajectory:
    """Inverts the clip; takes the inversion of an earlier run if that had the same motion, clip and steps."""
    num_steps = showcase.sampling.num_steps
    about = f"{motion_hash[:8]}_{digest({'clip': latents.mean})[:8]}_{num_steps}"
    path = showcase.out / f"trajectory_{about}.safetensors"
    if path.exists():
        return Trajectory.load(path).to(latents.mean.device)
    for other in showcase.out.glob("trajectory_*.safetensors"):
        other.unlink()
    with progress_bar("invert", num_steps) as bar:
        trajectory = invert(
            denoiser,
            latents.mean,
            empty,
            num_steps=num_steps,
            on_step=lambda done, total: bar.update(done - bar.n),
        )
    trajectory.save(path)
    return trajectory


def describe(showcase: Showcase, timer: Timer) -> dict[str, object]:
    """How the scores were made: settings, times and versions."""
    return {
        "settings": {"tune": dataclasses.asdict(showcase.tuning), "edit": dataclasses.asdict(showcase.sampling)},
        "seconds": timer.seconds,
        "torch": {"version": torch.__version__, "threads": torch.get_num_threads()},
    }


def progress_bar(name: str, total: int) -> tqdm:
    return tqdm(total=total, desc=f"{name:>6}", unit="step")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python run.py demo", description="Tune, invert and edit the bundled clip.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the results (default: demo/out)")
    showcase = Showcase(out=parser.parse_args(argv).out)
    started = time.monotonic()
    try:
        scores = run_showcase(showcase)
    except TavError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command continues from the last saved step", file=sys.stderr)
        return 130
    print(f"\n{format_table(scores)}\n\n{time.monotonic() - started:.0f} s. Videos and pictures are in {showcase.out}:")
    print("\n".join(f"  {path.name}" for path in sorted(showcase.out.iterdir())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
