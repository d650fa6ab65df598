"""Runs the test suites one after another and prints what each took: `python -m tests.budget`."""

from __future__ import annotations

import subprocess
import sys

from kafka_self_healing.clock import boot_seconds

SUITES: dict[str, list[str]] = {
    "unit": ["tests/unit", "tests/conformance"],
    "simulation": ["tests/simulation", "tests/recordings"],
    "clusters": ["tests/integration", "-m", "not heavy"],
    "heavy": ["tests/integration", "-m", "heavy"],
    "lab": ["tests/lab"],
}
"""`clusters`: the plain and the secured one; `heavy`: all others, and what takes minutes."""

DEFAULT = ("unit", "simulation", "clusters")
ALL = (*DEFAULT, "heavy")  # the lab needs root
BUDGET_S = 15 * 60.0
BUDGET_OF_ALL_S = 35 * 60.0


def main(names: list[str]) -> int:
    """Run the named suites (`all`: those without root); return 0 only if all passed."""
    chosen = list(ALL) if names == ["all"] else names or list(DEFAULT)
    spent: dict[str, float] = {}
    failed: list[str] = []
    for name in chosen:
        began = boot_seconds()
        command = [sys.executable, "-m", "pytest", "-q", "--durations=5", *SUITES[name]]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        spent[name] = boot_seconds() - began
    for name, seconds in spent.items():
        state = "FAILED" if name in failed else "passed"
        print(f"budget: {name:<10} {seconds:6.1f} s  {state}")
    limit_s = BUDGET_OF_ALL_S if "heavy" in chosen else BUDGET_S
    print(f"budget: together   {sum(spent.values()):6.1f} s of {limit_s:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
