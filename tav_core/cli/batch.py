"""The command `python -m tav_core batch`: many clips, many prompts, one machine or many."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..batch.choose import parse_shard, take_only, take_shard
from ..batch.driver import EXECUTORS, Batch, BatchEnd, Watcher, run_batch
from ..batch.executors.processes import visible_gpus
from ..batch.executors.tasks import Slots
from ..batch.export import export
from ..batch.manifest.jobs import ClipJob
from ..batch.manifest.read import read_manifest
from ..batch.outcomes import format_failures
from ..batch.recipe import Modes, Recipe
from ..batch.watch import JobState, Poller, format_batch, read_batch
from ..checkpoints.tokenizer import CLIP_TOKENIZER, has_tokenizer, load_tokenizer
from ..errors import ConfigError
from ..models.text import check_length
from ..opencv import has_opencv
from ..sampling.config import EditConfig, InvertConfig, LocalEditConfig
from ..tuning.config import TuneConfig
from ..video.config import ClipConfig
from .inputs import read_injection, read_modes, read_start, split_scale
from .options.settings import fit_overlap, read_settings
from .progress import tell

# Of every CLIP that Stable Diffusion has, with start and end.
TOKENS = 77


def run_batch_command(args: argparse.Namespace) -> int:
    """Runs the command. Returns the exit status: 1 if a job failed."""
    if args.status:
        print(format_batch(read_batch(args.status)))
        return 0
    check_needed(args)
    jobs = read_jobs(args)
    batch = Batch(jobs=jobs, recipe=read_recipe(args), out=args.out.expanduser().absolute())
    chosen = choose(args, jobs)
    if args.dry_run:
        print_plan(args, chosen)
        return 0
    end = do(args, batch, chosen)
    for path in end.files:
        print(path)
    if args.export:
        folder, count = export(args.export, jobs, batch.out, batch.recipe.modes.format, done=end.videos)
        print(f"{folder}  {count} of {sum(len(job.edits) for job in jobs)} edits")
    if end.failures:
        print(format_failures(end.failures))
    return 1 if end.failures else 0


def check_needed(args: argparse.Namespace) -> None:
    """Raises `ConfigError` unless the list, the model and the folder are given."""
    given = {"a list of clips and edits": args.manifest, "--model": args.model, "--out": args.out}
    for name, value in given.items():
        if not value:
            raise ConfigError(
                got=f"a batch without {name}",
                expected="a list, --model and --out; or --status with the folder of a batch",
                mend="See python -m tav_core batch --help.",
            )


def read_jobs(args: argparse.Namespace) -> list[ClipJob]:
    """The jobs of the list; a bar counts the clips that are looked at."""
    defaults, check = read_settings(args, ClipConfig), None if args.long_prompts else prompt_check(args)
    with tqdm(desc="looking at clips", unit="clip", leave=False) as bar:
        return read_manifest(args.manifest, defaults=defaults, check_prompt=check, on_clip=bar.update)


def prompt_check(args: argparse.Namespace) -> Callable[[str], None]:
    """What refuses prompts that are too long, by the model's tokenizer: the model itself is not loaded yet."""
    own = args.tokenizer or args.model.expanduser() / "tokenizer"
    folder = own if args.tokenizer or has_tokenizer(own) else CLIP_TOKENIZER
    tokenizer = load_tokenizer(folder, model_max_length=TOKENS)
    return partial(check_length, tokenizer=tokenizer, limit=TOKENS)


