"""One part of `bench.scale`, in a process of its own: runs, measures its own CPU, prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.scale_brokers import addresses, pin, raise_file_limit
from bench.scale_floor import Floor
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import KafkaMonitoringPlugin, MonitoringService

POLICY = Policy()
SETTLE_S = POLICY.interval_s + 3.0
"""Before anything is counted: all connections are made and everything was asked once."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one part cost. `looks`: answers to the nodes' own question; `bad`: all others."""

    part: str
    seconds: float
    cpu_s: float
    looks: int
    bad: int
    rss_mb: float


def cluster_of(number: int, port: int, kinds: frozenset[Kind]) -> Cluster:
    """Return the inventory of the fake brokers."""
    nodes = {
        str(id_): NodeConfig(
            str(id_),
            frozenset({Role.BROKER}),
            host=host,
            kafka_port=at,
            rack=f"rack-{id_ % 3}",
            kinds=kinds,
        )
        for id_, (host, at) in enumerate(addresses(number, port), start=1)
    }
    return Cluster("scale", nodes=nodes)


class Heard:
    """Counts results."""

    def __init__(self) -> None:
        self.looks = 0
        self.bad = 0

    def __call__(self, result: CheckResult) -> None:
        """Take one."""
        if result.kind is Kind.PROTOCOL:
            self.looks += 1
        if result.outcome is not Outcome.ANSWERED:
            self.bad += 1


async def measure(
    part: str,
    running: Coroutine[Any, Any, None],
    heard: Callable[[], tuple[int, int]],
    window: float,
) -> Measured:
    """Let `running` settle, then measure it for `window` seconds."""
    task = asyncio.create_task(running)
    await asyncio.wait([task], timeout=SETTLE_S)
    began, cpu, before = time.monotonic(), time.process_time(), heard()
    await asyncio.wait([task], timeout=window)
    if task.done():
        task.result()
        raise RuntimeError(f"{part} ended by itself")
    cpu_s, seconds, after = time.process_time() - cpu, time.monotonic() - began, heard()
    rss_mb = rss_bytes() / 1e6
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return Measured(part, seconds, cpu_s, after[0] - before[0], after[1] - before[1], rss_mb)


def rss_bytes() -> int:
    """Return the memory that this process has in use."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


async def floor(args: argparse.Namespace) -> Measured:
    """Ask without any of our code around."""
    one = Floor(addresses(args.targets, args.port), POLICY.interval_s)
    return await measure("floor", one.run(), lambda: (one.looks, 0), args.window)


async def eyes(args: argparse.Namespace) -> Measured:
    """Run MonitoringService with PROTOCOL and PEERS."""
    heard = Heard()
    cluster = cluster_of(args.targets, args.port, frozenset({Kind.PROTOCOL, Kind.PEERS}))
    service = MonitoringService(cluster, POLICY, [KafkaMonitoringPlugin()], SystemClock(), heard)
    return await measure("eyes", service.run(), lambda: (heard.looks, heard.bad), args.window)


PARTS: dict[str, Callable[[argparse.Namespace], Awaitable[Measured]]] = {
    "floor": floor,
    "eyes": eyes,
}


async def _run(args: argparse.Namespace) -> Measured:
    return await PARTS[args.part](args)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--targets", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--window", type=float, required=True)
    parser.add_argument("--profile")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    pin(0)
    raise_file_limit()
    if args.profile:
        import cProfile

        with cProfile.Profile() as profile:
            measured = asyncio.run(_run(args))
        profile.dump_stats(args.profile)
    else:
        measured = asyncio.run(_run(args))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
