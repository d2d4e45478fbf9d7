"""The rules of the house, held by reading the source: who imports whom, no circles, a light door, no pickle."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import solfa

PACKAGE = Path(solfa.__file__).parent
FLOOR_0 = {"files", "parent", "progress", "shipped", "strict_json", "wishes"}  # every room may import these
FLOOR_1 = {"audio", "score", "nn", "checkpoint", "foreign", "eval"}
FLOOR_2 = {"codecs", "lm", "transcription", "data"}
FLOOR_3 = {"tokenize_audio"}
# room -> the rooms that it may import, beside itself
ROOMS: dict[str, set[str]] = {
    "files": set(),
    "parent": set(),
    "progress": set(),
    "shipped": set(),
    "strict_json": set(),
    "wishes": set(),
    "audio": set(),
    "score": set(),
    "nn": set(),
    "checkpoint": set(),
    "foreign": {"checkpoint"},
    "eval": {"score", "audio", "foreign"},  # foreign: encoders whose vectors are compared
    "codecs": {"nn", "checkpoint", "foreign", "audio"},
    "lm": {"nn", "checkpoint", "foreign", "audio"},  # audio: a melody or a sound as a condition
    "transcription": {"nn", "checkpoint", "score"},
    "data": {"audio", "score"},
    # eval: what codes cost in quality; score: notes beside codes
    "tokenize_audio": {"codecs", "data", "audio", "eval", "score"},
    "train": FLOOR_1 | FLOOR_2 | FLOOR_3,
    "music": FLOOR_1 | FLOOR_2 | FLOOR_3,
    "transcriber": FLOOR_1 | FLOOR_2 | FLOOR_3,
    "recipes": FLOOR_1 | FLOOR_2 | FLOOR_3 | {"train"},
    "cli": FLOOR_1 | FLOOR_2 | FLOOR_3 | {"train", "music", "transcriber", "studio"},
    "studio": FLOOR_1 | FLOOR_2 | FLOOR_3 | {"train", "music", "transcriber"},
    "__main__": {"cli"},
}
MAX_LINES = 400
PICKLES = ("pickle", "dill", "cloudpickle", "marshal", "shelve")
RISKY_CALLS = ("eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load")


def modules(package: Path) -> dict[str, Path]:
    """Dotted name -> file, for every module below a package folder."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ours that a file imports anywhere: at its top, in a function, for types only."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names if base.split(".")[0] == PACKAGE.name else []:
                lazy = solfa._HOMES.get(alias.name) if base == PACKAGE.name else None
                yield lazy or (f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base)


def room(module: str) -> str:
    """solfa.codecs.rvq -> codecs; the package itself has no room."""
    return module.split(".")[1] if "." in module else ""


def trespasses(package: Path) -> list[str]:
    """Every import that the table does not allow."""
    known = modules(package)
    wrong = []
    for name, path in known.items():
        here = room(name)
        if not here:
            continue  # solfa/__init__.py names what every room offers, lazily
        for target in imports(name, path, known):
            there = room(target)
            allowed = ROOMS.get(here, set()) | (FLOOR_0 if here not in FLOOR_0 else set())
            if there not in ("", here) and there not in allowed:
                wrong.append(f"{name} imports {target}")
    return wrong


