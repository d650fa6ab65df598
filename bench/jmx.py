"""CPU time that reading JMX costs our client and others, at one real broker: `python -m bench.jmx`.

Beside ours: Java's own client in a JVM of its own, fresh and after long practice; the same inside
Python (JPype); and JMXQuery, which starts Java for each query. The two libraries are installed from
PyPI into a temporary environment; without it, or without a javac, their rows say so.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.java import find_java
from kafka_self_healing.demo.layout import ClusterSettings
from kafka_self_healing.demo.progress import PlainProgress
from kafka_self_healing.model.node import ClusterMode, NodeConfig, Role
from kafka_self_healing.monitoring.checks.jmx import _requests
from kafka_self_healing.wire.jmx import JmxClient

HERE: Final = Path(__file__).parent
UP_LIMIT_S: Final = 90.0
RUN_LIMIT_S: Final = 300.0
PACKAGES: Final = ("jpype1==1.7.1", "jmxquery==0.6.0")
RAFT: Final = "kafka.server:type=raft-metrics"
TEN: Final = (
    *("current-state", "current-leader", "current-epoch", "current-vote", "high-watermark"),
    *("log-end-offset", "log-end-epoch", "commit-latency-avg", "append-records-rate"),
    "poll-idle-ratio-avg",
)
COMBINED: Final = NodeConfig("1", frozenset({Role.BROKER, Role.CONTROLLER}))
LOOK: Final[Mapping[str, Sequence[str]]] = dict(_requests(COMBINED, ClusterMode.KRAFT))
"""What the JMX check asks of a combined node."""

Requests = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Work:
    """Something to read, and how often in measuring it: by the practised, and by JMXQuery."""

    title: str
    requests: Requests
    reads: int
    few: int = 3

    def lines(self) -> str:
        """Return it as the programs want it."""
        return "".join(f"{name}\t{','.join(names)}\n" for name, names in self.requests.items())


@dataclass(frozen=True, slots=True)
class Cost:
    """One read: CPU and wall-clock time in microseconds, and how many values came."""

    cpu_us: float
    wall_us: float
    values: int


Reader = Callable[[Work], Cost | str]
"""Measures a reader at some work, or says why not."""


def ours(port: int) -> Reader:
    """Return the reader that is this project's client, after as many reads as are measured."""

    async def measure(work: Work) -> Cost:
        client = JmxClient("127.0.0.1", port, timeout_s=RUN_LIMIT_S)
        requests = list(work.requests.items())
        for _ in range(work.reads):
            await client.read(requests)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for _ in range(work.reads):
            answers = await client.read(requests)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        await client.close()
        values = sum(len(answer) for answer in answers if isinstance(answer, dict))
        return Cost(cpu_s * 1e6 / work.reads, wall_s * 1e6 / work.reads, values)

    return lambda work: asyncio.run(measure(work))


def program(*command: str | Path, warm: int | None, few: bool = False) -> Reader:
    """Return the reader that is a program with the arguments WARM and READS at its end."""

    def measure(work: Work) -> Cost | str:
        reads = work.few if few else work.reads
        numbers = (str(reads if warm is None else warm), str(reads))
        done = subprocess.run(
            [*command, *numbers],
            input=work.lines(),
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_LIMIT_S,
        )
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["failed"])[-1][:60]
        cpu_us, wall_us, values = done.stdout.split()
        return Cost(float(cpu_us), float(wall_us), int(values))

    return measure


def missing(why: str) -> Reader:
    """Return a reader that is not there."""
    return lambda _: why


