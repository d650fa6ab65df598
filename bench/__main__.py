"""Lists the benchmarks and runs the quick ones: `python -m bench [--list]`.

A benchmark is a file of this folder that can be run; its first sentence says what it measures.
Exit code 1: one of those that ran failed.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kafka_self_healing.clock import boot_seconds

QUICK: Final[Mapping[str, tuple[str, ...]]] = {
    "journal": (),
    "mutants": (),
    "sim": (),
    "fuzz_jmx": ("5",),
    "fuzz_kafka": ("5",),
}
"""Those that end within a minute or so, and their arguments for a first look."""

_RUNNABLE: Final = 'if __name__ == "__main__":'


def benchmarks(folder: Path) -> dict[str, str]:
    """Return every benchmark of a folder by name, with its first sentence."""
    found = {}
    for file in sorted(folder.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if file.stem.startswith("__") or _RUNNABLE not in text:
            continue
        words = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
        found[file.stem] = words.partition(": `python")[0].partition(". ")[0].rstrip(".")
    return found


def main() -> int:
    """List all, run the quick ones one after the other, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="run none")
    only_list = parser.parse_args().list
    found = benchmarks(Path(__file__).parent)
    quick = [name for name in found if name in QUICK]
    width = max(len(name) for name in found)
    for name, sentence in found.items():
        print(f"  python -m bench.{name:<{width}}  {sentence}{' *' if name in quick else ''}")
    print("  (* quick: run by `python -m bench`; the others: bench/README.md)", flush=True)
    return 0 if only_list else _run(quick)


def _run(names: list[str]) -> int:
    failed = []
    for name in names:
        command = [sys.executable, "-m", f"bench.{name}", *QUICK[name]]
        print(f"\n== {' '.join(command[1:])}", flush=True)
        began = boot_seconds()
        if subprocess.run(command, check=False, cwd=Path(__file__).parents[1]).returncode:
            failed.append(name)
        print(f"== {boot_seconds() - began:.1f} s", flush=True)
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
