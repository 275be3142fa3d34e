"""Whether the commands in the pages can be given: against the real parsers, modules, scripts and requirements."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import re
import sys

import pytest

from tav_core.cli.options.commands import build_parser
from tests.project_files import AT_LEAST, ROOT, python_files

# Of other projects, whose options are theirs.
FOREIGN = {"build", "mypy", "pip", "pre_commit", "pytest", "ruff", "venv"}
FOREIGN_OPTIONS = {"--cpu", "--disable-dynamic-vram", "--help"}
PACK_FOLDER = "comfyui-tune-a-video"


class Parsed(Exception):
    """Raised in place of the work that would follow."""


def check_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a command names what is not there.

    Args:
        words: the command, with variables of the environment before it or not.
        monkeypatch: undoes the change of `argparse`.
    """
    words = words[next(i for i, word in enumerate(words) if "=" not in word) :]
    program, *rest = words
    if program == "pip" or rest[:2] == ["-m", "pip"]:
        check_pip(rest if program == "pip" else rest[2:])
    elif rest[0] == "-m":
        check_module(rest[1], rest[2:], monkeypatch)
    elif rest[0] == "run.py":
        check_run(rest[1:], monkeypatch)
    else:
        assert (ROOT / rest[0]).is_file(), words


def check_run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`python run.py ...`."""
    spec = importlib.util.spec_from_file_location("project_run", ROOT / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    if not words or words[0] == "comfyui":
        assert "comfyui" in run.USAGE
        return
    assert words[0] in run.COMMANDS and f"  {words[0]} " in run.USAGE, words
    module = run.COMMANDS[words[0]][-1][1]
    check_module(module, words[1:], monkeypatch)


def check_module(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m module ...`: one of the project's is given its words, up to where the work would begin."""
    if module == "tav_core":
        check_core(words)
    elif module in FOREIGN:
        paths = [word.partition("::")[0] for word in words if module == "pytest" and "/" in word]
        assert all((ROOT / path).exists() for path in paths), words
    else:
        check_main(module, words, monkeypatch)


def check_main(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the project with a `main` of its own."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    assert "__main__" in source, f"{module} does nothing when it is run"
    if not words:
        return
    assert "argparse" in source, f"{module} takes no options: {words}"
    parse_args = argparse.ArgumentParser.parse_args

    def parse(self, argv=None, namespace=None):
        parse_args(self, argv, namespace)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", [module, *words])
        with pytest.raises((Parsed, SystemExit)) as ended:
            importlib.import_module(module).main()
    assert ended.type is Parsed or ended.value.code == 0, f"{module} refuses {words}"


def core_commands() -> dict[str, argparse.ArgumentParser]:
    """The parsers of `python -m tav_core`."""
    actions = build_parser()._actions
    return next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))


def check_core(words: list[str]) -> None:
    """`python -m tav_core ...`; a command without options is only named."""
    assert not words or words[0] in core_commands(), words
    if words[1:] and words[1:] != ["--help"]:
        try:
            build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"tav_core refuses {words}")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """All long options of a parser."""
    return set(re.findall(r"--[a-z][\w-]*", parser.format_help()))


def known_options() -> set[str]:
    """All long options of all of the project's parsers."""
    found = {option for parser in core_commands().values() for option in options_of(parser)}
    for folder in AT_LEAST:
        for path in python_files(folder):
            found |= set(re.findall(r"add_argument\(\s*\"(--[\w-]+)\"", path.read_text(encoding="utf-8")))
    return found | FOREIGN_OPTIONS


def check_pip(words: list[str]) -> None:
    """`pip install ...`: the files, extras and packages that it names are the project's."""
    assert words[0] == "install", words
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("requirements*.txt")))
    for before, word in itertools.pairwise(words):
        if before in ("-r", "-c"):
            assert (ROOT / word.removeprefix(f"{PACK_FOLDER}/")).is_file(), words
        elif extra := re.fullmatch(r"\.\[(\w+)\]", word):
            extras = text.partition("optional-dependencies")[2]
            assert re.search(rf"^{extra[1]}\s*=", extras, re.MULTILINE), words
        elif not word.startswith(("-", ".")) and word.replace("-", "_") not in FOREIGN:
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", named), words
