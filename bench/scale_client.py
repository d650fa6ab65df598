"""One part of `bench.scale` in a process of its own: it runs, measures its CPU, and prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.scale_brokers import addresses, pin, raise_file_limit
from bench.scale_floor import Floor
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import (
    JMXMonitoringPlugin,
    KafkaMonitoringPlugin,
    MonitoringService,
)
from kafka_self_healing.plugins import MonitoringPlugin

POLICY: Final = Policy()
SETTLE_S: Final = POLICY.interval_s + 5.0
"""Before anything is counted: all connections are made and everything was asked once."""

KAFKA: Final = frozenset({Kind.PROTOCOL, Kind.PEERS})
JMX: Final = frozenset({Kind.JVM})


@dataclass(frozen=True, slots=True)
class Measured:
    """What one part cost. `looks`: answers of the nodes themselves; `bad`: all other outcomes."""

    part: str
    seconds: float
    cpu_s: float
    looks: int
    bad: int
    rss_mb: float


class Heard:
    """Counts results."""

    def __init__(self) -> None:
        self.looks = 0
        self.bad = 0

    def __call__(self, result: CheckResult) -> None:
        """Take one."""
        if result.outcome is not Outcome.ANSWERED:
            self.bad += 1
        elif result.kind in {Kind.PROTOCOL, Kind.JVM}:
            self.looks += 1


def cluster_of(targets: tuple[tuple[str, int], ...], kinds: frozenset[Kind]) -> Cluster:
    """Return the inventory of the fake brokers; with JVM among the kinds, of fake JMX agents."""
    jmx = Kind.JVM in kinds
    nodes = {
        str(id_): NodeConfig(
            str(id_),
            frozenset({Role.BROKER}),
            host=host,
            kafka_port=None if jmx else port,
            jmx_port=port if jmx else None,
            rack=f"rack-{id_ % 3}",
            kinds=kinds,
        )
        for id_, (host, port) in enumerate(targets, start=1)
    }
    return Cluster("scale", nodes=nodes)


async def measure(
    part: str,
    running: Coroutine[Any, Any, None],
    heard: Callable[[], tuple[int, int]],
    window_s: float,
) -> Measured:
    """Let `running` settle, then measure it for `window_s`."""
    task = asyncio.create_task(running)
    await asyncio.wait([task], timeout=SETTLE_S)
    began, cpu, before = time.monotonic(), time.process_time(), heard()
    await asyncio.wait([task], timeout=window_s)
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


async def floor(targets: tuple[tuple[str, int], ...], window_s: float) -> Measured:
    """Ask without any of our code around."""
    one = Floor(targets, POLICY.interval_s)
    return await measure("floor", one.run(), lambda: (one.looks, 0), window_s)


async def eyes(targets: tuple[tuple[str, int], ...], window_s: float) -> Measured:
    """Run MonitoringService with PROTOCOL and PEERS."""
    return await _eyes("eyes", cluster_of(targets, KAFKA), KafkaMonitoringPlugin(), window_s)


async def jmx(targets: tuple[tuple[str, int], ...], window_s: float) -> Measured:
    """Run MonitoringService with JVM."""
    return await _eyes("jmx", cluster_of(targets, JMX), JMXMonitoringPlugin(), window_s)


async def _eyes(part: str, cluster: Cluster, plugin: MonitoringPlugin, window_s: float) -> Measured:
    heard = Heard()
    service = MonitoringService(cluster, POLICY, [plugin], SystemClock(), heard)
    return await measure(part, service.run(), lambda: (heard.looks, heard.bad), window_s)


async def daemon(targets: tuple[tuple[str, int], ...], window_s: float) -> Measured:
    """Run the whole daemon with a configuration of the same kinds: eyes, mind, journal."""
    # Here and not above: the other parts must not have what only the daemon needs in memory.
    from kafka_self_healing.app import daemon_of
    from kafka_self_healing.config import load

    heard = Heard()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scale.yaml"
        nodes: list[dict[str, Any]] = [
            {"id": id_, "roles": ["broker"], "host": host, "kafka_port": port}
            for id_, (host, port) in enumerate(targets, start=1)
        ]
        for voter in nodes[:3]:  # a cluster has some; their quorum is not among the kinds
            voter |= {"roles": ["broker", "controller"], "controller_port": targets[0][1] + 1}
        written = {
            "mode": "observe",
            "state_dir": str(Path(folder) / "state"),
            "cluster": {"name": "scale", "nodes": nodes},
            "checks": {"kinds": [kind.value for kind in sorted(KAFKA)]},
        }
        file.write_text(json.dumps(written), encoding="utf-8")  # JSON is YAML too
        building = daemon_of(load(file, {}), SystemClock(), redact=str, hear=heard)
        async with building as one:
            counted = lambda: (heard.looks, heard.bad)  # noqa: E731
            return await measure("daemon", one.run(), counted, window_s)


Part = Callable[[tuple[tuple[str, int], ...], float], Awaitable[Measured]]
PARTS: Final[dict[str, Part]] = {"floor": floor, "eyes": eyes, "daemon": daemon, "jmx": jmx}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--targets", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--window", type=float, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    pin(0)
    raise_file_limit()
    targets = addresses(args.targets, args.port)

    async def run() -> Measured:
        return await PARTS[args.part](targets, args.window)

    print(json.dumps(asdict(asyncio.run(run()))))
