"""Lists of edits: what they mean, and that all of their mistakes are told at once, each with its line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tav_core.batch.manifest.read import read_manifest
from tav_core.errors import ManifestError
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video


@pytest.fixture
def folder(tmp_path):
    """A folder with two clips of ten frames."""
    for name in ("ski", "bear"):
        write_video(tmp_path / f"{name}.mp4", np.zeros((10, 16, 16, 3), np.uint8), fps=8)
    return tmp_path


def read(folder, text, name="list.csv", encoding="utf-8", **how):
    (folder / name).write_bytes(text.encode(encoding))
    return read_manifest(str(folder / name), defaults=ClipConfig(num_frames=4, width=16, height=16), **how)


def mistakes(folder, text, name="list.csv"):
    """The lines of a refusal, without its first and its last."""
    with pytest.raises(ManifestError) as caught:
        read(folder, text, name)
    return [line.strip() for line in caught.value.got.strip().splitlines()[1:]]


PLAIN = "clip,prompt,edit\nski.mp4,a man skis,a bear skis\nbear.mp4,a bear,a fox\nski.mp4,a man skis,a man surfs\n"


def test_rows_of_one_clip_are_one_job(folder):
    first, second = read(folder, PLAIN)
    assert [edit.prompt for edit in first.edits] == ["a bear skis", "a man surfs"]
    assert [edit.type for edit in first.edits] == ["a-bear-skis", "a-man-surfs"]
    assert (first.name, second.name) == ("ski", "bear") and first.clip == str(folder / "ski.mp4")
    assert first.folder.startswith("ski-") and first.folder != second.folder
    assert first.config == ClipConfig(num_frames=4, width=16, height=16)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(folder, encoding, separator, ending):
    rows = [
        ["Clip ", "prompt", "EDIT", "num_frames"],
        ["ski.mp4", "a man", '"滑雪, ""fast"""', "4.0"],
        ["", "", "", ""],
    ]
    text = ending.join(separator.join(row) for row in rows)
    (job,) = read(folder, text, encoding=encoding)
    assert job.edits[0].prompt == '滑雪, "fast"' and job.config.num_frames == 4


def test_a_prompt_may_have_several_lines_and_lines_are_counted_in_the_file(folder):
    text = 'clip,prompt,edit\nski.mp4,"a man\nskis",a bear\n\nlost.mp4,x,y\n'
    assert mistakes(folder, text) == [f"line 5: no clip {folder / 'lost.mp4'}"]


def test_all_mistakes_are_told_at_once(folder):
    text = (
        "clip,prompt,edit,num_frames,width,fit,seed,mask\n"
        "lost.mp4,a,b,,,,,\n"
        "ski.mp4,a,b,many,,,,\n"
        "ski.mp4,a,b,,17,,,\n"
        "ski.mp4,,b,,,,,\n"
        "ski.mp4,a,c,,,squeeze,,\n"
        "ski.mp4,a,d,,,,-1,\n"
        "ski.mp4,a,e,,,,,nowhere.png\n"
        "ski.mp4,a,a ((red)) car,,,,,\n"
        "ski.mp4,a,f\n"
        "ski.mp4,a,f\n"
        "ski.mp4,a,g,,,,,,a stray word\n"
    )
    found = mistakes(folder, text)
    assert [line.split(":")[0] for line in found] == [f"line {n}" for n in (12, 3, 4, 5, 6, 2, 7, 8, 9, 11)]
    told = "\n".join(found)
    for words in (
        "'many'",
        "multiple of 8",
        "the prompt is empty",
        "squeeze",
        "no mask",
        "the same edit as in line 10",
    ):
        assert words in told
    assert "put a text with commas in quotes" in told and "one pair of parentheses" in told


def test_a_row_without_an_edit_is_a_mistake(folder):
    """It was left out without a word, and the batch ended as if it were done."""
    assert mistakes(folder, PLAIN + "bear.mp4,a bear\n") == ["line 5: the edit is empty"]
    edits = "    edits:\n      - a bear\n      - {type: style, seed: 3}\n"
    text = "clips:\n  - clip: ski.mp4\n    prompt: a man\n" + edits
    assert mistakes(folder, text, "list.yaml") == ["line 6: the edit is empty"]


def test_columns_that_are_missing_or_unknown(folder):
    found = mistakes(folder, "clip,promt,edit\nski.mp4,a,b\n")
    assert found[0].startswith("line 1: no column 'prompt'")
    assert found[1] == "line 1: an unknown column 'promt' (did you mean prompt?)"
    assert mistakes(folder, "clip,prompt,edit,edit\nski.mp4,a,b,c\n") == ["line 1: the column 'edit' is there 2 times"]


def test_an_empty_list_quotes_that_never_close_and_other_encodings(folder):
    assert mistakes(folder, "") == ["the file is empty"]
    assert mistakes(folder, "clip,prompt,edit\n") == ["no edit"]
    assert "no CSV" in mistakes(folder, 'clip,prompt,edit\nski.mp4,"a,b\n')[0]
    with pytest.raises(ManifestError, match="not UTF-8 in line 2"):
        read(folder, "clip,prompt,edit\nski.mp4,a,für\n", encoding="latin-1")
    with pytest.raises(ManifestError, match="says no format"):
        read_manifest(str(folder / "list.txt"))
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(str(folder / "gone.csv"))


def test_clips_are_opened_before_the_first_job(folder):
    (folder / "text.mp4").write_text("this is no video")
    text = "clip,prompt,edit,num_frames\nski.mp4,a,b,11\nbear.mp4,a,b,10\ntext.mp4,a,b,\n"
    found = mistakes(folder, text)
    assert [line.split(":")[0] for line in found] == ["line 2", "line 4"]
    assert "10 frames" in found[0]
    assert len(read(folder, text, look_at_clips=False)) == 3


