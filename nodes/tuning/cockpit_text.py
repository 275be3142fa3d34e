"""What the cockpit says of a run, in words: one function per state. It needs no ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A preview takes about as long as this many steps: 10 of inversion and 10 of guided sampling, without gradients.
PREVIEW_STEPS = 10


def describe_step(step: int, num_steps: int, *, seconds_left: float, memory: str) -> str:
    """A run that takes steps."""
    return f"step {step} of {num_steps}, {clock(seconds_left)} left, {memory}"


def describe_preview(step: int, num_steps: int, *, done: int, total: int) -> str:
    """A run that renders a preview after a step."""
    return f"step {step} of {num_steps}: rendering a preview, {done} of {total}"


def describe_estimate(estimate: object, *, previews: bool) -> str:
    """How long a run will take, before its first step."""
    return f"{'steps and previews' if previews else 'all steps'} will take {estimate}"


def describe_resume(step: int) -> tuple[str, ...]:
    """A run that goes on after steps that were done earlier; nothing for a new run."""
    return (f"resumed at step {step}",) if step else ()


def describe_stop(step: int, resume: str = "continue") -> str:
    """A run that the user has cancelled; step 0 also if it was not yet known what was done of the run earlier.

    Args:
        resume: the run's setting; under "restart" the next Run would begin again, and under "new" be refused.
    """
    done = f"stopped at step {step} and saved" if step else "stopped before a step was done"
    change = "" if resume == "continue" or not step else "set resume to continue, then "
    return f"{done}; {change}press Run to go on"


def describe_end(step: int, num_steps: int, *, best: int | None) -> str:
    """A run that has ended by itself.

    Args:
        best: the step whose motion is kept, if previews were scored.
    """
    end = f"done: {step} steps" if step >= num_steps else f"stopped early at step {step} of {num_steps}"
    return end if best is None else f"{end}, the motion is that of step {best}"


def describe_earlier(step: int, unused: Mapping[str, tuple[Any, Any]]) -> tuple[str, ...]:
    """A run that has no step left to do.

    Args:
        unused: settings that are not used: by name, what the steps were done with and what is asked for.
    """
    told = [f"{name} {asked} is not used, it was {used}" for name, (used, asked) in unused.items()]
    way_out = ("to use it, set resume to restart",) if unused else ()
    return f"done earlier: {step} steps", *told, *way_out


def estimate_seconds(steps: float, *, steps_left: int, previews_left: int, preview: float | None) -> float:
    """The time that a run still takes.

    Args:
        steps: seconds for the steps that are left, without previews.
        preview: seconds of a preview, as measured; None before the first one.
    """
    if preview is None:
        preview = PREVIEW_STEPS * steps / steps_left if steps_left else 0.0
    return steps + previews_left * preview


def count_multiples(every: int, *, after: int, last: int) -> int:
    """How many multiples of `every` there are from `after` + 1 to `last`; none if `every` is 0."""
    return last // every - after // every if every else 0


def clock(seconds: float) -> str:
    """A time as hours, minutes and seconds: 00:01:05."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
