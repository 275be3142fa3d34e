"""Starts an installed ComfyUI with this pack linked in: `python run.py comfyui [arguments for ComfyUI]`.

It looks for ComfyUI at COMFYUI_PATH, then at ~/comfy/ComfyUI (comfy-cli's default). It looks for ComfyUI's Python at
COMFYUI_PYTHON, then in a virtual environment inside or beside ComfyUI's folder; if there is none, it uses the Python
that runs this script. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
DEFAULT = Path.home() / "comfy" / "ComfyUI"
LINK_NAME = "comfyui-tune-a-video"
ENVIRONMENTS = (".venv", "venv", "../python_embeded", "../venv")
NEEDED = ("diffusers", "transformers", "safetensors", "einops", "av", "PIL", "torch")


def main(arguments: list[str]) -> int:
    """Links the pack in and starts ComfyUI; returns its exit status."""
    comfy = find_comfyui()
    python = find_python(comfy)
    link_pack(comfy / "custom_nodes")
    check_packages(python)
    print(f"starting {comfy} with {python}", flush=True)
    return subprocess.call([python, "main.py", *arguments], cwd=comfy)


def find_comfyui() -> Path:
    """ComfyUI's folder; exits with a message if there is none."""
    told = os.environ.get("COMFYUI_PATH", "").split(os.pathsep)[0]
    comfy = Path(told).expanduser() if told else DEFAULT
    if not (comfy / "main.py").is_file() or not (comfy / "custom_nodes").is_dir():
        sys.exit(f"No ComfyUI in {comfy}. Set COMFYUI_PATH to the folder that holds its main.py and custom_nodes.")
    return comfy


def find_python(comfy: Path) -> Path:
    """The Python that ComfyUI is installed for."""
    told = os.environ.get("COMFYUI_PYTHON", "").split(os.pathsep)[0]
    if told:
        return Path(told).expanduser()
    inside = ("python.exe", "Scripts/python.exe") if os.name == "nt" else ("bin/python",)
    places = [comfy / folder / name for folder in ENVIRONMENTS for name in inside]
    return next((place for place in places if place.is_file()), Path(sys.executable))


def link_pack(custom_nodes: Path) -> None:
    """Links the pack into the custom nodes, unless it is there already."""
    if any(there.resolve() == PACK for there in custom_nodes.iterdir()):
        return
    link = custom_nodes / LINK_NAME
    if link.exists() or link.is_symlink():
        sys.exit(f"{link} is another copy of the pack. Remove or rename it, then run this again.")
    if os.name == "nt":
        # A junction needs no special rights, unlike a symbolic link.
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(PACK)], check=True)
    else:
        link.symlink_to(PACK, target_is_directory=True)
    print(f"linked {link}", flush=True)


def check_packages(python: Path) -> None:
    """If ComfyUI's Python lacks packages, exits with the command that installs them."""
    code = f"import importlib.util as u; print(*[n for n in {NEEDED} if u.find_spec(n) is None])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    missing = done.stdout.split()
    if done.returncode:
        sys.exit(
            f"{python} does not run. Set COMFYUI_PYTHON to the Python that ComfyUI is installed for.\n{done.stderr}"
        )
    if missing:
        requirements = PACK / "requirements.txt"
        sys.exit(
            f'{python} lacks {", ".join(missing)}. Install with:\n\n  "{python}" -m pip install -r "{requirements}"'
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
