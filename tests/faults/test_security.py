"""No code from a file runs, nothing contacts the network, and text from a file is shown as text."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from html.parser import HTMLParser

import pytest
import torch

from tav_core.evaluation.report import ReportVideo, write_report
from tav_core.tuning.motion import Motion
from tests.faults import static_checks
from tests.faults.files import rewrite
from tests.faults.static_checks import ALLOWED, ROOT, findings, shipped

FILES = {path.relative_to(ROOT).as_posix(): path for path in shipped()}


@pytest.mark.parametrize("name", FILES)
def test_the_code_that_runs_on_users_machines(name):
    assert list(findings(FILES[name].read_text(encoding="utf-8"), name)) == []


def test_every_exception_is_still_needed(monkeypatch):
    """An exception that nothing needs would let something else in."""
    allowed, makers, users = dict(ALLOWED), dict(static_checks.PATH_MAKERS), set(static_checks.FOLDER_USERS)
    for name in ("ALLOWED", "PATH_MAKERS", "FOLDER_USERS"):
        monkeypatch.setattr(static_checks, name, {})
    found = [(name, *each) for name, path in FILES.items() for each in findings(path.read_text(encoding="utf-8"), name)]
    needed = {(rule, name, what) for name, rule, what, _ in found}
    assert set(allowed) == {each for each in needed if each[0] not in ("path", "folder")}
    assert users == {name for rule, name, _ in needed if rule == "folder"}
    assert {(name, function) for name, functions in makers.items() for function in functions} == {
        (name, what) for rule, name, what in needed if rule == "path"
    }


BAD = {
    "eval(text)": "text as code",
    "exec(text)": "text as code",
    "compile(text, '', 'exec')": "text as code",
    "__import__(name)": "text as code",
    "import pickle": "code",
    "from pickle import loads": "code",
    "import ctypes": "code",
    "torch.load(path)": "pickle",
    "torch.load(path, weights_only=False)": "pickle",
    "torch.load(path, weights_only=flag)": "pickle",
    "np.load(path, allow_pickle=True)": "pickle",
    "import subprocess": "shell",
    "def f():\n    from subprocess import run": "shell",
    "os.system(text)": "shell",
    "os.popen(text)": "shell",
    "run(command, shell=True)": "shell",
    "import urllib.request": "network",
    "from urllib.request import urlopen": "network",
    "import requests": "network",
    "import socket": "network",
    "from http import client": "network",
    "from huggingface_hub import hf_hub_download": "network",
    "torch.hub.load_state_dict_from_url(address)": "hub",
    "CLIPTokenizer.from_pretrained(name)": "hub",
    "CLIPTokenizer.from_pretrained(name, local_files_only=False)": "hub",
    "AutoModel.from_pretrained(name, local_files_only=True, trust_remote_code=True)": "hub",
    "importlib.import_module(name)": "import by name",
    "template.format(info)": "format",
    "yaml.load(text)": "unsafe call",
    "tempfile.mktemp()": "unsafe call",
    "def f(name):\n    return folder / name": "path",
    "def f(name):\n    return folder / f'{name}.x'": "path",
    "def f(name):\n    return folder / (name + '.x')": "path",
    "folder_paths.get_output_directory()": "folder",
}
GOOD = [
    "re.compile(pattern)",
    "model.eval()",
    "torch.load(path, weights_only=True)",
    "np.load(path)",
    "CLIPTokenizer.from_pretrained(folder, local_files_only=True)",
    "'{} of {}'.format(1, 2)",
    "importlib.import_module('av')",
    "def f():\n    return folder / 'name.txt'",
    "from .socket import x",
]


@pytest.mark.parametrize("text", BAD)
def test_the_check_sees(text):
    assert BAD[text] in {rule for rule, _, _ in findings(text, "nodes/x.py")}


@pytest.mark.parametrize("text", GOOD)
def test_the_check_lets_pass(text):
    assert not list(findings(text, "nodes/x.py"))


HOSTILE = (
    "</td></table><script>alert(1)</script><img src=x onerror=alert(1)><svg/onload=alert(1)>"
    "{0.__class__.__mro__} {self} %s %n ${7*7} {{7*7}} javascript:alert(1) \x1b[2J\x07\0 \u202e &lt; ' \" "
)


class Page(HTMLParser):
    """Elements, attributes and text of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def hostile_motion(written) -> Motion:
    def change(_, metadata):
        deep = {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}
        metadata.update(
            prompt=json.dumps(HOSTILE + "\ud800"), config=json.dumps(deep), pack_version=json.dumps(HOSTILE)
        )

    return Motion.load(rewrite(written.motion, change))


def test_a_report_shows_a_motions_metadata_and_interprets_nothing(written):
    info = hostile_motion(written).info
    frames = torch.zeros(2, 16, 16, 3)
    path = write_report(
        written.folder / "a.html",
        [ReportVideo(label=HOSTILE, frames=frames)],
        fps=8,
        settings={HOSTILE: dataclasses.asdict(info)},
        title=HOSTILE,
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.tags & {"script", "img", "iframe", "object", "link", "form", "base"}
    assert not [name for name in page.attributes if name.startswith("on") or name in ("href", "srcset")]
    # Title twice, label, heading, the prompt, the version, and the settings: names and values.
    assert page.text.count("{0.__class__.__mro__} {self} %s %n ${7*7} {{7*7}}") >= 9
    assert "<class" not in page.text and "49" not in page.text.replace("0.49", "")


@pytest.fixture(scope="module")
def chart():
    spec = importlib.util.spec_from_file_location("chart_alone", ROOT / "nodes" / "sockets" / "chart.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", [HOSTILE, "", "\n\n", "a\nb", "\ud800", "x" * 5000, "片段 🎬", "\0"], ids=ascii)
def test_the_cockpits_pictures_take_any_text(chart, text):
    """A label or a fact is drawn as one line of it, and never ends the run."""
    assert chart.draw_label(text, 128).shape == (chart.TEXT, 128, 3)
    drawn = chart.draw_chart([0.5, 0.4], last=5, facts=(text, "second"), strip=None)
    assert drawn.size == chart.SIZE


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("losses", [[float("nan")], [float("inf"), 1.0], [0.0, 0.0], [-1.0], [1e308] * 30])
def test_the_cockpits_pictures_take_any_losses(chart, losses):
    assert chart.draw_chart(losses, last=len(losses), facts=("x",), strip=None).size == chart.SIZE