def readers(port: int, folder: Path) -> dict[str, Reader]:
    """Return all that can be measured here."""
    found = {"ours": ours(port)}
    javac = shutil.which("javac")
    if javac is None:
        found["Java"] = missing("no javac on this machine")
    else:
        source = HERE / "java" / "ReadAttributes.java"
        subprocess.run([javac, "-d", folder, source], check=True, timeout=RUN_LIMIT_S)
        java = (Path(javac).with_name("java"), "-cp", folder, "ReadAttributes", str(port))
        found["Java, practised"] = program(*java, warm=None)
        found["Java, fresh JVM"] = program(*java, warm=0, few=True)
    python = folder / "venv" / "bin" / "python"
    venv.create(folder / "venv", with_pip=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *PACKAGES,
    ]
    if subprocess.run(install, check=False, timeout=RUN_LIMIT_S).returncode:
        return found | {"JPype": missing("not installed"), "JMXQuery": missing("not installed")}
    script = HERE / "rivals" / "jmx_rival.py"
    found["JPype, practised"] = program(python, script, "jpype", str(port), warm=None)
    found["JMXQuery"] = program(python, script, "jmxquery", str(port), warm=0, few=True)
    return found


async def everything(port: int) -> Requests:
    """Return all readable attributes of all MBeans, but for one of 200 kB that never changes."""
    client = JmxClient("127.0.0.1", port, timeout_s=RUN_LIMIT_S)
    found = {name: list(await client.attributes(name)) for name in await client.query("*:*")}
    await client.close()
    found.pop("jdk.management.jfr:type=FlightRecorder", None)
    return {name: names for name, names in found.items() if names}


def fresh_process(port: int) -> float:
    """Return the CPU seconds of a Python that starts, reads ten attributes, and ends."""
    code = (
        "import asyncio, sys\n"
        "from kafka_self_healing.wire.jmx import JmxClient\n"
        "async def main():\n"
        f"    client = JmxClient('127.0.0.1', {port})\n"
        f"    print(len((await client.read([({RAFT!r}, {TEN!r})]))[0]))\n"
        "    await client.close()\n"
        "asyncio.run(main())\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(works: Sequence[Work], measured: Mapping[str, Sequence[Cost | str]]) -> None:
    """Print the table: CPU milliseconds of a read, and how often ours that is."""
    width = max(map(len, measured))
    print(f"{'CPU of one read':<{width}}", *(f"{work.title:>26}" for work in works))
    own = measured["ours"]
    for name, costs in measured.items():
        cells = []
        for cost, base in zip(costs, own, strict=True):
            if isinstance(cost, str) or isinstance(base, str):
                cells.append(f"{cost if isinstance(cost, str) else '?':>26}")
            else:
                ratio = cost.cpu_us / base.cpu_us
                cells.append(f"{cost.cpu_us / 1e3:>12.3f} ms {ratio:>7.2f} x   ")
        print(f"{name:<{width}}", *cells)


def main() -> int:
    """Start a broker, measure all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reads", type=int, default=30_000, help="of ten attributes (30,000)")
    reads = parser.parse_args().reads
    java, jars = find_java(), JarFetcher().fetch(pinned_jars(), PlainProgress(io.StringIO()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = ClusterSettings(nodes=1)
        made = EmbeddedCluster.prepare(folder / "cluster", settings, java=java, jars=jars)
        with made as cluster:
            cluster.start_all()
            cluster.wait_whole(timeout_s=UP_LIMIT_S)
            port = cluster.nodes[1].jmx_port
            all_requests = asyncio.run(everything(port))
            count = sum(map(len, all_requests.values()))
            works = [
                Work("10 attributes, 1 MBean", {RAFT: TEN}, reads),
                Work(f"a look, {len(LOOK)} MBeans", LOOK, max(reads // 5, 1)),
                Work(f"all {count} attributes", all_requests, max(reads // 500, 1), few=1),
            ]
            measured: dict[str, list[Cost | str]] = {}
            for who, reader in readers(port, folder).items():
                measured[who] = [reader(work) for work in works]
                print(f"  measured: {who} (load {os.getloadavg()[0]:.1f})", flush=True)
            fresh_s = fresh_process(port)
    print(
        f"Python {platform.python_version()}, Java {java.version}, {os.cpu_count()} cores; ", end=""
    )
    print(f"practised: after {reads:,} reads, of all after {works[2].reads}")
    report(works, measured)
    values = [
        [c.values if isinstance(c, Cost) else 0 for c in costs] for costs in measured.values()
    ]
    print(f"values that came, by row: {values}")
    print(f"a fresh Python that connects, reads ten attributes with ours and ends: {fresh_s:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
