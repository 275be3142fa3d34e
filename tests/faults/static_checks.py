"""What the code that runs on users' machines must not hold, found in its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.project_files import ROOT, imports_of, module_name, python_files

NETWORK = {
    "urllib", "urllib3", "requests", "socket", "ssl", "http", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib",
    "websockets", "websocket", "xmlrpc", "socketserver", "huggingface_hub", "fsspec", "wget", "gdown",
}  # fmt: skip
CODE = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "code",
    "codeop",
    "pty",
    "ctypes",
    "runpy",
}
SHELL = {"subprocess", "multiprocessing", "pexpect", "pty", "sh"}
RUN_TEXT = {"eval", "exec", "compile", "__import__", "execfile", "globals", "breakpoint"}
SHELL_CALLS = {
    "system",
    "popen",
    "spawnl",
    "spawnv",
    "spawnlp",
    "spawnvp",
    "execl",
    "execv",
    "execlp",
    "execvp",
    "startfile",
}
DOWNLOADS = {"hf_hub_download", "snapshot_download", "load_state_dict_from_url", "download_url_to_file", "load_url"}
REMOTE = {"trust_remote_code", "use_auth_token", "token"}

# What a rule would find, and why it may stay: (rule, file, what).
ALLOWED = {
    ("code", "tav_core/checkpoints/weight_files.py", "pickle.UnpicklingError"): "the error's name alone",
    ("code", "tav_core/cli/signals.py", "ctypes"): "on Windows, to hear that the console is closed",
    ("shell", "run.py", "subprocess"): "it makes the environment and starts Python in it; lists of words, no shell",
    ("shell", "scripts/start_comfyui.py", "subprocess"): "it starts ComfyUI",
    ("import by name", "tav_core/lazy_names.py", "import_module"): "modules of the package, by names that stand there",
    (
        "shell",
        "tav_core/batch/executors/processes.py",
        "subprocess",
    ): "it starts this library in Python, a list of words",
    (
        "network",
        "tav_core/batch/page.py",
        "urllib.parse.quote",
    ): "it writes the name of a file in a link, and calls nobody",
    ("network", "tav_core/study/server.py", "http.server"): "it listens on this machine, for the study's own page",
    ("network", "nodes/video/range_route.py", "aiohttp.web"): "it answers ComfyUI's own page, and calls nobody",
    ("hub", "tav_core/checkpoints/transformers_folder.py", "from_pretrained"): "local_files_only is among **given",
    ("format", "tav_core/checkpoints/load.py", "format"): "the texts stand in the code",
}
# Where a path is made of a name that is not written in the code: each checks it, or takes it from a listing.
PATH_MAKERS = {
    "nodes/sockets/folders.py": {"register_folders", "motion_path", "run_path", "look_path", "batch_path"},
    "nodes/batch/load_clips.py": {"find_folder", "list_folders"},
    "nodes/video/report.py": {"report_path"},
    "nodes/tuning/motion_files.py": {"find_source"},
}
GIVEN_FOLDERS = {
    "get_output_directory",
    "get_input_directory",
    "get_temp_directory",
    "get_annotated_filepath",
    "get_full_path",
}
PATH_WORDS = ("path", "folder", "root", "base", "here", "model", "director")
FOLDER_USERS = {
    "nodes/sockets/folders.py",
    "nodes/video/report.py",
    "nodes/video/load_clip.py",
    "nodes/sockets/judges.py",
    "nodes/batch/load_clips.py",
    "nodes/batch/edit_clips.py",
}


def shipped() -> list[Path]:
    """What runs when the pack is used: not the tests, the benchmarks or the scripts that made the demo model."""
    files = [ROOT / "__init__.py", ROOT / "run.py", ROOT / "scripts" / "start_comfyui.py"]
    files += [*python_files("tav_core"), *python_files("nodes")]
    return sorted(files + run_time_demo())


def run_time_demo() -> list[Path]:
    """The demo's modules that `run.py demo` and `run.py cascade` import, by way of each other."""
    files = {module_name(path): path for path in python_files("demo")}
    found, left = set(), {"demo", "demo.showcase", "demo.show_cascade"}
    while left:
        found |= left
        left = {i.target for name in left for i in imports_of(name, files[name], set(files))} - found
    return [files[name] for name in found]


def findings(text: str, file: str) -> Iterator[tuple[str, str, int]]:
    """Rule, what was found, and the line, for everything in a file that is not allowed there."""
    for node in ast.walk(ast.parse(text)):
        for rule, what in (*imported(node), *called(node)):
            if (rule, file, what) not in ALLOWED:
                yield rule, what, node.lineno
    if file.startswith("nodes/"):
        yield from paths(text, file)


def imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    for name in names:
        top = name.split(".")[0]
        for rule, forbidden in (("network", NETWORK), ("code", CODE), ("shell", SHELL)):
            if top in forbidden:
                yield rule, name
        if name.split(".")[-1] in DOWNLOADS:
            yield "hub", name


def called(node: ast.AST) -> Iterator[tuple[str, str]]:
    if not isinstance(node, ast.Call):
        return
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if not owner and name in RUN_TEXT:
        yield "text as code", name
    if name == "load" and owner in ("torch", "torch.serialization") and said.get("weights_only") != "True":
        yield "pickle", f"{owner}.load"
    if name == "load" and owner in ("np", "numpy") and said.get("allow_pickle", "False") != "False":
        yield "pickle", "numpy.load"
    if (owner == "os" and name in SHELL_CALLS) or said.get("shell", "False") != "False":
        yield "shell", name
    if name == "from_pretrained" and said.get("local_files_only") != "True":
        yield "hub", name
    if name in DOWNLOADS or REMOTE & said.keys():
        yield "hub", name
    if name == "import_module" and not isinstance(node.args[0], ast.Constant):
        yield "import by name", name
    if name in ("format", "format_map") and owner and not isinstance(node.func.value, ast.Constant):
        yield "format", name
    if name == "mktemp" or (name == "load" and owner == "yaml"):
        yield "unsafe call", name


def paths(text: str, file: str) -> Iterator[tuple[str, str, int]]:
    """In nodes: paths made of names, and folders asked for, where no function checks the name."""
    for function, node in with_function(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in GIVEN_FOLDERS and file not in FOLDER_USERS:
            yield "folder", node.attr, node.lineno
        if joins(node) and function not in PATH_MAKERS.get(file, set()):
            yield "path", function, node.lineno


def joins(node: ast.AST) -> bool:
    """Whether a `/` joins a path and something that is not written in the code as a text."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)) or isinstance(node.right, ast.Constant):
        return False
    return any(word in ast.unparse(node.left).lower() for word in PATH_WORDS)


def with_function(tree: ast.AST, name: str = "<module>") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the function that it stands in."""
    for node in ast.iter_child_nodes(tree):
        yield name, node
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else name
        yield from with_function(node, inner)
