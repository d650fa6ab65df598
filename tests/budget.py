"""Runs the test suites and prints what each took: `python -m tests.budget`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from kafka_self_healing.clock import boot_seconds

REACH = ("daemon", "demo", "hosts", "monitoring", "recovery", "storage", "wire")
"""Packages whose tests speak with processes, sockets and disks: they wait more than they count."""

SUITES: dict[str, list[str]] = {
    "reach": [f"tests/unit/{name}" for name in REACH],
    "unit": ["tests/unit", "tests/conformance", *(f"--ignore=tests/unit/{name}" for name in REACH)],
    "simulation": ["tests/simulation", "tests/recordings"],
    "clusters": ["tests/integration", "-m", "not heavy"],
    "heavy": ["tests/integration", "-m", "heavy"],
    "lab": ["tests/lab"],
}
"""`clusters`: the plain and the secured one; `heavy`: all others, and what takes minutes."""

BESIDE = {"simulation": "reach", "unit": "reach"}
"""What runs at the same time as what: it leaves a core free, and no clock is of matter to them."""

DEFAULT = ("reach", "unit", "simulation", "clusters")
ALL = (*DEFAULT, "heavy")  # the lab needs root
BUDGET_S = 15 * 60.0
BUDGET_OF_ALL_S = 35 * 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """A suite that was run."""

    name: str
    passed: bool
    seconds: float


def run(name: str, output: IO[bytes] | None) -> Done:
    """Run one suite; its words go to `output`, None: to ours."""
    began = boot_seconds()
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", *SUITES[name]]
    done = subprocess.run(command, check=False, stdout=output, stderr=output)
    return Done(name, done.returncode == 0, boot_seconds() - began)


def run_all(chosen: Sequence[str]) -> Iterator[Done]:
    """Run the suites one after the other, but for those of `BESIDE`, whose words come after.

    What is beside the same suite is run one after the other too.
    """
    with ThreadPoolExecutor(1) as aside:
        for name in chosen:
            if BESIDE.get(name) in chosen:
                continue
            with tempfile.TemporaryFile() as words:
                others = [one for one in chosen if BESIDE.get(one) == name]
                beside = [aside.submit(run, one, words) for one in others]
                yield run(name, None)
                for one in beside:
                    yield one.result()
                words.seek(0)
                print(words.read().decode(errors="replace"), end="", flush=True)


def main(names: list[str]) -> int:
    """Run the named suites (`all`: those without root); return 0 only if all passed."""
    chosen = list(ALL) if names == ["all"] else names or list(DEFAULT)
    began = boot_seconds()
    done = list(run_all(chosen))
    for one in done:
        state = "passed" if one.passed else "FAILED"
        print(f"budget: {one.name:<10} {one.seconds:6.1f} s  {state}")
    limit_s = BUDGET_OF_ALL_S if "heavy" in chosen else BUDGET_S
    print(f"budget: together   {boot_seconds() - began:6.1f} s of {limit_s:.0f} s")
    return 0 if all(one.passed for one in done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
