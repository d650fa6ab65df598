"""Whether one hung node of 50 delays the verdicts on the others: `python -m bench.hung`.

Fake brokers, of which one has a process of its own. Windows in which that process is stopped
(SIGSTOP) alternate with windows in which it runs; the eyes go on all the time. The latency of a
verdict is the time from the beginning of a look until its result is heard. Exit code 1: with the
hung node the median is over 1.1 times that without, or the 95th percentile over 1.5 times, or a
healthy node had to wait longer than interval + 0.5 s from one verdict to the next.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bench.scale import machine
from bench.scale_brokers import addresses, free_port, pin, started
from bench.scale_client import cluster_of
from bench.scale_metadata import BigCluster
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import (
    KafkaMonitoringPlugin,
    MonitoringService,
    SocketMonitoringPlugin,
)

TARGETS: Final = 50
HUNG: Final = str(TARGETS)
MEDIAN_LIMIT: Final = 1.1
P95_LIMIT: Final = 1.5
LATE_S: Final = 0.5
SETTLE_S: Final = 8.0
"""After a change: a hung node is known as such, or a woken one answers again."""

KINDS: Final = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.PEERS})
POLICY: Final = Policy()


@dataclass(slots=True)
class Verdicts:
    """What was heard of healthy nodes: latencies by window, and the longest waits."""

    clock: SystemClock
    window: str = ""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    longest_s: dict[str, float] = field(default_factory=dict)
    bad: int = 0
    silent: int = 0
    _last: dict[tuple[str, Kind], float] = field(default_factory=dict)

    def hear(self, result: CheckResult) -> None:
        """Take one."""
        if result.kind is Kind.PEERS:
            return
        if result.subject == HUNG:
            self.silent += result.outcome is Outcome.TIMED_OUT
            return
        now, key = self.clock.now().mono_s, (result.subject, result.kind)
        self.bad += result.outcome is not Outcome.ANSWERED
        before = self._last.get(key)
        self._last[key] = now
        if not self.window:
            return
        self.latencies.setdefault(self.window, []).append(now - result.started)
        if before is not None:
            waited = max(self.longest_s.get(self.window, 0.0), now - before)
            self.longest_s[self.window] = waited


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; milliseconds and seconds."""

    name: str
    verdicts: int
    median_ms: float
    p95_ms: float
    longest_s: float

    @classmethod
    def of(cls, name: str, latencies: list[float], longest_s: float) -> Row:
        """Return the figures of one kind of window."""
        p95 = statistics.quantiles(latencies, n=20)[-1]
        median = statistics.median(latencies)
        return cls(name, len(latencies), median * 1e3, p95 * 1e3, longest_s)

    def __str__(self) -> str:
        return (
            f"{self.name:<9} {self.verdicts:8} {self.median_ms:10.2f} {self.p95_ms:8.2f} "
            f"{self.longest_s:20.2f}"
        )


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process hang inside the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def watch(cluster: BigCluster, pid: int, rounds: int, window_s: float) -> Verdicts:
    """Look at all targets, with and without the hang, in turn."""
    verdicts = Verdicts(SystemClock())
    service = MonitoringService(
        cluster_of(cluster.addresses, KINDS),
        POLICY,
        [SocketMonitoringPlugin(), KafkaMonitoringPlugin()],
        verdicts.clock,
        verdicts.hear,
    )

    async def observe(window: str) -> None:
        await asyncio.sleep(SETTLE_S)
        verdicts.window = window
        await asyncio.sleep(window_s)
        verdicts.window = ""

    running = asyncio.create_task(service.run())
    try:
        for number in range(rounds):
            await observe("without")
            with stopped(pid):
                await observe("with")
            print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return verdicts


def judge(rows: Mapping[str, Row], verdicts: Verdicts) -> int:
    """Print the ratios against their limits; return the exit code."""
    hung, well = rows["with"], rows["without"]
    median, p95 = hung.median_ms / well.median_ms, hung.p95_ms / well.p95_ms
    longest_s = max(hung.longest_s, well.longest_s)
    late_s = POLICY.interval_s + LATE_S
    print(f"median, with / without      {median:.2f} (limit {MEDIAN_LIMIT:g})")
    print(f"95th percentile             {p95:.2f} (limit {P95_LIMIT:g})")
    print(f"longest wait for a verdict  {longest_s:.2f} s (limit {late_s:g} s)")
    print(f"failed looks, healthy nodes {verdicts.bad} (limit 0); the hung one: {verdicts.silent}")
    good = median <= MEDIAN_LIMIT and p95 <= P95_LIMIT and longest_s <= late_s
    return 0 if good and not verdicts.bad and verdicts.silent else 1


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--window", type=float, default=20.0, help="seconds of each window")
    args = parser.parse_args()
    pin(0)
    print(machine())
    print(f"{TARGETS} targets, {args.rounds} times {args.window:g} s with and without a hung one")
    cluster = BigCluster(addresses(TARGETS, free_port()), 50, 20)
    with (
        started(cluster, number=TARGETS - 1),
        started(cluster, first=TARGETS - 1, number=1) as pid,
    ):
        verdicts = asyncio.run(watch(cluster, pid, args.rounds, args.window))
    print("window    verdicts  median, ms  p95, ms  longest wait (s)")
    rows = {
        name: Row.of(name, verdicts.latencies[name], verdicts.longest_s[name])
        for name in ("without", "with")
    }
    for row in rows.values():
        print(row)
    return judge(rows, verdicts)


if __name__ == "__main__":
    sys.exit(main())
