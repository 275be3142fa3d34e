"""run.py with no environment made and nothing installed: what it would start, and when."""

from __future__ import annotations

import ast
import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

RUN = Path(__file__).parent.parent / "run.py"


def run_code(folder, code, **names):
    """Runs code as a file of its own; the names it leaves."""
    path = folder / "part_of_run.py"
    path.write_text(code)
    return runpy.run_path(str(path), init_globals=names)


class FakeProcesses:
    """Stands in for subprocess: writes down what is started, and fakes what it would leave behind."""

    def __init__(self, run):
        self.run_py, self.started, self.statuses, self.outputs = run, [], {}, {}
        self.breaks_pip = False

    def note(self, command):
        words = [str(word) for word in command]
        self.started.append(" ".join(["python" if word == str(self.run_py.PYTHON) else word for word in words]))
        if "venv" in words:
            self.run_py.PYTHON.parent.mkdir(parents=True, exist_ok=True)
            self.run_py.PYTHON.touch()
            self.breaks_pip = self.breaks_pip and "--clear" not in words
        line = self.started[-1]
        if line == "python -m pip --version" and self.breaks_pip:
            return 1
        return next((status for part, status in self.statuses.items() if part in line), 0)

    def run(self, command, **kwargs):
        status = self.note(command)
        output = next((text for part, text in self.outputs.items() if part in self.started[-1]), "")
        return SimpleNamespace(returncode=status, stdout=output, stderr="")

    def popen(self, command, stdout=None, **kwargs):
        status = self.note(command)
        if stdout is not None:
            stdout.write("Collecting torch\nERROR: no space\n" if status else "Collecting torch\n")
            stdout.flush()
        return FakeProcess(status)

    def with_word(self, word):
        return [line for line in self.started if word in line.split()]


