"""Writes the English node texts from the nodes' schemas, and compares the other languages with them.

    COMFYUI_PATH=<ComfyUI's folder> <its python> scripts/make_locales.py           # writes locales/en/nodeDefs.json
    COMFYUI_PATH=<ComfyUI's folder> <its python> scripts/make_locales.py --check   # writes nothing

Exits with 1 if a language lacks a text or has a surplus one; with --check also if the English file differs from the
schemas.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

PACK = Path(__file__).resolve().parent.parent
LOCALES = PACK / "locales"
LANGUAGES = ("ko", "zh", "ja")


def main() -> int:
    """Runs the script; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the English file is stale")
    check = parser.parse_args().check
    texts = {schema.node_id: node_texts(schema) for schema in load_schemas()}
    problems = []
    if not check:
        write_texts("en", texts)
    elif read_texts("en") != texts:
        problems.append("en: differs from the schemas; run this script without --check")
    for language in LANGUAGES:
        problems += compare_keys(language, texts)
    print("\n".join(problems) or f"{len(texts)} nodes, no text missing: en, {', '.join(LANGUAGES)}")
    return 1 if problems else 0


def load_schemas() -> list[Any]:
    """The schemas of the pack's nodes, loaded as ComfyUI loads them.

    Raises:
        SystemExit: COMFYUI_PATH does not name ComfyUI's folder.
    """
    comfy = Path(os.environ.get("COMFYUI_PATH", ""))
    if not (comfy / "comfy" / "cli_args.py").is_file():
        raise SystemExit("Set COMFYUI_PATH to ComfyUI's folder, and run this with ComfyUI's python.")
    sys.path.insert(0, str(comfy.resolve()))
    # This comes before any other import of ComfyUI, which looks for a GPU when it is imported.
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    extension = asyncio.run(load_pack().comfy_entrypoint())
    nodes = asyncio.run(extension.get_node_list())
    return [node.GET_SCHEMA() for node in nodes]


def load_pack() -> Any:
    """The pack as a module, under a fixed name: its folder's name need not be a valid one."""
    folders = [str(PACK)]
    spec = importlib.util.spec_from_file_location(
        "tune_a_video_pack", PACK / "__init__.py", submodule_search_locations=folders
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def node_texts(schema: Any) -> dict[str, Any]:
    """What a translation of one node holds."""
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {socket.id: socket_texts(socket) for socket in schema.inputs},
        "outputs": {str(index): socket_texts(socket) for index, socket in enumerate(schema.outputs)},
    }


def socket_texts(socket: Any) -> dict[str, str]:
    """Name and tooltip of an input or output; no tooltip if the schema has none."""
    name = socket.display_name or socket.id.replace("_", " ")
    return {"name": name, **({"tooltip": socket.tooltip} if socket.tooltip else {})}


def locale_path(language: str) -> Path:
    """The file with the texts of a language."""
    return LOCALES / language / "nodeDefs.json"


def read_texts(language: str) -> dict[str, Any]:
    """The texts of a language; empty if there is no file yet."""
    path = locale_path(language)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_texts(language: str, texts: dict[str, Any]) -> None:
    """Writes the texts of a language."""
    path = locale_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(texts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def compare_keys(language: str, english: dict[str, Any]) -> list[str]:
    """The missing and the surplus texts of a language, one line each."""
    own, wanted = text_keys(read_texts(language)), text_keys(english)
    missing = [f"{language}: missing {key}" for key in sorted(wanted - own)]
    return missing + [f"{language}: surplus {key}" for key in sorted(own - wanted)]


def text_keys(texts: dict[str, Any], above: str = "") -> set[str]:
    """The paths of all texts, with dots between keys."""
    keys = set()
    for key, value in texts.items():
        keys |= text_keys(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}"}
    return keys


if __name__ == "__main__":
    sys.exit(main())