@pytest.mark.parametrize(
    ("column", "mask", "told"),
    [
        ("mask", "labels.png", "brighter than 13% of white"),
        ("mask", "list.csv", "list.csv"),
        ("mask", "three", "3 frames in the mask"),
        ("score_mask", "three", "3 frames in the mask"),
        ("mask", "tall.png", "a mask of 16x64"),
        ("mask", "white.png", ""),
        ("score_mask", "labels.png", ""),
    ],
)
def test_masks_are_opened_before_the_first_job(folder, column, mask, told):
    """One that does not fit was found when its clip was tuned and inverted."""
    Image.new("RGB", (16, 16), (128, 0, 0)).save(folder / "labels.png")
    Image.new("L", (16, 16), 255).save(folder / "white.png")
    Image.new("L", (16, 64), 255).save(folder / "tall.png")
    write_video(folder / "three", np.ones((3, 16, 16, 3), np.float32), fps=8)
    text = f"clip,prompt,edit,num_frames,{column}\nski.mp4,a,b,4,{mask}\n"
    if not told:
        assert len(read(folder, text)) == 1
    else:
        (found,) = mistakes(folder, text)
        assert found.startswith("line 2: ") and told in found


YAML = """defaults: {num_frames: 5, width: 16}
clips:
  - clip: ski.mp4
    prompt: a man skis
    stride: 2
    edits:
      - a bear skis
      - {edit: no, type: on, seed: 7, negative: "blurry, dark"}
  - {clip: bear.mp4, prompt: a bear, edit: "1984"}
"""


def test_yaml_has_defaults_clips_and_edits(folder):
    first, second = read(folder, YAML, "list.yaml")
    assert (first.config.num_frames, first.config.stride, first.config.width) == (5, 2, 16)
    assert [edit.prompt for edit in first.edits] == ["a bear skis", "no"]
    assert (first.edits[1].type, first.edits[1].seed, first.edits[1].negative) == ("on", 7, "blurry, dark")
    assert second.edits[0].prompt == "1984" and second.config.stride == 1


def test_yaml_tells_its_mistakes_with_their_lines(folder):
    text = (
        "default: {}\nclips:\n  - clip: ski.mp4\n    prompt: a\n    edits: []\n"
        "  - clip: ski.mp4\n    edits: [x]\n  - clip: ski.mp4\n    prompt: a\n    edits:\n"
        "      - {edit: x, width: 16}\n      - {edit: [x]}\n    colour: red\n  - ski.mp4\n"
    )
    found = mistakes(folder, text, "list.yml")
    assert {line.split(":")[0] for line in found} == {f"line {n}" for n in (1, 5, 6, 11, 12, 13, 14)}
    both = "clips: [{clip: ski.mp4, prompt: a, edit: b, edits: [c, d]}]\n"
    assert mistakes(folder, both, "list.yml") == ["line 1: 'edit' beside 'edits'; put it into the list"]
    assert "no YAML" in mistakes(folder, "clips: [", "list.yml")[0]
    assert "no mapping" in mistakes(folder, "- a\n", "list.yml")[0]
    assert "'clips', a list" in mistakes(folder, "defaults: {}\n", "list.yml")[0]


def test_two_edits_of_one_type_get_two_names(folder):
    (job,) = read(folder, "clip,prompt,edit,type\nski.mp4,a,b,style\nski.mp4,a,c,Style\nski.mp4,a,d,../../x\n")
    assert [edit.type for edit in job.edits] == ["style", "style-2", "x"]


def test_jobs_have_folders_of_their_own(folder):
    header = "clip,prompt,edit,name,split\n"
    rows = ["ski.mp4,a,b,Ski,one", "ski.mp4,a,c,ski!,one", "ski.mp4,a,d,Ski,two", f"{folder / 'ski.mp4'},a,e,Ski,one"]
    jobs = read(folder, header + "\n".join([*rows, "./ski.mp4,a,f,Ski,one"]))
    assert [len(job.edits) for job in jobs] == [3, 1, 1], "a clip may be spelled in several ways"
    assert len({job.folder for job in jobs}) == 3


def test_a_moved_list_keeps_its_folders(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("moved")
    for name in ("ski.mp4", "bear.mp4"):
        (other / name).write_bytes((folder / name).read_bytes())
    assert [job.folder for job in read(folder, PLAIN)] == [job.folder for job in read(other, PLAIN)]
    whole = PLAIN.replace("ski.mp4", f"{folder / 'ski.mp4'}").replace("bear.mp4", f"{folder / 'bear.mp4'}")
    assert [job.folder for job in read(folder, whole)] == [job.folder for job in read(folder, PLAIN)]


def test_a_job_comes_back_from_json(folder):
    import json

    from tav_core.batch.manifest.jobs import ClipJob

    for job in read(folder, YAML, "list.yaml"):
        assert ClipJob.from_json(json.loads(json.dumps(job.as_json()))) == job


@pytest.mark.parametrize(
    "text",
    [
        "\n \nclip,prompt,edit\nski.mp4,a,b\n",
        "clip,prompt,edit,,\nski.mp4,a,b,,\n,,,,\n",
        "sep=;\nclip;prompt;edit\nski.mp4;a;b\n",
        '"sep=|"\r\nclip|prompt|edit\r\nski.mp4|a|b\r\n',
    ],
)
def test_lists_as_spreadsheets_leave_them(folder, text):
    (job,) = read(folder, text)
    assert (job.prompt, [edit.prompt for edit in job.edits]) == ("a", ["b"])


def test_lines_are_counted_from_the_top_of_the_file(folder):
    assert mistakes(folder, "sep=;\n\nclip;prompt;edit\nski.mp4;a;\n") == ["line 4: the edit is empty"]
