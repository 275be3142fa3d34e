"""What would be lost is refused before the work: here nothing could be read, since every file is empty."""

from __future__ import annotations

import pytest

from tav_core.cli.main import main

MODEL = "--model model.safetensors --num-steps 1"
INVERT = f"invert {MODEL} --motion motion.safetensors --clip clip.mp4"
EDIT = f"edit {MODEL} --prompt clip --motion motion.safetensors"
LAVIE = "--lavie lavie.pt --clip clip.mp4"
FILES = ("model.safetensors", "motion.safetensors", "clip.mp4", "picture.png", "lavie.pt", "clip-x4.mp4", "0/00000.png")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder of empty files, and of folders with names of results."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("folder", "out/clip.mp4", "out/clip-x4.mp4", "run/motion.safetensors", "run/start.safetensors"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "out" / "a-file").touch()
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(place, capsys, line, *said):
    before = sorted(place.rglob("*"))
    assert main(line.split()) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: Got ") and all(word in told for word in said), told
    assert sorted(place.rglob("*")) == before
    return told


@pytest.mark.parametrize(
    ("line", "example"),
    [
        (f"{INVERT} --out folder", "trajectory.safetensors"),
        (f"re{INVERT.replace('invert', 'construct')} --out folder", "methods.json"),
        ("report --video clip.mp4 --out folder", "report.html"),
        ("convert lavie.pt --out folder", "lavie.safetensors"),
    ],
)
def test_a_folder_where_a_file_is_expected(place, capsys, line, example):
    refused(place, capsys, line, "folder, which is a folder", "the name of a file", f"as in folder/{example}")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (f"{EDIT} --out out", "out/clip.mp4, which is a folder"),
        (f"{EDIT.replace('prompt clip', 'prompt a-file')} --format png --out out", "out/a-file, which is a file"),
        (f"generate {MODEL} --prompt clip --out out", "out/clip.mp4, which is a folder"),
        (f"upscale --upscaler model.safetensors {LAVIE} --out out", "out/clip-x4.mp4, which is a folder"),
        (f"tune {MODEL} --clip clip.mp4 --prompt x --out run", "run/motion.safetensors, which is a folder"),
        (f"learn-start {MODEL} --data folder --out run", "run/start.safetensors, which is a folder"),
    ],
)
def test_a_folder_has_the_name_of_a_result(place, capsys, line, name):
    refused(place, capsys, line, name, "Choose another name, or move what is there")


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (f"{INVERT} --out motion.safetensors", "--motion"),
        (f"{INVERT} --out link.mp4", "--clip"),
        (f"{INVERT} --lora lavie.pt:0.5 --out folder/../lavie.pt", "--lora"),
        (f"{EDIT} --trajectory clip.mp4 --out .", "--trajectory"),
        (f"{EDIT} --local-prompt x clip.mp4 --out .", "--local-prompt"),
        (f"edit {MODEL} --animation clip.mp4 --prompt clip --out .", "--animation"),
        (f"{EDIT.replace('clip', '0')} --mask 0/00000.png --format png --out .", "--mask"),
        (f"{EDIT} --control lavie.pt --control-video clip.mp4 --out .", "--control-video"),
        (f"{EDIT} --control lavie.pt --control-video new.mp4 --control-mask clip.mp4 --out .", "--control-mask"),
        ("animate --clip picture.png --mask clip.mp4 --out clip.mp4", "--mask"),
        ("animate --clip picture.png --mask clip.mp4 --out new.mp4 --out-mask clip.mp4", "--mask"),
        ("animate --clip 0 --out 0/", "--clip"),
        (f"interpolate {MODEL} {LAVIE} --out clip.mp4", "--clip"),
        (f"upscale --upscaler model.safetensors {LAVIE} --out clip.mp4", "--clip"),
        (f"instruct {MODEL} --clip clip.mp4 --instruction clip --out .", "--clip"),
        ("report --video picture.png --video clip.mp4 --out clip.mp4", "--video"),
        ("convert lavie.pt --out lavie.pt", "the file to convert"),
        (f"tune {MODEL} --clip clip.mp4 --prompt x --start-from motion.safetensors --out .", "--start-from"),
    ],
)
def test_what_is_read_is_not_replaced(place, capsys, line, option):
    refused(place, capsys, line, f"would replace what is read from it ({option})", "Choose another --out")


@pytest.mark.parametrize(
    "line", [f"{INVERT} --out new.safetensors", f"{EDIT} --out folder", f"{EDIT} --out {'x' * 300}"]
)
def test_other_results_are_no_matter(place, capsys, line):
    """What is refused then is the motion, which is empty, or a name that no disk takes."""
    assert "would replace" not in refused(place, capsys, line)


def test_two_results_have_a_path_each(place, capsys):
    line = "animate --clip picture.png --mask link.mp4 --path 0,0 1,1 --out new.mp4 --out-mask ./new.mp4"
    refused(place, capsys, line, "new.mp4 for two results", "Choose another --out-mask")