class FakeProcess:
    def __init__(self, status):
        self.returncode = status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def poll(self):
        return self.returncode

    def wait(self):
        return self.returncode


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run.py as if it lay in an empty folder, with the requirements files beside it."""
    spec = importlib.util.spec_from_file_location("run_under_test", RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in (*module.REQUIREMENTS, module.CONSTRAINTS):
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in ("VENV", "PYTHON", "STAMP", "LOG"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to(RUN.parent))
    monkeypatch.setattr(module.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    return module


@pytest.fixture
def processes(run, monkeypatch):
    fake = FakeProcesses(run)
    stand_in = SimpleNamespace(run=fake.run, Popen=fake.popen, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(run, "subprocess", stand_in)
    return fake


def test_it_imports_the_standard_library_alone():
    tree = ast.parse(RUN.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    assert len(RUN.read_text().splitlines()) < 170


def test_an_old_python_is_told_before_anything_it_cannot_read(tmp_path, monkeypatch):
    tree = ast.parse(RUN.read_text())
    check = next(index for index, node in enumerate(tree.body) if isinstance(node, ast.If))
    assert all(isinstance(node, ast.Expr | ast.Import) for node in tree.body[:check])
    monkeypatch.setattr(sys, "version_info", (3, 8))
    first = ast.Module(body=tree.body[: check + 1], type_ignores=[])
    with pytest.raises(SystemExit, match=r"Python 3\.10 or newer"):
        run_code(tmp_path, ast.unparse(first))


@pytest.mark.parametrize(("argv", "status"), [([], 2), (["dance"], 2), (["--help"], 0)])
def test_without_a_command_it_says_what_there_is_and_starts_nothing(run, processes, capsys, argv, status):
    assert run.main(argv) == status
    assert "demo | cascade | test | bench" in capsys.readouterr().out
    assert processes.started == []


def test_the_first_run_makes_the_environment_installs_and_passes_arguments_on(run, processes):
    assert run.main(["demo", "--out", "x y"]) == 0
    assert processes.started[0].startswith(f"{sys.executable} -m venv")
    (install,) = processes.with_word("install")
    assert "-c constraints.txt -r requirements.txt -r requirements-dev.txt" in install
    assert processes.started[-1] == "python -m demo.showcase --out x y"


def test_it_never_installs_with_the_users_python(run, processes):
    run.main(["bench"])
    assert all(line.startswith("python ") for line in processes.started if "-m pip" in line)


def test_the_second_run_installs_nothing(run, processes):
    run.main(["demo"])
    processes.started.clear()
    assert run.main(["demo"]) == 0
    assert processes.started == ["python -m demo.showcase"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt"])
def test_a_changed_requirement_installs_again_in_the_same_environment(run, processes, name):
    run.main(["demo"])
    processes.started.clear()
    (run.ROOT / name).write_text("torch\n")
    run.main(["demo"])
    assert processes.with_word("install") and not processes.with_word("venv")


def test_a_half_made_environment_is_mended_and_cleared_only_if_that_does_not_help(run, processes):
    run.PYTHON.parent.mkdir(parents=True)
    run.PYTHON.touch()
    processes.breaks_pip = True
    assert run.main(["demo"]) == 0
    first, second = processes.with_word("venv")
    assert "--clear" not in first and "--clear" in second
    assert run.STAMP.exists()


def test_an_environment_that_cannot_be_made_ends_with_what_to_do(run, processes):
    processes.statuses["--version"] = 1
    with pytest.raises(SystemExit, match="python3-venv"):
        run.main(["demo"])
    assert not processes.with_word("install")


def test_a_failed_install_shows_its_end_and_what_to_do_and_is_tried_again(run, processes):
    processes.statuses["install"] = 1
    with pytest.raises(SystemExit, match=r"(?s)ERROR: no space.*run the same command again"):
        run.main(["demo"])
    assert processes.with_word("demo.showcase") == [] and not run.STAMP.exists()
    processes.statuses.clear()
    assert run.main(["demo"]) == 0


@pytest.mark.parametrize(
    ("platform", "driver", "config", "torch_status", "expected"),
    [
        ("linux", None, "", 1, True),
        ("linux", "/usr/bin/nvidia-smi", "", 1, False),
        ("linux", None, "global.index-url='https://example.org'", 1, False),
        ("linux", None, ":env:.find-links='/wheels'", 1, False),
        ("linux", None, "", 0, False),
        ("darwin", None, "", 1, False),
        ("win32", None, "", 1, False),
    ],
)
def test_the_cpu_build_of_torch_is_asked_for_only_where_it_spares_gigabytes(
    run, processes, monkeypatch, platform, driver, config, torch_status, expected
):
    monkeypatch.setattr(run.sys, "platform", platform)
    monkeypatch.setattr(run.shutil, "which", lambda name: driver)
    processes.outputs["pip config list"], processes.statuses["pip show torch"] = config, torch_status
    # Whether that index answers must not matter.
    processes.statuses[run.CPU_WHEELS] = 1
    assert run.main(["demo"]) == 0
    asked = [line for line in processes.started if run.CPU_WHEELS in line]
    assert len(asked) == expected
    assert all("-c constraints.txt torch --index-url" in line for line in asked)


@pytest.mark.parametrize("loads", [True, False])
def test_an_opencv_that_does_not_load_is_replaced_by_the_one_without_windows(run, processes, loads):
    processes.statuses["import cv2"] = int(not loads)
    assert run.main(["demo"]) == 0
    asked = [line for line in processes.with_word("install") if "opencv-python-headless" in line]
    assert len(asked) == (not loads)
    assert all("-c constraints.txt --force-reinstall --no-deps opencv-python-headless" in line for line in asked)
    assert run.STAMP.exists()


@pytest.mark.parametrize("broken", ["ruff check", "ruff format", "mypy", "pytest"])
def test_test_runs_and_reports_all_four_and_fails_with_any(run, processes, capsys, broken):
    run.prepare()
    processes.started.clear()
    processes.statuses[broken] = 3
    assert run.main(["test"]) == 3
    assert processes.started == [
        "python -m ruff check .",
        "python -m ruff format --check .",
        "python -m mypy",
        " ".join(["python -m pytest", *run.PARALLEL]),
    ]
    assert f"failed: {broken}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "parallel"),
    [
        (["-k", "video"], True),
        (["tests/nodes"], True),
        (["tests/nodes/test_pack.py"], False),
        (["tests/test_run.py::test_a_part", "-x"], False),
    ],
)
def test_a_part_is_pytest_alone_and_its_status(run, processes, monkeypatch, arguments, parallel):
    monkeypatch.setitem(run.COMMANDS, "test", [*run.CHECKS, ["-m", "pytest", "-n", "logical"]])
    run.prepare()
    processes.started.clear()
    processes.statuses["pytest"] = 5
    assert run.main(["test", *arguments]) == 5
    assert processes.started == [" ".join(["python -m pytest", *["-n logical"] * parallel, *arguments])]


def test_test_passes_without_a_word_after_pytests_closing_line(run, processes, capsys):
    run.prepare()
    capsys.readouterr()
    assert run.main(["test"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("given", [None, "7"])
def test_threads_wait_briefly_unless_the_user_says_otherwise(run, monkeypatch, given):
    monkeypatch.setenv("GOMP_SPINCOUNT", given) if given else monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    code = "import os, sys; sys.exit(os.environ['GOMP_SPINCOUNT'] != sys.argv[1])"
    assert run.call([sys.executable, "-c", code, given or "1000"]) == 0


def test_ctrl_c_waits_for_the_command_to_save_its_work(run, monkeypatch):
    class Interrupted(FakeProcess):
        calls = 0

        def wait(self):
            self.calls += 1
            if self.calls == 1:
                raise KeyboardInterrupt
            return 130

    monkeypatch.setattr(run, "subprocess", SimpleNamespace(Popen=lambda *_, **__: Interrupted(0)))
    assert run.call(["anything"]) == 130


@pytest.mark.parametrize(("system", "expected"), [("nt", "Scripts/python.exe"), ("posix", "bin/python")])
def test_the_environments_python_is_where_the_system_puts_it(tmp_path, system, expected):
    line = next(line for line in RUN.read_text().splitlines() if line.startswith("PYTHON ="))
    names = {"os": SimpleNamespace(name=system), "VENV": Path("project") / ".venv"}
    assert run_code(tmp_path, line, **names)["PYTHON"].as_posix() == f"project/.venv/{expected}"


class TestStartComfyUI:
    """scripts/start_comfyui.py with a folder that looks like ComfyUI, whose main.py prints what it was given."""

    SCRIPT = RUN.parent / "scripts" / "start_comfyui.py"

    def start(self, comfy, *arguments, python=sys.executable):
        environment = {**os.environ, "COMFYUI_PATH": str(comfy), "COMFYUI_PYTHON": str(python)}
        command = [sys.executable, str(RUN), "comfyui", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    @pytest.fixture
    def comfy(self, tmp_path):
        (tmp_path / "custom_nodes").mkdir()
        (tmp_path / "main.py").write_text("import sys; print('started', sys.argv[1:])")
        return tmp_path

    def test_links_the_pack_in_once_and_passes_arguments_on(self, comfy):
        for _ in range(2):
            done = self.start(comfy, "--cpu")
            assert "started ['--cpu']" in done.stdout, done.stdout + done.stderr
        (link,) = (comfy / "custom_nodes").iterdir()
        assert link.resolve() == RUN.parent.resolve()

    def test_no_comfyui_there(self, tmp_path):
        done = self.start(tmp_path / "nowhere")
        assert done.returncode and "Set COMFYUI_PATH" in done.stderr

    def test_another_copy_is_not_touched(self, comfy):
        other = comfy / "custom_nodes" / "comfyui-tune-a-video"
        other.mkdir()
        done = self.start(comfy)
        assert done.returncode and "another copy" in done.stderr and other.is_dir()

    def test_missing_packages_are_named_with_the_command(self, comfy, tmp_path):
        bare = tmp_path / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
        python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        done = self.start(comfy, python=python)
        assert done.returncode and "diffusers" in done.stderr and "-m pip install -r" in done.stderr
