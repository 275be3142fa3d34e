"""Looks at the nodes of a Ray cluster before the first job: is each big enough, and has each what a job needs?

A job that is bigger than every node would wait for ever, and Ray would not say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...errors import ConfigError
from .node_probe import probe_node
from .tasks import Slots

# Seconds for all nodes to answer; each imports PyTorch.
PATIENCE = 180
# What must be the same on all nodes, as results depend on it.
SAME = ("python", "torch", "diffusers", "transformers", "pack", "cuda")
GB = 1e9
KINDS = ("CPU", "GPU")


def check_nodes(ray: Any, slots: Slots) -> int:
    """How many jobs the cluster runs at once, after every node that takes any was looked at.

    Raises:
        ConfigError: a job is too big, a node lacks a file, cannot write, or has other versions than the others.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    fitting = {node["NodeID"]: room_of(node, slots) for node in nodes}
    if not any(fitting.values()):
        raise too_big(nodes, slots)
    found = ask(ray, [node for node in nodes if fitting[node["NodeID"]]], slots)
    wrong = [line for name, node in found.items() for line in what_is_missing(name, node)] + differences(found)
    if wrong:
        raise ConfigError(
            got="nodes of the cluster that cannot run this batch\n  " + "\n  ".join(wrong) + "\n",
            expected="the model, the clips and --out at the same paths on every node, and the same packages",
            mend="Put them on a file system that all nodes share, install the same versions, or leave a node out.",
        )
    return sum(fitting.values())


def room_of(node: Mapping[str, Any], slots: Slots) -> int:
    """How many jobs fit into a node at once."""
    has = node["Resources"]
    rooms = [has.get(kind, 0) / wanted for kind, wanted in zip(KINDS, (slots.cpus, slots.gpus), strict=True) if wanted]
    # Fractions of thirds sum to a little less than one.
    return math.floor(min(rooms) + 1e-6) if rooms else 1


def too_big(nodes: list[Any], slots: Slots) -> ConfigError:
    """The refusal of a job that fits nowhere."""
    has = [
        f"{node['NodeManagerHostname']} with " + " and ".join(f"{node['Resources'].get(k, 0):g} {k}s" for k in KINDS)
        for node in nodes
    ]
    return ConfigError(
        got=f"jobs of {slots.gpus:g} GPUs and {slots.cpus:g} CPUs for a cluster of {'; '.join(has) or 'no nodes'}",
        expected="a node that is big enough: a job that is too big would wait for ever",
        mend="Lower --gpus-per-job (0 for a CPU) or --cpus-per-job, or start a node that has them.",
    )


def ask(ray: Any, nodes: list[Any], slots: Slots) -> dict[str, dict[str, Any]]:
    """What each node answers, by a name of it.

    Raises:
        ConfigError: a node does not answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # It asks for no CPU, so that it does not wait for other work.
    remote = ray.remote(num_cpus=0, max_retries=1)(probe_node)
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        # Two nodes on one machine, as in tests, have the same name and address.
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"
        asked[name] = remote.options(scheduling_strategy=there).remote(dict(slots.checks))
    found = {}
    for name, reference in asked.items():
        try:
            found[name] = ray.get(reference, timeout=PATIENCE)
        except ray.exceptions.RayError as error:
            raise ConfigError(
                got=f"the node {name}, on which this library does not run ({last_line(error)})",
                expected="an environment with the packages of requirements.txt on every node",
                mend="Run pip install -r requirements.txt there, with the Python that runs Ray.",
            ) from error
    return found


def last_line(error: Exception) -> str:
    """The end of an error's text, where Ray has what was raised."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]


def what_is_missing(name: str, node: Mapping[str, Any]) -> list[str]:
    """What a node lacks, in lines."""
    lines = [f"{name}: no {path}" for path in node["missing"]]
    if not node["can_write"]:
        lines.append(f"{name}: cannot write to {node['out']}")
    elif node["free_bytes"] < GB:
        lines.append(f"{name}: only {node['free_bytes'] / GB:.2f} GB free at {node['out']}")
    return lines


def differences(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where nodes have different versions, in lines."""
    lines = []
    for what in SAME:
        if len({node[what] for node in found.values()}) > 1:
            lines.append(f"{what}: " + ", ".join(f"{node[what]} on {name}" for name, node in found.items()))
    return lines
