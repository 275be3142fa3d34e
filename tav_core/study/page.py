"""The page of a study: one HTML file that holds the videos, shows them two at a time in random order, and asks.

It says nowhere which method a video is of; which letter stands for which method is in a key file beside it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path

from ..atomic_files import whole_file
from .page_parts import BODY, SCRIPT, STYLE
from .pairs import KINDS, Pair, kind_of, study_id

# The two questions of the paper's own study (Tune-A-Video, arXiv 2212.11565, section 5.1), in our words.
QUESTIONS = {
    "consistency": "Which video is more consistent from frame to frame?",
    "alignment": "Which video shows better what the text says?",
}
COLUMNS = ("study", "participant", "pair", "question", "left", "choice", "winner", "seconds", "time")


def write_study(path: Path, pairs: Sequence[Pair], *, labels: tuple[str, str]) -> tuple[Path, Path]:
    """Writes the page, and beside it the key that says what "a" and "b" are. Keep the key from those who answer.

    Args:
        path: the page, .html.
        pairs: of `find_pairs`.
        labels: the names of the two methods.

    Returns:
        The page and the key.

    Raises:
        OutputError: they cannot be written.
    """
    known = study_id(pairs)
    page, key = "\n".join(build_study(pairs, known)), path.with_suffix(".key.json")
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    about = {"study": known, "a": labels[0], "b": labels[1], "pairs": [pair.name for pair in pairs]}
    with whole_file(key) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return path, key


def build_study(pairs: Sequence[Pair], known: str) -> list[str]:
    """The lines of the page. The data stand in it as JSON, which no text can break out of."""
    data = {
        "id": known,
        "columns": COLUMNS,
        "questions": [{"name": name, "text": text} for name, text in QUESTIONS.items()],
        "pairs": [
            {"name": str(number), "prompt": pair.prompt, "a": embed(pair.a), "b": embed(pair.b)}
            for number, pair in enumerate(pairs)
        ],
    }
    text = json.dumps(data).replace("<", "\\u003c")
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; media-src data:; style-src 'unsafe-inline'; connect-src 'self'; "
        f"script-src 'sha256-{digest}'"
    )
    return [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Which video is better?</title><style>{STYLE}</style></head><body>{BODY}",
        f'<script type="application/json" id="data">{text}</script>',
        f"<script>{SCRIPT}</script></body></html>",
    ]


def embed(path: Path) -> str:
    """A video as an address that holds it."""
    return f"data:{KINDS[kind_of(path)]};base64,{base64.b64encode(path.read_bytes()).decode()}"
