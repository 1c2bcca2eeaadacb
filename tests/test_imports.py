"""The rooms of the house: what may import what."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
# From the ground up: a room imports those above it in this list, never those below.
ROOMS = (
    "core",
    "config",
    "tables",
    "imaging",
    "transport",
    "perturbations",
    "datasets",
    "autoencoders",
    "encoders",
    "generators",
    "training",
    "sampling",
    "morphology",
    "evaluation",
    "report",
    "plan",
    "stages",
    "cli",
)


def modules():
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path, known):
    """Modules of ours that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


@pytest.fixture(scope="module")
def graph():
    known = modules()
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


def room(module):
    return module.split(".")[1] if "." in module else ""


def test_arrows_between_rooms_go_one_way(graph):
    assert {room(name) for name in graph} - {"", "_torchvision", "__main__"} == set(ROOMS)
    upward = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if room(name) in ROOMS
        and room(other) in ROOMS
        and ROOMS.index(room(other)) > ROOMS.index(room(name))
    ]
    assert upward == []


def test_no_file_imports_itself_in_a_circle(graph):
    left = {name: set(others) for name, others in graph.items()}
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    assert sorted(left) == []


def test_no_file_is_too_long_to_read():
    long = {
        str(path.relative_to(SOURCE)): lines
        for path in SOURCE.rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}
