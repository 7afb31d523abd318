"""The rules of the architecture, read from the source with ast."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unetfast
from unetfast.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "unetfast"
FILES = sorted(PACKAGE.rglob("*.py"))

# Imports run one way: a module may import from its own layer and from those below it.
LAYERS: list[set[str]] = [
    {"errors", "machine", "registry", "settings"},
    {"spec"},
    {"imaging", "preprocess", "metrics", "skeleton", "inpainting", "models", "losses"},
    {"data", "checkpoint", "weights"},
    {"backends", "export"},
    {"segment", "scaled", "windows", "evaluate", "pipeline"},
    {"train", "bench", "report"},
    {"cli"},
]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}

# Third-party package -> the places that may import it.
IMPORTERS = {
    "click": ("cli",),
    "cv2": ("imaging", "inpainting", "data"),
    "PIL": ("imaging",),
    "simplejpeg": ("imaging",),
    "imagecodecs": ("imaging",),
    "jpeglib": ("imaging",),
    "tifffile": ("imaging",),
    "onnxruntime": ("backends/onnxruntime_.py", "export"),
    "onnx": ("export",),
    "openvino": ("backends/openvino_.py", "export"),
    "tensorrt": ("backends/tensorrt_.py",),
    "numba": ("inpainting/median_numba.py",),
    "unetfast._native": ("inpainting/median_native.py", "imaging/jpeg.py"),
    "matplotlib": ("report",),
    "ray": ("pipeline",),
    "torch": (
        "models",
        "losses",
        "data",
        "checkpoint",
        "train",
        "backends/torch_.py",
        "backends/cuda.py",
        "export",
    ),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in FILES}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, top_level_only: bool = False) -> list[tuple[str, int]]:
    """Return (module, line) of every import that runs, wherever it stands in the file."""
    found = []
    pending: list[ast.AST] = [parsed(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            # `from package import module` imports the module, not only the package
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner in MODULES or node.module == "unetfast"
                found.append((inner if is_module else str(node.module), node.lineno))
        pending.extend(ast.iter_child_nodes(node))
    return found


def where(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def part(path: Path) -> str:
    return where(path).split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=where)
def test_imports_run_downward(path: Path) -> None:
    own = part(path)
    if own in ("__init__", "__main__"):
        return
    assert own in LAYER, f"{where(path)} stands in no layer of the architecture"
    for module, line in imports(path):
        names = module.split(".")
        if names[0] != "unetfast" or len(names) < 2 or names[1] in ("_native", "__version__"):
            continue
        assert names[1] in LAYER, f"{where(path)}:{line} imports {module}, which stands in no layer"
        assert LAYER[names[1]] <= LAYER[own], f"{where(path)}:{line} imports {module} from a layer above"


@pytest.mark.parametrize("path", FILES, ids=where)
def test_each_library_has_its_importers(path: Path) -> None:
    for module, line in imports(path):
        for library, places in IMPORTERS.items():
            if module == library or module.startswith(library + "."):
                allowed = any(where(path) == place or part(path) == place for place in places)
                assert allowed, f"{where(path)}:{line} imports {module}; only {', '.join(places)} may"


def test_no_import_cycles_between_files() -> None:
    graph = {
        module_name(path): [
            module for module, _ in imports(path, top_level_only=True) if module.startswith("unetfast")
        ]
        for path in FILES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module in done or module not in graph:
            return
        for needed in graph[module]:
            if needed != module:
                visit(needed, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=where)
def test_all_names_exist_and_are_public(path: Path) -> None:
    if path.name == "__main__.py" or "_native" in path.name:
        return
    tree = parsed(path)
    assigned = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    has_public = any(
        isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        for node in tree.body
    )
    if not assigned:
        assert not has_public, f"{where(path)} has public names and no __all__"
        return
    names = ast.literal_eval(assigned[0].value)
    assert names == sorted(names, key=lambda n: (not n.isupper(), n)) or names == sorted(names)
    defined = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            defined |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {t.id for t in targets if isinstance(t, ast.Name)}
    assert set(names) <= defined, f"{where(path)}: {set(names) - defined} in __all__ but not defined"


def test_public_surface() -> None:
    for name in unetfast.__all__:
        assert getattr(unetfast, name) is not None
    # The function must stay reachable whatever else was imported before.
    importlib.import_module("unetfast.inpainting")
    assert callable(unetfast.inpaint)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from unetfast.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'cv2', 'onnxruntime', 'rich', 'PIL'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_registry_entry_can_be_imported() -> None:
    from unetfast.backends import BACKENDS
    from unetfast.data.layouts import LAYOUTS
    from unetfast.inpainting import METHODS
    from unetfast.losses import LOSSES
    from unetfast.models import MODELS

    for registry in (BACKENDS, LAYOUTS, METHODS, LOSSES, MODELS):
        for name in registry:
            assert registry[name] is not None


def test_the_tests_that_documents_name_exist() -> None:
    tests = {
        path.name: {
            node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
        }
        for path in (ROOT / "tests").glob("test_*.py")
    }
    for document in (ROOT / "docs").glob("*.md"):
        for line in document.read_text(encoding="utf-8").splitlines():
            file = ""
            for named, test in re.findall(r"`(test_\w+\.py)?(?:::(\w+))?`", line):
                file = named or file
                if test:
                    assert test in tests.get(file, ()), f"{document.name}: {file}::{test}"
                elif named:
                    assert file in tests, f"{document.name}: {file}"


def test_no_path_of_a_machine_in_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    if not any(tracked):
        pytest.skip("not a git checkout")
    forbidden = ["/" + "work/", "/" + "root/", "/" + "home/"]
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".h", ".cpp", ".ipynb", ".json", ".sh", ".pyi"):
            text = path.read_text(encoding="utf-8")
            assert not any(word in text for word in forbidden), f"{name} holds a path of a machine"
