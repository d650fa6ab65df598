"""How many scenarios a minute one core simulates: `python -m bench.sim [--scenarios N]`.

A scenario is 600 virtual seconds of 3 to 9 nodes (a third of them in ZooKeeper mode), all kinds of
looks every 5 s with loss and delay, invariants on. A calibration loop of plain Python runs before
and after, so that figures of different machines, and of a machine that also does other things, can
be compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from kafka_self_healing.simulation.runner import run

TURNS_OF_THE_LOOP = 1_000_000


@dataclass(frozen=True, slots=True)
class Point:
    """What the calibration loop makes and throws away, as the mind does with its facts."""

    a: int
    b: int


def calibrate() -> float:
    """Return the CPU seconds of a fixed loop: small frozen objects, a dict, arithmetic."""
    began = time.process_time()
    known: dict[int, Point] = {}
    total = 0
    for i in range(TURNS_OF_THE_LOOP):
        point = Point(i, i & 255)
        known[point.b] = point
        total += known[point.b].a
    assert total > 0
    return time.process_time() - began


def main() -> int:
    """Print scenarios a minute of CPU beside the calibration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=1000)
    args = parser.parse_args()
    before = calibrate()
    began, turns, broken, acts = time.process_time(), 0, 0, 0
    for seed in range(args.first_seed, args.first_seed + args.scenarios):
        outcome = run(seed)
        turns += outcome.turns
        acts += outcome.metric("acts")
        broken += not outcome.good
    took = time.process_time() - began
    after = calibrate()
    loop = (before + after) / 2
    print(f"scenarios            {args.scenarios}  ({acts} acts, {broken} with a broken invariant)")
    print(f"CPU                  {took:.2f} s  ({took / args.scenarios * 1000:.0f} ms a scenario)")
    print(f"scenarios a minute   {args.scenarios / took * 60:.0f}")
    print(f"turns of the mind    {turns}  ({took / turns * 1e6:.0f} us each, world included)")
    print(f"calibration loop     {before:.3f} s before, {after:.3f} s after")
    print(f"a scenario costs     {took / args.scenarios / loop:.3f} calibration loops")
    return 0


if __name__ == "__main__":
    sys.exit(main())
