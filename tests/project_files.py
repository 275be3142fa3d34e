"""The project's own Python files, and which of them imports which. Read as text: nothing of the project is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
# Each folder with the fewest files that it can hold: a test that looks at fewer has gone blind.
AT_LEAST = {"tav_core": 79, "nodes": 35, "demo": 35, "benchmarks": 18, "scripts": 9, "tests": 130}
SINGLE_FILES = ("__init__.py", "run.py")
# As which scripts inside ComfyUI import the pack.
PACK_NAME = "tune_a_video_pack"


class Import(NamedTuple):
    """One module of the project that another one imports.

    Args:
        source, target: dotted names from the project's root.
        kind: "import" at the top of the file, "late" inside a function, "typing" for type checkers alone.
        line: where it stands in the source.
    """

    source: str
    target: str
    kind: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target} ({self.kind})"


def python_files(folder: str) -> list[Path]:
    """All Python files below one of the project's folders.

    Raises:
        AssertionError: there are fewer than there must be.
    """
    found = sorted(path for path in (ROOT / folder).rglob("*.py") if "out" not in path.relative_to(ROOT).parts)
    assert len(found) >= AT_LEAST[folder], f"{folder}: only {len(found)} files seen"
    return found


def all_files() -> list[Path]:
    """All Python files of the project."""
    return [ROOT / name for name in SINGLE_FILES] + [path for folder in AT_LEAST for path in python_files(folder)]


def module_name(path: Path) -> str:
    """A file's dotted name from the project's root: `tav_core.video.clip`; a package has its folder's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def package_of(name: str, path: Path) -> str:
    """The package that a module's relative imports start from."""
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def imported_packages(path: Path, kinds: frozenset[str] = frozenset({"import", "late", "typing"})) -> set[str]:
    """The packages that a file imports by their full names, in imports of these kinds, see `Import`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node, kind in import_statements(tree) if kind in kinds]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in names}


def import_graph() -> list[Import]:
    """Every import of one of the project's modules by another."""
    files = {module_name(path): path for path in all_files()}
    return [found for name, path in files.items() for found in imports_of(name, path, set(files))]


def imports_of(name: str, path: Path, known: set[str]) -> Iterator[Import]:
    """What a file imports of the modules in `known`."""
    package = package_of(name, path)
    for node, kind in import_statements(ast.parse(path.read_text(encoding="utf-8"))):
        for target in targets(node, package):
            owner = nearest(target, package, known)
            if owner and owner != name:
                yield Import(name, owner, kind, node.lineno)


def import_statements(tree: ast.AST, kind: str = "import") -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Import statements with their kind, see `Import`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, kind
            continue
        inner = kind
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = "late"
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inner = "typing"
        yield from import_statements(node, inner)


def targets(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """The dotted names that a statement asks for: modules, or names in modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    parts = package.split(".") if package and node.level else []
    above = parts[: len(parts) - (node.level - 1)] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def nearest(target: str, package: str, known: set[str]) -> str:
    """The module that a dotted name means: itself, the module that holds it, or a neighbour of a script; "" if none."""
    target = target.removeprefix(f"{PACK_NAME}.")
    for candidate in (target, target.rpartition(".")[0]):
        for name in (candidate, f"{package}.{candidate}" if package == "scripts" else candidate):
            if name in known and name != "__init__":
                return name
    return ""


def lost_imports() -> list[str]:
    """Imports of the project that lead nowhere: no such module, and no such name in the package."""
    files = {module_name(path): path for path in all_files()}
    lost = []
    for name, path in files.items():
        package = package_of(name, path)
        for node, _ in import_statements(ast.parse(path.read_text(encoding="utf-8"))):
            for target in targets(node, package):
                owner, last = nearest(target, package, set(files)), target.rpartition(".")[2]
                ours = owner or target.removeprefix(f"{PACK_NAME}.").split(".")[0] in AT_LEAST
                # `nodes` is also a module of ComfyUI's.
                ours = ours and (owner or not target.startswith("nodes"))
                if ours and not (owner and (owner.endswith(last) or offers(files[owner], last))):
                    lost.append(f"{name}:{node.lineno} {target}")
    return lost


def offers(path: Path, name: str) -> bool:
    """Whether a module has a name, as far as its text tells: a package has what it defines or lists in quotes."""
    text = path.read_text(encoding="utf-8")
    return path.name != "__init__.py" or bool(
        re.search(rf"""["']{name}["']|^(def|class) {name}|^{name}\b""", text, re.M)
    )


def circles(edges: set[tuple[str, str]]) -> list[set[str]]:
    """The groups of modules that reach each other and themselves, from `(source, target)` pairs (Tarjan, 1972)."""
    after: dict[str, list[str]] = {}
    for source, target in sorted(edges):
        after.setdefault(source, []).append(target)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in after.get(name, ()):
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            group = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            if len(group) > 1 or name in after.get(name, ()):
                found.append(group)

    for name in after:
        if name not in order:
            visit(name)
    return found
