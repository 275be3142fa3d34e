"""Time to a right edit: the work from a clip to its edits, and how good they are.

    python -m benchmarks.time_to_edit                                       # everything: some hours on one core
    python -m benchmarks.time_to_edit --recipes "25 steps" "guidance to 0.7" --seeds 0 --clips rabbit bear
    python -m benchmarks.time_to_edit --known                               # tables and plot of what was rendered

For each recipe it takes the clips of the demo's world, all six edits of each, under each seed, and scores them
(demo/study). What an earlier run left in the folder is not rendered again, nor what a CSV file of scores holds already
(`--earlier`). Then one clip's first edit is made once more in a process of its own, for its seconds of CPU time and its
peak memory; evaluations of the UNet are counted from the settings (work.py) and held against that edit's calls.

`original` is the original's recipe for this world: its 500 tuning, 50 inversion and 50 sampling steps as 200 : 20 : 20.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from demo.ablation import all_jobs, score_job
from demo.study.ablation_tables import Rows, tabulate
from demo.study.edit_scores import load_edits, save_edits
from demo.study.jobs import Job
from demo.study.rendering import checkpoint_of, group_jobs, run_group
from demo.study.tables import markdown_table, without_nan
from demo.study.variants import CUTS, VARIANTS
from demo.study.worlds import WORLDS, World
from tav_core import InflatedUNet, encode_prompt
from tav_core.layouts import VAE_FACTOR

from .bench import ROOT, cpu_model
from .work import measure_outer_share, plan_work

# The name in the table, and the variant.
RECIPES = {
    "original": "twice the steps",
    "original, half the steps": "full",
    "defaults": "min-SNR 5",
    "25 steps": "min-SNR, 25 steps",
    **{name: name for name in CUTS},
}
NUM_CLIPS = 8
SEEDS = (0, 1, 2)
QUALITY = ("edits_right", "path", "kept")
# Where a point's number stands, in turn, so that those of equal points do not cover each other.
BESIDE = [
    {"xytext": (x, y), "textcoords": "offset points", "ha": side}
    for x, y, side in (
        *((6, 8, "left"), (-6, -16, "right"), (6, -16, "left"), (-6, 8, "right")),
        *((16, -4, "left"), (-16, -4, "right"), (0, 14, "center")),
    )
]
EARLIER = (ROOT / "demo" / "creatures" / "ablation.csv", ROOT / "benchmarks" / "results" / "time-to-edit.csv")


def find_scores(
    world: World, jobs: Sequence[Job], earlier: Sequence[Path], out: Path, *, workers: int, known: bool
) -> dict[Job, list[Any]]:
    """The scores of each job's edits: from earlier files, from the videos in `out`, or else rendered there.

    Args:
        known: render nothing; jobs without videos are left out.
    """
    read = {job: scores for path in earlier if path.exists() for job, scores in load_edits(world, path).items()}
    open_jobs = [job for job in jobs if job not in read and (not known or job.path(out).exists())]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        if not known:
            pool.starmap(run_group, [(world.name, group, out) for group in group_jobs(open_jobs)], chunksize=1)
        scored = pool.starmap(score_job, [(world.name, job, out) for job in open_jobs])
    found = read | dict(zip(open_jobs, scored, strict=True))
    return {job: found[job] for job in jobs if job in found}


def find_cost(world: World, variant: str, clip: str, out: Path, *, known: bool) -> dict[str, Any]:
    """What `edit_cost` measures, kept in `out`.

    Args:
        known: measure nothing; without an earlier measurement, only what is counted from the settings.
    """
    path = out / f"cost_{variant.replace(' ', '-')}_{clip}.json"
    if known and not path.exists():
        return count_work(world, variant, clip)
    if not path.exists():
        command = [sys.executable, "-m", "benchmarks.edit_cost", world.name, variant, clip]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        path.write_text(done.stdout.splitlines()[-1] + "\n")
    cost = json.loads(path.read_text())
    assert abs(cost["counted"] - cost["called"]) < 1e-6, (
        f"{variant}: {cost['counted']} counted, {cost['called']} called"
    )
    return cost


def count_work(world: World, variant: str, clip: str) -> dict[str, float]:
    """Evaluations by the settings alone."""
    checkpoint = checkpoint_of(world.name, "cpu")
    frames, height, width, _ = world.clips[clip].frames().shape
    latents = torch.zeros(1, checkpoint.unet.config.in_channels, frames, height // VAE_FACTOR, width // VAE_FACTOR)
    share = measure_outer_share(InflatedUNet.from_2d(checkpoint.unet), latents, encode_prompt(checkpoint, ""))
    work = plan_work(world, VARIANTS[variant], checkpoint.schedule, outer_share=share)
    return {**asdict(work), "counted": work.first_edit}


def format_recipes(
    costs: Mapping[str, Mapping[str, Any]], rows: Rows, spread: Rows, recipes: Mapping[str, str], *, whole: float
) -> str:
    """A Markdown table: a line per recipe, its work first.

    Args:
        whole: evaluations to the first edit by the original's recipe.
    """
    lines = []
    for name, cost in costs.items():
        row, stray = rows[recipes[name]], spread[recipes[name]]
        cells = [f"{row[each]:.3f}" + (f" ± {stray[each]:.3f}" if row["seeds"] > 1 else "") for each in QUALITY]
        work = [f"{cost['counted']:.0f}", f"{cost['counted'] / whole:.0%}", f"{cost['edit']:.0f}"]
        seconds = ["", ""]
        if "called" in cost:
            spent = cost["tuning_seconds"] + cost["editing_seconds"]
            seconds = [f"{spent:.0f}", f"{cost['peak_bytes'] / 2**30:.2f} GiB"]
        lines.append([name, *work, *seconds, f"{row['edits']:.0f}", f"{row['seeds']:.0f}", *cells])
    heads = ["", "evaluations", "of the original's", "each further edit", "CPU seconds", "peak memory"]
    return markdown_table([*heads, "edits", "seeds", *QUALITY], lines)


def save_plot(path: Path, costs: Mapping[str, Mapping[str, Any]], rows: Rows, spread: Rows, recipes: Mapping) -> Path:
    """Draws each score over the evaluations of a first edit, with the spread over seeds, as a PNG."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.5), dpi=110, layout="constrained")
    for axes, score in zip(figure.subplots(1, len(QUALITY)), QUALITY, strict=True):
        axes.set_prop_cycle(color=colormaps["tab20"].colors)
        for number, (name, cost) in enumerate(costs.items(), start=1):
            row, stray = rows[recipes[name]], spread[recipes[name]]
            label = f"{number} {name} ({row['edits']:.0f} edits)"
            axes.errorbar(cost["counted"], row[score], yerr=stray[score], fmt="o", capsize=3, label=label)
            axes.annotate(str(number), (cost["counted"], row[score]), **BESIDE[number % len(BESIDE)])
        axes.set(xscale="log", xlabel="evaluations of the UNet to the first edit", title=score.replace("_", " "))
        axes.set_xticks(ticks := [50, 100, 200, 400, 800], list(map(str, ticks)))
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path)
    return path


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_edit", description=__doc__.split(":")[0])
    parser.add_argument("--world", choices=WORLDS, default="creatures")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--clips", nargs="+", metavar="CLIP", help=f"default: the world's first {NUM_CLIPS}")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--earlier", nargs="*", type=Path, default=list(EARLIER), help="CSV files of earlier scores")
    parser.add_argument("--known", action="store_true", help="render and measure nothing; take what there is")
    parser.add_argument("--workers", type=int, default=1, help="number of processes, with one thread each")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "time_to_edit")
    args = parser.parse_args(argv)
    world = WORLDS[args.world]()
    args.clips = args.clips or list(world.listed[:NUM_CLIPS])
    if unknown := set(args.clips) - set(world.clips):
        parser.error(f"{args.world} has no clip {', '.join(sorted(unknown))}; it has {', '.join(world.clips)}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; writes it as JSON, the plot as a PNG, and every edit's scores as a CSV file."""
    args = read_options(argv)
    world, out = WORLDS[args.world](), args.out / args.world
    out.mkdir(parents=True, exist_ok=True)
    recipes = {name: RECIPES[name] for name in args.recipes}
    jobs = all_jobs(args.clips, args.seeds, list(recipes.values()))
    scores = find_scores(world, jobs, args.earlier, out, workers=args.workers, known=args.known)
    rows, spread = tabulate(list(scores), list(scores.values()))
    found = {name: variant for name, variant in recipes.items() if variant in rows}
    costs = {name: find_cost(world, each, args.clips[0], out, known=args.known) for name, each in found.items()}
    whole = count_work(world, RECIPES["original"], args.clips[0])["counted"]
    print(format_recipes(costs, rows, spread, recipes, whole=whole))
    machine = {"cpu": cpu_model(), "threads": 1}
    tables = {"machine": machine, "recipes": recipes, "costs": costs, "table": rows, "spread": spread}
    (out / "time_to_edit.json").write_text(json.dumps(without_nan(tables), indent=1) + "\n")
    save_edits(world, out / "time_to_edit.csv", list(scores), list(scores.values()))
    save_plot(out / "time_to_edit.png", costs, rows, spread, recipes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
