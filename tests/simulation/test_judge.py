"""Whoever says that something is broken knows the world and the journal, never the mind."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIMULATION = ROOT / "src" / "kafka_self_healing" / "simulation"
SAYING_SO = ("Violation(", "._broken", "._blame", "harmful +=")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)


def _judged_by() -> set[str]:
    """Return the modules that the import contracts keep from the mind."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {
        module
        for contract in contracts["contracts"]
        if contract["type"] == "forbidden"
        and "kafka_self_healing.healing" in contract["forbidden_modules"]
        for module in contract["source_modules"]
    }


def test_every_judge_is_kept_from_the_mind() -> None:
    """Proves that no file that judges is forgotten in the import contracts."""
    judges = {
        _module(path)
        for path in SIMULATION.rglob("*.py")
        if any(words in path.read_text(encoding="utf-8") for words in SAYING_SO)
    }
    assert {"kafka_self_healing.simulation.invariants"} < judges
    runners = {
        "kafka_self_healing.simulation.runner",
        "kafka_self_healing.simulation.tier_b.runner",
    }
    assert judges - _judged_by() - runners == set()


def test_no_judge_reads_the_memory_of_the_mind() -> None:
    """Proves that of the mind's memory a judge asks its size and its fold, and nothing else."""
    tree = ast.parse((SIMULATION / "invariants.py").read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "memory"
    }
    assert read == set()
