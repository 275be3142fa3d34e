"""The pages tell the truth: every link, command, path, option and example in them is there and works."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import re
import shutil

import pytest

import tav_core
from tav_core.cli.main import main
from tests.document_commands import check_command, core_commands, known_options, options_of
from tests.documents import anchors, code_blocks, commands, inline_code, links, page_name, pages, prose, read
from tests.project_files import AT_LEAST, ROOT, python_files

PAGES = {page_name(path): path for path in pages()}
README = ROOT / "README.md"
LANGUAGES = ("ko", "zh", "ja")
FOLDERS = (*AT_LEAST, "docs", "workflows", "locales", "web", ".github")
# What a run writes.
WRITTEN = re.compile(r"(^|/)out(/|$)")
# The names that the pages give to values, and what these are.
VALUES = {"clip": "VideoClip", "motion": "Motion", "tuned": "UNetDenoiser", "trajectory": "Trajectory"}
every_page = pytest.mark.parametrize("name", PAGES)


@every_page
def test_links_lead_to_files_and_headings(name):
    for target in links(read(PAGES[name])):
        file, _, anchor = target.partition("#")
        path = PAGES[name].parent / file if file else PAGES[name]
        assert path.exists(), f"{name}: {target}"
        assert not anchor or anchor in anchors(read(path)), f"{name}: {target}"


@every_page
def test_commands_can_be_given(name, monkeypatch):
    text = read(PAGES[name])
    assert not re.search(r"^ {4,}(python|pip) ", prose(text), re.MULTILINE), "a command that stands in no fenced block"
    for words in commands(text):
        check_command(words, monkeypatch)


@every_page
def test_options_are_known(name):
    known, parsers = known_options(), core_commands()
    for code in inline_code(read(PAGES[name])):
        first, *rest = code.split()
        if first in parsers and any(word.startswith("--") for word in rest):
            unknown = {word for word in rest if word.startswith("--")} - options_of(parsers[first])
            assert not unknown, f"{name}: {code}"
        elif re.fullmatch(r"--[a-z][\w-]*", first):
            assert first in known, f"{name}: {code}"


@every_page
def test_paths_and_modules_are_there(name):
    page = PAGES[name]
    # A name without a folder is of a file that several rooms have.
    file_names = {path.name for folder in AT_LEAST for path in python_files(folder)}
    for code in inline_code(read(page)):
        if re.fullmatch(rf"({'|'.join(AT_LEAST)})(\.[a-z_]\w*)+", code) and not code.endswith((".py", ".md")):
            assert resolve(code), f"{name}: {code}"
        is_path = re.fullmatch(r"[\w./*-]+\.(py|md)|[\w.-]+/[\w./*-]*", code)
        if not is_path or WRITTEN.search(code) or code.startswith("/"):
            continue
        if code.endswith((".py", ".md")) or code.split("/")[0] in FOLDERS:
            places = (ROOT, page.parent)
            is_there = any(list(place.glob(code.rstrip("/"))) for place in places)
            assert is_there or code in file_names, f"{name}: {code}"


def resolve(dotted: str) -> bool:
    """Whether a dotted name is a module of the project, or a name in one."""
    path = ROOT.joinpath(*dotted.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module, _, last = dotted.rpartition(".")
    return hasattr(importlib.import_module(module), last)


@every_page
def test_tests_that_a_page_names_are_there(name):
    for test, file in re.findall(r"`(?:\w+::)?(test_\w+)[^`]*` in `([\w./]+\.py)`", read(PAGES[name])):
        assert f"def {test}(" in read(ROOT / file), f"{name}: {test}"


@every_page
def test_examples_use_public_names(name):
    for language, code in code_blocks(read(PAGES[name])):
        if language == "python":
            nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
            own = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
            used = {node.id for node in nodes} - own - set(dir(builtins))
            assert used <= set(tav_core.__all__), f"{name}: {used - set(tav_core.__all__)}"


@every_page
def test_calls_in_the_text_fit_the_signatures(name):
    for code in inline_code(read(PAGES[name])):
        try:
            tree = ast.parse(code, mode="eval")
        except SyntaxError:
            continue
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = public(call.func)
            if called is not None:
                given = {keyword.arg: None for keyword in call.keywords}
                dots = any(isinstance(value, ast.Constant) and value.value is ... for value in call.args)
                inspect.signature(called).bind_partial(*([] if dots else call.args), **given)


def public(node):
    """What an expression names in the library, None if it does not."""
    if isinstance(node, ast.Name):
        name = VALUES.get(node.id, node.id)
        return getattr(tav_core, name) if name in tav_core.__all__ else None
    if isinstance(node, ast.Attribute):
        owner = public(node.value)
        if owner is None or not hasattr(owner, node.attr):
            return None
        member = inspect.getattr_static(owner, node.attr)
        is_method = inspect.isfunction(member)
        return getattr(owner, node.attr).__get__(object()) if is_method else getattr(owner, node.attr)
    return None


@pytest.mark.parametrize(
    "command",
    [
        "python run.py dmeo",
        "python run.py bench --sise sd15",
        "python run.py test tests/no_such_folder",
        "COMFYUI_PATH=/there python scripts/start.py",
        "python -m tav_core tunes",
        "python -m tav_core invert --model m --clip c --out o",
        "python -m tav_core edit --model m --motion m --prompt p --out o --steps 3",
        "python -m demo.no_such_script",
        "python -m demo.tuning_steps --no-such-option",
        "python -m demo.score_stills --fast",
        "python -m benchmarks.sizes",
        "pip install -r requirements-missing.txt",
        'pip install ".[missing]"',
        "pip install no-such-package",
    ],
)
def test_a_wrong_command_is_noticed(command, monkeypatch):
    (words,) = commands(f"```\n{command}\n```\n")
    with pytest.raises((AssertionError, OSError, pytest.fail.Exception)):
        check_command(words, monkeypatch)


def test_the_pages_are_not_read_past():
    """Fewer finds than these mean that an expression has gone blind."""
    texts = [read(path) for path in PAGES.values()]
    found = {
        "commands": sum(len(list(commands(text))) for text in texts),
        "links": sum(len(links(text)) for text in texts),
        "code": sum(len(inline_code(text)) for text in texts),
        "examples": sum(language == "python" for text in texts for language, _ in code_blocks(text)),
    }
    assert all(
        found[what] >= least for what, least in {"commands": 50, "links": 90, "code": 750, "examples": 2}.items()
    )
    assert anchors("# One: *two*, `three` (4)!\n") == {"one-two-three-4"}
    assert "installation-problems" in anchors(read(ROOT / "docs" / "limits.md"))


def test_the_readme_is_short_and_shows_the_first_steps_first():
    lines = read(README).splitlines()
    assert len(lines) <= 200
    order = ["docs/showcase.png", "## Install", "## Quickstart", "## Workflows", "## Nodes", "## Without ComfyUI"]
    places = [next(i for i, line in enumerate(lines) if text in line) for text in order]
    assert places == sorted(places) and places[2] < 45


def test_every_page_of_docs_is_listed():
    listed = {target.partition("#")[0] for target in links(read(ROOT / "docs" / "README.md"))}
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert there - {"README.md"} <= listed
    assert all(f"docs/README.{language}.md" in links(read(README)) for language in LANGUAGES)


@pytest.mark.parametrize("name", ["README.md", *(f"docs/README.{language}.md" for language in LANGUAGES)])
def test_every_readme_lists_all_workflows_in_order(name):
    there = sorted((ROOT / "workflows").glob("*.json"), key=lambda path: int(path.stem.partition("_")[0]))
    row = re.compile(r"^\| \[[^\]]+\]\((?:\.\./)?workflows/([\w.]+)\.json\) \|", re.MULTILINE)
    assert row.findall(read(ROOT / name)) == [path.stem for path in there]


def test_the_readme_lists_all_nodes():
    texts = json.loads(read(ROOT / "locales" / "en" / "nodeDefs.json"))
    section = read(README).partition("## Nodes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z][^|]+) \|", section, re.MULTILINE)
    names = {about["display_name"] for about in texts.values()}
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(names)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the examples name: the demo's model and clip."""
    shutil.copytree(ROOT / "demo" / "model", tmp_path / "sd15.safetensors")
    shutil.copy(ROOT / "demo" / "clip.mp4", tmp_path / "ski.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
def test_the_python_example_runs(name, workplace):
    (code,) = [code for language, code in code_blocks(read(ROOT / name)) if language == "python"]
    assert len(code.strip().splitlines()) <= 12
    for long, short in {"num_frames=24": "num_frames=3, width=64, height=64", "num_steps=500": "num_steps=2"}.items():
        assert code.count(long) == 1
        code = code.replace(long, short)
    exec(compile(code, name, "exec"), {})
    assert (workplace / "spider-man.mp4").stat().st_size > 500


@pytest.mark.parametrize("name", ["README.md", "docs/command-line.md"])
def test_the_commands_run(name, workplace):
    """One after the other, on a small clip with few steps."""
    block = next(code for _, code in code_blocks(read(ROOT / name)) if "-m tav_core tune" in code)
    small = {"tune": ["--num-frames", "3", "--width", "64", "--height", "64"]}
    steps = ["--num-steps", "2"]
    for words in commands(f"```\n{block}```\n"):
        command = words[3]
        more = [*small.get(command, []), *(steps if command in ("tune", "invert", "edit") else [])]
        assert main([*words[3:], *more]) == 0, words
    assert (workplace / "run" / "report.html").is_file()
