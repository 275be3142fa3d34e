"""One command for everything: `python run.py demo | cascade | test | bench | ablation | comfyui`.

It needs Python 3.10 or newer, makes the environment `.venv` beside this file, installs the packages into it (never into
your own Python), and runs the command there. Later runs install again only if the requirements have changed.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit("This needs Python 3.10 or newer; it was started with " + sys.version.split()[0] + ". See python.org.")

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP, LOG = VENV / "installed.txt", VENV / "install.log"
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
CONSTRAINTS = "constraints.txt"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
# Tests in one file share models, so a file stays in one process. Tests that drive a ComfyUI share servers: one process.
PARALLEL = [] if os.environ.get("COMFYUI_PATH") else ["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]
CHECKS = [["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "mypy"]]
COMMANDS = {
    "demo": [["-m", "demo.showcase"]],
    "cascade": [["-m", "demo.show_cascade"]],
    "test": [*CHECKS, ["-m", "pytest", *PARALLEL]],
    "bench": [["-m", "benchmarks.bench"]],
    "ablation": [["-m", "demo.ablation"]],
}
USAGE = """usage: python run.py demo | cascade | test | bench | ablation | comfyui [arguments passed on]

  demo     tune, invert and edit a clip with the bundled model; results in demo/out
  cascade  a prompt becomes 61 frames, and some of them four times as large (LaVie); results in demo/out/cascade
  test     lint, format check, types of tav_core, and all tests; with arguments, such as a path or -k, pytest alone
  bench    time the stages on this machine
  ablation score what each part of the method does, on the demo world; takes hours, and continues where it stopped
  comfyui  start an installed ComfyUI with this pack linked in; arguments go to ComfyUI"""


def main(argv: list[str]) -> int:
    """Runs a command in the environment; returns its exit status."""
    if argv and argv[0] == "comfyui":
        # ComfyUI has its own environment, or uses this Python.
        return call([sys.executable, Path("scripts") / "start_comfyui.py", *argv[1:]])
    if not argv or argv[0] not in COMMANDS:
        print(USAGE)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    prepare()
    *first, last = COMMANDS[argv[0]]
    if argv[0] == "test" and argv[1:]:
        # For a part. The tests of a file stay in one process, and further processes would only load PyTorch in vain.
        first, last = [], last[:2] if any(".py" in argument for argument in argv[1:]) else last
    steps = [*first, [*last, *argv[1:]]]
    statuses = [call([PYTHON, *step]) for step in steps]
    for step, status in zip(steps, statuses, strict=True):
        if status and len(steps) > 1:
            print("failed:", " ".join(step[1:]), flush=True)
    return next((status for status in statuses if status), 0)


def prepare() -> None:
    """Makes the environment, unless it exists and its requirements have not changed."""
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    STAMP.unlink(missing_ok=True)
    make_venv()
    if wants_cpu_torch():
        # The usual build for Linux would bring gigabytes of CUDA. If this call fails, the next one decides.
        pip("torch (CPU)", "install", "-c", CONSTRAINTS, "torch", "--index-url", CPU_WHEELS, "--retries", "1")
    named = [part for name in REQUIREMENTS for part in ("-r", name)]
    if pip("packages", "install", "-c", CONSTRAINTS, *named):
        tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-12:])
        stop(
            f"Installing the packages failed. The end of {LOG}:\n\n{tail}\n",
            "Check the network and the disk, then run the same command again: it continues from here.",
            "If there is no torch for this Python version, use one of the versions that pytorch.org lists.",
        )
    mend_opencv()
    STAMP.write_text(wanted)


def fingerprint() -> str:
    """A hash of the files that say what is installed."""
    content = b"\0".join((ROOT / name).read_bytes() for name in (*REQUIREMENTS, CONSTRAINTS))
    return hashlib.sha256(content).hexdigest()


def make_venv() -> None:
    """Makes the environment, or repairs an incomplete one; one that works is left alone."""
    for options in ([], ["--clear"]):
        if pip_works():
            return
        print(f"making the environment {VENV}", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", *options, VENV], capture_output=True, text=True)
    if not pip_works():
        stop(
            f"The environment {VENV} could not be made:\n\n{made.stdout}{made.stderr}",
            "On Debian and Ubuntu: sudo apt install python3-venv. Otherwise check the disk and your permissions.",
        )


def pip_works() -> bool:
    """Whether the environment can install packages."""
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0


def wants_cpu_torch() -> bool:
    """Whether to install torch for CPUs: on Linux without an NVIDIA driver, unless pip has an index of its own."""
    if not sys.platform.startswith("linux") or shutil.which("nvidia-smi"):
        return False
    told = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    there = subprocess.run([PYTHON, "-m", "pip", "show", "torch"], capture_output=True).returncode == 0
    return not there and "index-url" not in told and "find-links" not in told


def mend_opencv() -> None:
    """Installs OpenCV without windows over one that does not load: on a server without libGL, say."""
    if subprocess.run([PYTHON, "-c", "import cv2; cv2.DISOpticalFlow_create"], capture_output=True).returncode:
        options = ("-c", CONSTRAINTS, "--force-reinstall", "--no-deps")
        pip("OpenCV without windows", "install", *options, "opencv-python-headless")


def pip(what: str, *arguments: str) -> int:
    """Runs pip with its output in a log, and a progress line on a terminal; returns its exit status."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments, "--progress-bar", "off"]
    print(f"installing {what}; this takes a few minutes the first time", flush=True)
    started = time.monotonic()
    with LOG.open("w") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT) as process:
        while process.poll() is None:
            time.sleep(0.2)
            if sys.stdout.isatty():
                lines = LOG.read_text(errors="replace").split("\n")
                doing = next((line.strip() for line in reversed(lines) if line.strip()), "")
                print(f"\r{time.monotonic() - started:4.0f} s  {doing:70.70}", end="", flush=True)
    done = "done" if process.returncode == 0 else "failed"
    print("\r" * sys.stdout.isatty() + f"{done} after {time.monotonic() - started:.0f} s".ljust(78), flush=True)
    return process.returncode


def call(command: list) -> int:
    """Runs a command and waits for it to end; Ctrl-C is left to the command, which may have work to save."""
    # See tav_core/__main__.py: beside other programs, a step of the demo took 15 times as long.
    process = subprocess.Popen(command, cwd=ROOT, env={"GOMP_SPINCOUNT": "1000", **os.environ})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def stop(*lines: str) -> None:
    """Ends with a message."""
    sys.exit("\n".join(lines))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues from here")
