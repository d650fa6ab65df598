"""The house keeps its order: borders, sizes, names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "kafka_self_healing"
FILES = sorted(SOURCE.rglob("*.py"))

BORDERS = {
    "cli/run.py": "the top of the daemon",
    "monitoring/border.py": "around a plugin call",
    "monitoring/service.py": "around a plugin call",
    "notification/delivery_queue.py": "a plugin's bug",
    "recovery/engine.py": "around a plugin call",
}
"""The files with a broad `except Exception`, each at one of the three borders."""

LONGEST_FILE = 410
LONGEST_FUNCTION = 62
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "misc"}


def _broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    broad = isinstance(handler.type, ast.Name) and handler.type.id in {
        "Exception",
        "BaseException",
    }
    raises = any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
    return broad and not raises


def test_broad_excepts_stand_only_at_the_marked_borders() -> None:
    """Nothing else swallows what it cannot name."""
    found = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and _broad(node):
                lines = text.splitlines()[node.lineno - 1 : node.lineno + 4]
                name = path.relative_to(SOURCE).as_posix()
                found[name] = any(
                    "border:" in line and BORDERS.get(name, "?") in line for line in lines
                )
    assert found == dict.fromkeys(BORDERS, True)


def is_table(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is one `match` that answers every value of an enum: a table, proven by mypy."""
    return len(function.body) == 2 and isinstance(function.body[1], ast.Match)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    """A ratchet: what is large is split, not stretched."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_table(node):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


def test_no_module_is_a_drawer() -> None:
    """Every file has a purpose that its name says."""
    assert {path.stem for path in FILES} & FORBIDDEN_NAMES == set()


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.read_text(encoding="utf-8").strip()],
    ids=lambda path: path.relative_to(SOURCE).as_posix(),
)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """Each module begins with a sentence of purpose."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
