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


def overlaps(page: Any) -> list[tuple[str, str]]:
    """The pairs of nodes that cover each other by more than a pixel."""
    found = []
    for (one, x, y, wide, high), (other, left, top, width, height) in combinations(page.evaluate(BOXES), 2):
        apart = x + wide <= left + 1 or left + width <= x + 1 or y + high <= top + 1 or top + height <= y + 1
        found += [] if apart else [(one, other)]
    return found
