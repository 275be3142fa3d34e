"""Draws the demo world's clips and lists their edits, `demo/evaluation`: `python -m demo.make_evaluation`.

Eight clips with six edits each, as the paper's evaluation has many clips with several edits each. `batch` runs them.
"""

from __future__ import annotations

import json
from pathlib import Path

from tav_core import write_video

from .world.clips import Clip, all_clips, changed_parts

FOLDER = Path(__file__).parent / "evaluation"
FPS = 8
HEAD = """# The demo world's clips and edits, for `python -m tav_core batch`; docs/evaluation.md has the command.
# Made by `python -m demo.make_evaluation`.
defaults: {num_frames: 8, width: 96, height: 96}
clips:
"""


def main() -> None:
    lines = [HEAD]
    for clip in all_clips():
        write_video(FOLDER / f"{clip.name}.mp4", clip.frames(), fps=FPS)
        lines += describe(clip)
    path = FOLDER / "manifest.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    print(path)


def describe(clip: Clip) -> list[str]:
    """A clip's entry. An edit's type is what it changes."""
    lines = [f"  - clip: {clip.name}.mp4\n", f"    prompt: {json.dumps(clip.prompt)}\n", "    edits:\n"]
    for edit in clip.edits:
        kind = "-".join(changed_parts(clip, edit)) or "words"
        lines.append(f"      - {{type: {kind}, edit: {json.dumps(edit.prompt)}}}\n")
    return lines


if __name__ == "__main__":
    main()
