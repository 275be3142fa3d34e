"""What Sample Edit can say of a graph before anything runs: whether it fits the inversion that it starts from."""

from __future__ import annotations

from typing import Any

from ...tav_core.errors import ConfigError
from ...tav_core.sampling.config import OWN_STEPS, EditConfig, InvertConfig
from ..sockets.bridge import check_planned_steps, no_noise, start_alone
from ..sockets.graph import find_feed, is_link, read_input, read_value

INVERT, ANIMATION = "TAVDDIMInvert", "TAVAnimationStart"
# Nodes whose latents hold no noise.
CLEAN = ("VAEEncode", "VAEEncodeTiled", "EmptyLatentImage")


def check_queued(graph: Any, node: str | None, num_steps: Any) -> None:
    """Checks the widgets of an edit against those of the inversion that is linked to it.

    Args:
        graph: the graph that is queued; None if it is not known.
        num_steps: of the edit; None if it is linked.

    Raises:
        ConfigError: they do not fit, or a mask, or an inversion with steps of its own, has no trajectory.
    """
    from ...tav_core.sampling.edit import check_own_steps, check_resample, check_same_steps

    if num_steps is not None:
        EditConfig(num_steps=num_steps)
    has_trajectory = is_link(read_input(graph, node, "trajectory"))
    masked = is_link(read_input(graph, node, "mask"))
    if masked and not has_trajectory:
        raise mask_alone()
    resample = read_value(graph, node, "resample") or EditConfig.resample
    check_resample(EditConfig(resample=resample), masked=masked)
    check_queued_start(graph, node)
    check_queued_animation(graph, node, num_steps)
    if not has_trajectory:
        check_queued_alone(graph, node)
    inversion = find_feed(graph, node, "trajectory")
    if inversion is None or inversion.class_type != INVERT:
        return
    inverted = read_value(graph, inversion.node, "num_steps")
    if num_steps is not None and isinstance(inverted, int):
        check_same_steps(num_steps, inverted)
    method = read_value(graph, inversion.node, "method")
    eta, prior = read_value(graph, node, "eta"), read_value(graph, node, "noise_prior")
    check_own_steps(method or InvertConfig.method, eta or 0.0, 1.0 if prior is None else prior, resample)


def check_queued_start(graph: Any, node: str | None) -> None:
    """Checks that an edit does not start from clean or empty latents, of which its DDIM would make a blur."""
    start = find_feed(graph, node, "latent")
    if start is not None and start.class_type in CLEAN:
        raise no_noise(f"the latent of {start.class_type}")


def check_queued_alone(graph: Any, node: str | None) -> None:
    """Checks that an edit without a trajectory starts from an inversion that can be sampled without it."""
    start = find_feed(graph, node, "latent")
    if start is not None and start.class_type == INVERT:
        method = read_value(graph, start.node, "method")
        if method in OWN_STEPS:
            raise start_alone(method)


def check_queued_animation(graph: Any, node: str | None, num_steps: Any) -> None:
    """Checks the steps of an edit against those of the Animation Start that is linked to it, if one is."""
    start = find_feed(graph, node, "latent")
    if start is not None and start.class_type == ANIMATION:
        planned = read_value(graph, start.node, "num_steps")
        if isinstance(num_steps, int) and isinstance(planned, int):
            check_planned_steps(num_steps, planned)


def mask_alone() -> ConfigError:
    """What is said of a mask without a trajectory, before anything runs or when the node does."""
    return ConfigError(
        got="a mask without a trajectory",
        expected="the inversion's trajectory, which holds the clip outside the mask",
        mend="Connect the trajectory of DDIM Invert.",
    )