def circles(package: Path) -> list[str]:
    """Every circle of modules, as the path along it. solfa/__init__.py is left out: it imports nothing by itself."""
    known = modules(package)
    graph = {name: set(imports(name, path, known)) & known.keys() for name, path in known.items() if "." in name}
    done: set[str] = set()
    found = []

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            found.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, [*trail, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


def top_imports(path: Path) -> Iterator[str]:
    """What importing a file imports: not what stands in functions or under TYPE_CHECKING."""
    waiting: list[ast.AST] = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def executes(path: Path) -> Iterator[str]:
    """Calls and imports by which a file of data could run code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in names if name.split(".")[0] in PICKLES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            data_only = called == "torch.load" and any(
                keyword.arg == "weights_only" and ast.unparse(keyword.value) == "True" for keyword in node.keywords
            )
            unpickles = [k for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
            if unpickles or (called in RISKY_CALLS and not data_only):
                yield f"line {node.lineno}: {called}"


def test_every_module_has_a_room() -> None:
    strangers = [name for name in modules(PACKAGE) if room(name) and room(name) not in ROOMS]
    assert not strangers


def test_imports_only_run_down() -> None:
    assert trespasses(PACKAGE) == []


def test_no_circles() -> None:
    assert circles(PACKAGE) == []


def test_the_shell_is_light() -> None:
    allowed = {*sys.stdlib_module_names, "cyclopts"}
    heavy = []
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        for name in top_imports(path):
            ours = name in ("solfa", "solfa.progress") or name.startswith("solfa.cli")
            if name.split(".")[0] not in allowed and not ours:
                heavy.append(f"{path.name} imports {name}")
    assert heavy == []


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules(PACKAGE).items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_nothing_executes_data() -> None:
    assert {name: found for name, path in modules(PACKAGE).items() if (found := list(executes(path)))} == {}


@pytest.mark.parametrize("line", ["import solfa", "from solfa.cli.app import run; assert run(['--help']) == 0"])
def test_no_torch_at_the_door(line: str) -> None:
    heavy = "{'torch', 'numpy', 'transformers', 'soundfile'} & set(sys.modules)"
    code = f"import sys; {line}; found = {heavy}; assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, cwd=PACKAGE.parent)


def test_lazy_names() -> None:
    assert set(solfa._HOMES) <= set(dir(solfa))
    for name, home in solfa._HOMES.items():
        assert getattr(solfa, name) is getattr(sys.modules[home], name)
    with pytest.raises(AttributeError, match="no_such_name"):
        solfa.no_such_name  # noqa: B018


def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    package = tmp_path / "solfa"
    files = {
        "__init__.py": "",
        "audio/__init__.py": "",
        "audio/io.py": "def f():\n    from solfa.codecs import vq\n",
        "audio/deep.py": "from .io import f\nfrom solfa import load_codec\n",
        "codecs/__init__.py": "",
        "codecs/vq.py": "import solfa.codecs.rvq\nfrom solfa.audio.io import f\n",
        "codecs/rvq.py": "from ..codecs import vq\nfrom ..data import x\n",
        "codecs/unsafe.py": "import pickle\ntorch.load(p)\nf(p, allow_pickle=True)\nf(p, allow_pickle=False)\n"
        "torch.load(p, weights_only=True)\ntorch.load(p, weights_only=trust)\ntorch.load(p, weights_only=False)\n",
        "data.py": "from solfa.files import flush\n",
        "files.py": "import solfa.shipped\n",
        "shipped.py": "",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert sorted(trespasses(package)) == [
        "solfa.audio.deep imports solfa.codecs.registry",
        "solfa.audio.io imports solfa.codecs.vq",
        "solfa.codecs.rvq imports solfa.data",
        "solfa.files imports solfa.shipped",
    ]
    assert "solfa.codecs.vq -> solfa.codecs.rvq -> solfa.codecs.vq" in circles(package)
    assert len(list(executes(package / "codecs/unsafe.py"))) == 5
    light = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch\n"
    (package / "light.py").write_text(light)
    assert list(top_imports(package / "light.py")) == ["typing"]
    (package / "heavy.py").write_text(light + "try:\n    import numpy\nexcept ImportError:\n    pass\n")
    assert list(top_imports(package / "heavy.py")) == ["numpy", "typing"]


def test_the_wheel_holds_the_whole_package() -> None:
    """What lies in the package's folder is in a package (a folder with `__init__.py`) or named in pyproject.toml."""
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    named = {path for pattern in settings["package-data"]["solfa"] for path in PACKAGE.glob(pattern)}
    here = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    code = {path for path in here if path.suffix == ".py" and (path.parent / "__init__.py").is_file()}
    assert [path for path in here if path not in named | code] == []
