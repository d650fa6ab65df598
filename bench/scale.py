"""What it costs to watch 1,000 brokers on one core, beside bare questions: `python -m bench.scale`.

Fake brokers in a process on another core; ours looks every 5 s at the protocol of each node, and
reads the metadata of the cluster (20,000 partitions of three replicas) from two nodes, decoded.
The floor asks the same in bare asyncio and decodes nothing. Both run in turn, each in a process of
its own. Exit code 1: ours takes more than twice the floor's CPU a look, or more than 120 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.scale_brokers import addresses, free_port, raise_file_limit, started
from bench.scale_client import Measured
from bench.scale_metadata import BigCluster

RATIO_LIMIT: Final = 2.0
RSS_LIMIT_MB: Final = 120.0
TOPICS: Final = 1000
PARTITIONS: Final = 20
JUDGED: Final = ("floor", "eyes")
REPORTED: Final = ("daemon", "jmx")


def measured(part: str, cluster: BigCluster, window_s: float) -> Measured:
    """Run one part in a process of its own."""
    options = (
        f"--targets={cluster.brokers}",
        f"--port={cluster.addresses[0][1]}",
        f"--window={window_s}",
    )
    command = [sys.executable, "-c", "from bench.scale_client import main; main()", part, *options]
    done = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    one = Measured(**json.loads(done.stdout.splitlines()[-1]))
    print(line(one), flush=True)
    return one


def line(one: Measured) -> str:
    """Return a line of the table."""
    load = os.getloadavg()[0]
    return (
        f"{one.part:<8} {one.looks / one.seconds:7.1f} {100 * one.cpu_s / one.seconds:8.2f} "
        f"{1e6 * cost_s(one):8.0f} {one.rss_mb:8.1f} {one.bad:5} {load:6.1f}"
    )


def cost_s(one: Measured) -> float:
    """Return the CPU seconds of one look, its part of the metadata included."""
    return one.cpu_s / max(1, one.looks)


def machine() -> str:
    """Say on what this was measured."""
    model = "unknown processor"
    for row in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if row.startswith("model name"):
            model = row.partition(":")[2].strip()
            break
    cores, load = os.cpu_count(), os.getloadavg()[0]
    system = f"Python {platform.python_version()}, Linux {platform.release()}"
    return f"{model}, {cores} cores, load {load:.1f}, {system}"


def judge(results: Iterable[Measured]) -> int:
    """Print the ratio and the memory against their limits; return the exit code."""
    by_part: dict[str, list[Measured]] = {}
    for one in results:
        by_part.setdefault(one.part, []).append(one)
    cost = {part: statistics.median(map(cost_s, ones)) for part, ones in by_part.items()}
    ratio = cost["eyes"] / cost["floor"]
    rss_mb = max(one.rss_mb for one in by_part["eyes"])
    bad = sum(one.bad for one in by_part["eyes"])
    print(f"CPU a look, ours / floor  {ratio:.2f}   (limit {RATIO_LIMIT:g})")
    print(f"memory of ours            {rss_mb:.0f} MB (limit {RSS_LIMIT_MB:g})")
    print(f"looks that failed         {bad}      (limit 0)")
    for part in REPORTED:
        if part in cost:
            print(f"CPU a look, {part} / floor  {cost[part] / cost['floor']:.2f}   (reported)")
    return int(ratio > RATIO_LIMIT or rss_mb > RSS_LIMIT_MB or bad > 0)


def main() -> int:
    """Measure all parts in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=15.0, help="seconds of each measurement")
    parser.add_argument("--judged-only", action="store_true", help="no daemon, no JMX")
    args = parser.parse_args()
    raise_file_limit()
    print(machine())
    print(f"{args.targets} targets, {TOPICS * PARTITIONS} partitions, windows of {args.window:g} s")
    print("part     looks/s  core, %  us/look   rss, MB  bad   load")
    cluster = BigCluster(addresses(args.targets, free_port()), TOPICS, PARTITIONS)
    results = []
    with started(cluster):
        for _ in range(args.rounds):
            results += [measured(part, cluster, args.window) for part in JUDGED]
        if not args.judged_only:
            results.append(measured("daemon", cluster, args.window))
    if not args.judged_only:
        agents = BigCluster(addresses(args.targets, free_port()), 1, 1)
        with started(agents, jmx=True):
            results.append(measured("jmx", agents, args.window))
    return judge(results)


if __name__ == "__main__":
    sys.exit(main())
