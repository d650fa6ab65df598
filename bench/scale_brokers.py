"""Fake brokers and JMX agents in a process of their own, on another core than the one measured.

Brokers answer with bytes that a real one sent, see `scale_metadata`; JMX agents speak the protocol
that the tests hold against a JVM's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.unit.wire.jmx_server import (
    FakeAgent,
    Request,
    attribute_list,
    boxed,
    returned,
)

from bench.scale_metadata import BigCluster, Replies
from kafka_self_healing.wire.jmx.operations import GET_ATTRIBUTES

BACKLOG: Final = 50
"""Connections that wait to be accepted, as a real broker has it."""

RUNNING: Final = 3
_HEAD = struct.Struct(">hhi")
_SIZE = 4
_READY = "ready"


def addresses(number: int, port: int) -> tuple[tuple[str, int], ...]:
    """Return an address for each node, all on this machine."""
    return tuple((f"127.1.{i // 250}.{i % 250 + 1}", port) for i in range(number))


def free_port() -> int:
    """Return a port that nobody uses just now."""
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: a connection is one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pin(core: int) -> None:
    """Stay on one core, where the machine has more than one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


class Answering(asyncio.Protocol):
    """One connection to a fake broker."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request; what no reply is known to ends the connection."""
        assert self._transport is not None
        data = self._rest + data
        while len(data) >= _SIZE:
            end = _SIZE + int.from_bytes(data[:_SIZE], "big")
            if len(data) < end:
                break
            key, version, number = _HEAD.unpack_from(data, _SIZE)
            data = data[end:]
            body = self._replies.get((key, version))
            if body is None:
                print(f"no reply to API {key} v{version} is known", file=sys.stderr)
                self._transport.close()
                return
            self._transport.write(struct.pack(">ii", _SIZE + len(body), number) + body)
        self._rest = data


async def serve_kafka(cluster: BigCluster, first: int, number: int) -> None:
    """Answer for `number` nodes of the cluster, from the `first` on."""
    loop, replies = asyncio.get_running_loop(), cluster.replies()
    for host, port in cluster.addresses[first : first + number]:
        await loop.create_server(lambda: Answering(replies), host, port, backlog=BACKLOG)


async def serve_jmx(cluster: BigCluster, number: int) -> None:
    """Answer any attribute of any MBean with a number, at as many addresses."""

    def answer(request: Request) -> bytes | None:
        if request.operation != GET_ATTRIBUTES:
            return None
        _, wanted, _ = request.arguments
        assert isinstance(wanted, list)
        return returned(attribute_list({str(name): boxed(RUNNING) for name in wanted}))

    for host, port in cluster.addresses[:number]:
        agent = Agent(override=answer, stub_host=host)
        await agent.listen(host, port)


class Agent(FakeAgent):
    """A JMX agent at an address of its own that keeps no account of what it was asked."""

    async def listen(self, host: str, port: int) -> None:
        """Begin to answer."""
        self.requests = _Forgetting()
        self.port = port
        await asyncio.start_server(self._serve, host, port, backlog=BACKLOG)


class _Forgetting(list[Request]):
    def append(self, _request: Request) -> None:
        """Keep nothing."""


@contextlib.contextmanager
def started(
    cluster: BigCluster,
    *,
    first: int = 0,
    number: int | None = None,
    core: int = 1,
    jmx: bool = False,
) -> Iterator[int]:
    """Run fake brokers (or JMX agents) in a process that ends with the block; its pid."""
    options = {
        "port": cluster.addresses[0][1],
        "brokers": cluster.brokers,
        "topics": cluster.topics,
        "partitions": cluster.partitions,
        "first": first,
        "number": cluster.brokers if number is None else number,
        "core": core,
        "jmx": int(jmx),
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-c", "from bench.scale_brokers import main; main()", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if said != _READY:
                raise RuntimeError(f"the fake brokers did not start: {said!r}")
            yield process.pid
        finally:
            process.kill()


def main() -> None:
    """Listen and answer, until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "brokers", "topics", "partitions", "first", "number", "core", "jmx"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    pin(args.core)
    raise_file_limit()
    cluster = BigCluster(addresses(args.brokers, args.port), args.topics, args.partitions)

    async def serve() -> None:
        if args.jmx:
            await serve_jmx(cluster, args.number)
        else:
            await serve_kafka(cluster, args.first, args.number)
        print(_READY, flush=True)
        await asyncio.get_running_loop().create_future()

    asyncio.run(serve())
