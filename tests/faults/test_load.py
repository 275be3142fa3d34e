"""tests/faults/load.py on each ComfyUI that COMFYUI_PATH names: ten minutes or more."""

from __future__ import annotations

import json
import os

import pytest

from tests.comfyui.conftest import INSTALLATIONS, missing, name_of
from tests.faults.load import run_all, start

PROMPTS, CLIENTS = int(os.environ.get("LOAD_PROMPTS", "200")), 8


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")
@pytest.mark.parametrize("comfyui", INSTALLATIONS or [None], ids=name_of)
def test_many_mixed_prompts(comfyui, tmp_path):
    server = start(*comfyui, tmp_path)
    try:
        found = run_all(server, prompts=PROMPTS, clients=CLIENTS, seconds=3600)
    finally:
        server.stop()
    print(json.dumps(found, indent=1))
    assert found["prompts"] == PROMPTS and not found["errors"]
    assert not found["kinds with more than one result"]
    assert sorted(found["failed"]) == ["no such motion", "too few frames"]
    assert abs(found["memory, last third to first"] or 0) <= 0.05
    assert found["most messages of a tuning in a second"] <= 10