def read_recipe(args: argparse.Namespace) -> Recipe:
    """The settings that all jobs share. Paths are whole ones: jobs may run in other folders."""
    paths = ("model", "vae", "tokenizer", "start_from", "clip_model", "dino", "pick_score")
    files: dict[str, Any] = {name: whole(getattr(args, name)) for name in paths}
    files["loras"] = read_loras(args.lora)
    args.tune_resume = TuneConfig().resume
    fit_overlap(args, "context_length", "context_overlap")
    return Recipe(
        **files,
        prediction_type=args.prediction_type or "",
        device=args.device or "",
        dtype=args.dtype or "",
        backend=args.backend,
        long_prompts=args.long_prompts,
        source_prompt=args.source_prompt,
        modes=dataclasses.replace(read_settings(args, Modes), **read_modes(args, read_start(args.start_from))),
        tuning=read_settings(args, TuneConfig, prefix="tune-"),
        inversion=read_settings(args, InvertConfig, prefix="invert-"),
        sampling=read_settings(args, EditConfig),
        local=LocalEditConfig(feather=args.feather),
        injection=read_injection(args),
        flow=has_opencv() if args.flow is None else args.flow,
    )


def read_loras(texts: Sequence[str]) -> dict[str, float]:
    """The scales of LoRAs by their files; one that is given twice adds up, as in the single commands."""
    scales: dict[str, float] = {}
    for path, scale in map(split_scale, texts):
        scales[whole(path)] = scales.get(whole(path), 0.0) + scale
    return scales


def whole(path: Path | None) -> str:
    """A path from the root; "" for none."""
    return str(path.expanduser().absolute()) if path else ""


def choose(args: argparse.Namespace, jobs: Sequence[ClipJob]) -> list[ClipJob]:
    """The jobs of this run."""
    chosen = list(jobs) if args.only is None else take_only(jobs, args.only)
    return chosen if args.shard is None else take_shard(chosen, parse_shard(args.shard))


def read_slots(args: argparse.Namespace) -> Slots:
    """Where the jobs run.

    Raises:
        ConfigError: a number makes no sense, or is of another executor.
    """
    for name, executor in (("workers", "processes"), ("address", "ray")):
        if getattr(args, name) and args.executor != executor:
            raise ConfigError(
                got=f"--{name} {getattr(args, name)} with --executor {args.executor}, which does not use it",
                expected=f"--executor {executor}",
                mend=f"Add --executor {executor}, or leave --{name} out.",
            )
    for name in ("workers", "retries", "cpus_per_job"):
        if getattr(args, name) < 0:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(got=f"{option} {getattr(args, name)}", expected="0 or more", mend="Leave it out.")
    gpus = args.gpus_per_job
    if gpus is None:
        # A cluster may have GPUs where this machine has none; a local Ray has what this machine has.
        gpus = 1.0 if args.address or visible_gpus() else 0.0
    return Slots(gpus=gpus, cpus=args.cpus_per_job, workers=args.workers, retries=args.retries, address=args.address)


def print_plan(args: argparse.Namespace, jobs: Sequence[ClipJob]) -> None:
    """Says what would be done."""
    for job in jobs:
        read = job.config
        size = f"{read.num_frames} frames, {read.width}x{read.height}"
        print(f"{job.name}  {size}  {job.prompt!r}  {job.clip}")
        for edit in job.edits:
            print(f"    {edit.type}  {edit.prompt!r}")
    edits = sum(len(job.edits) for job in jobs)
    print(f"{len(jobs)} clips, {edits} edits, {', '.join(args.stages)}, by {args.executor}; nothing was done")


def do(args: argparse.Namespace, batch: Batch, chosen: Sequence[ClipJob]) -> BatchEnd:
    """Runs the batch with a bar, which also shows what the jobs are doing."""
    assert args.executor in EXECUTORS
    with tqdm(total=len(chosen), unit="clip", desc="batch") as bar:

        def on_look(states: Sequence[JobState]) -> None:
            bar.set_postfix_str("; ".join(f"{each.name}: {each.doing}" for each in states[:3]))

        poller = Poller(batch.out, {job.folder: job.name for job in chosen}, on_look)
        watcher = Watcher(
            on_begin=lambda left, done: bar.update(done) and None,
            on_end=lambda name, state: bar.update(1) and None,
            on_retry=lambda name, why: tell(f"{name} is tried again: {why}"),
        )
        poller.start()
        try:
            return run_batch(
                batch,
                executor=args.executor,
                slots=read_slots(args),
                chosen=chosen,
                stages=args.stages,
                watcher=watcher,
            )
        finally:
            poller.stop()
