"""Lists of edits as YAML: `defaults`, and `clips`, each with its prompt and its edits.

defaults: {num_frames: 16}
clips:
  - clip: ski.mp4
    prompt: a man is skiing
    edits:
      - Spider-Man is skiing
      - {edit: a man is skiing in the desert, type: background, seed: 7}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .csv_file import read_text
from .rows import COLUMNS, NEEDED, Problems, Row, check_columns

TOP = ("defaults", "clips")
OF_CLIPS = tuple(name for name in COLUMNS if name != "edit")
# Where these stand, an edit overrules its clip.
OF_EDITS = ("edit", "type", "mask", "score_mask", "negative", "seed")


def read_yaml(path: Path, problems: Problems) -> list[Row]:
    """The rows of a list of edits; mistakes in its form are noted, and what has them is left out."""
    import yaml

    try:
        root = yaml.compose(read_text(path), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        problems.add(place, f"no YAML ({getattr(error, 'problem', None) or str(error).splitlines()[0]})")
        return []
    if not isinstance(root, yaml.MappingNode):
        problems.add("line 1", "no mapping with 'clips' in it")
        return []
    top = entries(root, problems)
    for name in top.keys() - set(TOP):
        problems.add(line_of(top[name]), f"an unknown entry {name!r}; known are {', '.join(TOP)}")
    given = top.get("defaults")
    defaults = read_settings(given, problems, known=OF_CLIPS) if given else {}
    clips = items(top.get("clips"), problems, "'clips', a list", where=line_of(root))
    return [row for clip in clips for row in read_clip(clip, defaults, problems)]


def read_clip(node: Any, defaults: dict[str, Any], problems: Problems) -> list[Row]:
    """The rows of one clip: one per edit."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        problems.add(line_of(node), "a clip that is no mapping with 'clip', 'prompt' and 'edits'")
        return []
    about = entries(node, problems)
    edits = about.pop("edits", None)
    single = about.pop("edit", None)
    if edits is not None and single is not None:
        problems.add(line_of(single), "'edit' beside 'edits'; put it into the list")
    shared = defaults | {
        name: scalar(value, problems) for name, value in about.items() if known_name(name, value, OF_CLIPS, problems)
    }
    nodes = items(edits, problems, "'edits', a list", where=line_of(node)) if single is None else [single]
    rows = []
    for each in nodes:
        own = {"edit": scalar(each, problems)} if isinstance(each, yaml.ScalarNode) else {}
        own = own or read_settings(each, problems, known=OF_EDITS)
        rows.append(Row(where=line_of(each), values={"edit": "", **shared, **own}))
    for name in NEEDED[:2]:
        if name not in shared:
            problems.add(line_of(node), f"a clip without {name!r}")
            return []
    return rows


def read_settings(node: Any, problems: Problems, *, known: tuple[str, ...]) -> dict[str, Any]:
    """The named values of a mapping."""
    found = entries(node, problems)
    return {name: scalar(value, problems) for name, value in found.items() if known_name(name, value, known, problems)}


def known_name(name: str, node: Any, known: tuple[str, ...], problems: Problems) -> bool:
    """Whether a name may stand here; notes one that may not."""
    if name in known:
        return True
    if name in COLUMNS:
        problems.add(line_of(node), f"{name!r} cannot stand here; here can be {', '.join(known)}")
    else:
        check_columns([name], line_of(node), problems, needed=())
    return False


def entries(node: Any, problems: Problems) -> dict[str, Any]:
    """The nodes of a mapping by their names; notes what is no mapping, and names that are there twice."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        problems.add(line_of(node), "no mapping of names and values")
        return {}
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = str(getattr(key, "value", key))
        if name in found:
            problems.add(line_of(key), f"{name!r} is there twice")
        found[name] = value
    return found


def items(node: Any, problems: Problems, expected: str, *, where: str) -> list[Any]:
    """The nodes of a list; notes what is none, or empty."""
    import yaml

    if not isinstance(node, yaml.SequenceNode) or not node.value:
        problems.add(line_of(node) if node is not None else where, f"not {expected} with one entry or more")
        return []
    return list(node.value)


def scalar(node: Any, problems: Problems) -> Any:
    """The value of a scalar: a number where one is written without quotes, else its text as it stands there."""
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        problems.add(line_of(node), "a list or mapping in place of one value")
        return None
    kind = node.tag.rpartition(":")[2]
    # YAML 1.1 takes `no`, `on` and 2001-01-01 for other things than the texts that they are here.
    return None if kind == "null" else node.value


def line_of(node: Any) -> str:
    """Where a node stands."""
    return f"line {node.start_mark.line + 1}" if node is not None else ""
