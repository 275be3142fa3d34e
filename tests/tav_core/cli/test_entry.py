"""`python -m tav_core`: what it sets before PyTorch is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The options are read last, when everything is set that loading PyTorch would read.
CODE = """
import os, runpy, sys
import tav_core.cli.main as main
main.main = lambda: print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
runpy.run_module("tav_core", run_name="__main__")
"""


@pytest.mark.parametrize(("given", "expected"), [(None, "1000 False"), ("7", "7 False")])
def test_threads_wait_briefly_unless_the_user_says_otherwise(monkeypatch, given, expected):
    monkeypatch.setenv("GOMP_SPINCOUNT", given) if given else monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
