"""Which nodes cover each other on the page, as they are drawn."""

from __future__ import annotations

from itertools import combinations
from typing import Any

# A node is drawn on the canvas by the classic renderer, and as an element of its own by Nodes 2.0.
BOXES = """() => app.graph._nodes.map(node => {
    const element = document.querySelector(`[data-node-id="${node.id}"]`);
    if (!element) return [`${node.id} ${node.type}`, ...node.boundingRect];
    const box = element.getBoundingClientRect(), scale = app.canvas.ds.scale;
    return [`${node.id} ${node.type}`, ...[box.x, box.y, box.width, box.height].map(length => length / scale)];
})"""


def overlaps(page: Any, *, by: float = 1) -> list[tuple[str, str]]:
    """The pairs of nodes that cover each other by more than so many pixels."""
    found = []
    for (one, x, y, wide, high), (other, left, top, width, height) in combinations(page.evaluate(BOXES), 2):
        apart = x + wide <= left + by or left + width <= x + by or y + high <= top + by or top + height <= y + by
        found += [] if apart else [(one, other)]
    return found
