"""A real browser for tests. Needs playwright and a Chromium: at CHROMIUM, or one of those named in BROWSERS."""

from __future__ import annotations

import os
import shutil

import pytest

NO_PLAYWRIGHT = (
    "NO PACKAGE playwright, so nothing was tried in a browser: pip install -r tests/comfyui/requirements.txt"
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no Chromium: set CHROMIUM, or install one of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()
