"""Data sets as they lie on the disk, made up here in small."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tav_core.batch.manifest.read import read_manifest
from tav_core.errors import ManifestError
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video

DEFAULTS = ClipConfig(num_frames=2, width=16, height=16)


def pictures(folder, count, *, first=0, size=16, ending="jpg"):
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        Image.new("RGB", (size, size)).save(folder / f"{number:05d}.{ending}")


@pytest.fixture
def loveu(tmp_path):
    """Three parts with a clip or two each, empty rows, a byte order mark, captions with blanks and commas."""
    pictures(tmp_path / "DAVIS_480p" / "480p_frames" / "stunt", 3)
    pictures(tmp_path / "youtube_480p" / "480p_frames" / "salsa", 4)
    videos = tmp_path / "videvo_480p" / "480p_videos"
    write_video(videos / "swans.mp4", np.zeros((5, 16, 16, 3), np.uint8), fps=8)
    rows = [
        "Video name,Our GT caption,Style Change Caption,Object Change Caption,Background Change Caption,"
        "Multiple Changes Caption,Notes",
        "DAVIS Videos:,,,,,,",
        'stunt,"A man, on a bike ",s1 , o1,b1,"m1, too",x',
        ",,,,,,",
        "Youtube Videos:,,,,,,",
        "salsa,Two dance,s2,o2,b2,m2,",
        ",,,,,,",
        "Videvo Videos:,,,,,,",
        "swans,Swans,s3,o3,b3,m3,",
    ]
    (tmp_path / "LOVEU-TGVE-2023_Dataset.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    return tmp_path


def test_loveu_is_read_by_its_section_rows(loveu):
    stunt, salsa, swans = read_manifest(f"loveu:{loveu}", defaults=DEFAULTS)
    assert [job.split for job in (stunt, salsa, swans)] == ["DAVIS_480p", "youtube_480p", "videvo_480p"]
    assert stunt.prompt == "A man, on a bike"
    assert [(edit.type, edit.prompt) for edit in stunt.edits] == [
        ("style", "s1"),
        ("object", "o1"),
        ("background", "b1"),
        ("multiple", "m1, too"),
    ]
    # Every frame of a folder, at the size of the competition.
    assert (stunt.config.num_frames, salsa.config.num_frames, stunt.config.width) == (3, 4, 480)
    assert swans.clip.endswith("swans.mp4")


def test_loveu_tells_what_is_missing(loveu):
    path = loveu / "LOVEU-TGVE-2023_Dataset.csv"
    text = path.read_text(encoding="utf-8-sig")
    path.write_text(text + "\ngone,Gone,a,b,c,\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_manifest(f"loveu:{loveu}", defaults=DEFAULTS)
    assert "line 10: the edit is empty" in str(caught.value) and "line 10: no clip" in str(caught.value)
    path.write_text(text.replace("DAVIS Videos:", ""), encoding="utf-8")
    with pytest.raises(ManifestError, match="line 3: the clip 'stunt' before a row"):
        read_manifest(f"loveu:{loveu}", defaults=DEFAULTS)
    path.write_text("Video name,Caption\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="no column 'our gt caption'"):
        read_manifest(f"loveu:{loveu}", defaults=DEFAULTS)
    with pytest.raises(ManifestError, match="does not exist"):
        read_manifest(f"loveu:{loveu / 'nowhere'}", defaults=DEFAULTS)


def test_davis_has_masks_for_the_scores(tmp_path):
    pictures(tmp_path / "JPEGImages" / "480p" / "bear", 3)
    pictures(tmp_path / "Annotations" / "480p" / "bear", 3, ending="png")
    (tmp_path / "edits.csv").write_text("clip,prompt,edit\nbear,a bear,a fox\n")
    (job,) = read_manifest(f"davis:{tmp_path}", defaults=DEFAULTS)
    assert job.name == "bear" and job.edits[0].score_mask.endswith("bear") and not job.edits[0].mask
    (tmp_path / "more.csv").write_text("")
    with pytest.raises(ManifestError, match="2 CSV files"):
        read_manifest(f"davis:{tmp_path}", defaults=DEFAULTS)


def test_five_is_read_from_all_its_lists(tmp_path):
    pictures(tmp_path / "images" / "0001_bus", 3, first=1)
    pictures(tmp_path / "bmasks" / "0001_bus", 3, first=1)
    entry = {"video_name": "0001_bus", "source_prompt": "A [red] bus.", "target_prompt": "A [ green] bus."}
    (tmp_path / "edit_prompt").mkdir()
    (tmp_path / "edit_prompt" / "edit3_FiVE.json").write_text(json.dumps([{**entry, "editing_type_id": "3"}, {}]))
    with pytest.raises(ManifestError, match=r"edit3_FiVE.json entry 2: no video_name"):
        read_manifest(f"five:{tmp_path}", defaults=DEFAULTS)
    (tmp_path / "edit_prompt" / "edit3_FiVE.json").write_text(json.dumps([entry]))
    other = {**entry, "target_prompt": "A bus of wood."}
    (tmp_path / "edit_prompt" / "edit4_FiVE.json").write_text(json.dumps([other]))
    (job,) = read_manifest(f"five:{tmp_path}", defaults=DEFAULTS)
    assert job.prompt == "A red bus."
    assert [(edit.type, edit.prompt) for edit in job.edits] == [
        ("colour", "A green bus."),
        ("material", "A bus of wood."),
    ]
    assert all(edit.score_mask for edit in job.edits)


def test_editboards_list(tmp_path):
    pictures(tmp_path / "sample" / "bear", 3)
    pictures(tmp_path / "sample" / "bear_mask", 3)
    header = "original_video_path,edited_video_path,semantic_mask_path,source_prompt,target_prompt"
    row = "./sample/bear,./sample/bear_autumn,./sample/bear_mask,a bear walks,a bear walks in autumn"
    path = tmp_path / "sample" / "script.csv"
    path.write_text(f"{header}\n{row}\n")
    (job,) = read_manifest(f"editboard:{path}", defaults=DEFAULTS)
    assert job.clip == str(tmp_path / "sample" / "bear")
    assert (job.edits[0].type, job.edits[0].prompt) == ("autumn", "a bear walks in autumn")
    assert job.edits[0].score_mask == str(tmp_path / "sample" / "bear_mask")
