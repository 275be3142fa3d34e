"""What the pack does to ComfyUI's start."""

from __future__ import annotations

import re

from tests.project_files import python_files

MOST_SECONDS = 0.3


def test_the_pack_loads_without_an_error_and_costs_little(server):
    log = server.log_text()
    seconds = [float(found) for found in re.findall(r"([\d.]+) seconds: .*tune_a_video", log)]
    assert seconds, "ComfyUI tells how long each pack took"
    assert max(seconds) <= MOST_SECONDS
    assert "IMPORT FAILED" not in log


def test_every_widget_has_a_tooltip_and_every_node_a_description(definitions):
    ours = {name: about for name, about in definitions.items() if name.startswith("TAV")}
    sources = [path.read_text(encoding="utf-8") for path in python_files("nodes")]
    assert ours.keys() == {found for source in sources for found in re.findall(r'node_id="(TAV\w+)"', source)}
    for name, about in ours.items():
        assert about["description"] and about["category"] == "Tune-A-Video", name
        for kind in ("required", "optional"):
            for widget, spec in about["input"].get(kind, {}).items():
                assert len(spec) > 1 and spec[1].get("tooltip"), f"{name}.{widget}"
        assert all(about["output_tooltips"]), name
