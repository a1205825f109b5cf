"""Benchmarks, which nothing runs daily: that what they take from each other is there."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
BENCHMARKS = sorted(FOLDER.glob("*.py"))
NAMES = {path.stem for path in BENCHMARKS}


def _defined(path):
    """The names that a module has at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _taken(path):
    """What a benchmark imports from others: module and name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] in NAMES:
            module = (node.module or "").removeprefix("benchmarks.")
            if module in NAMES:
                yield from ((module, alias.name) for alias in node.names)


def test_some_benchmarks_take_something_from_others():
    assert any(list(_taken(path)) for path in BENCHMARKS)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_another_is_there(path):
    lacking = [
        f"{module}.{name}"
        for module, name in _taken(path)
        if name not in _defined(FOLDER / f"{module}.py")
    ]
    assert lacking == []
