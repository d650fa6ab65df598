"""A caller that gives up just when TLS has been agreed leaves no connection behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.integration.clusters.pki import Pki, make_pki

from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.jmx import JmxClient
from kafka_self_healing.wire.jmx.rmi import RmiConnection
from kafka_self_healing.wire.tls import TlsContext, TlsFiles, TlsSettings

HOST = "127.0.0.1"
LONG_S = 20.0
TURNS = 3
"""Turns of the event loop after which a connection that is cut is closed; a farewell takes more."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of the tests' own authority."""
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture
async def port(pki: Pki) -> AsyncIterator[int]:
    """A server that agrees on TLS and then waits for ever."""
    over = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    async with await asyncio.start_server(hold, HOST, 0, ssl=pki.server_context()) as server:
        yield int(server.sockets[0].getsockname()[1])
        over.set()


async def ask_kafka(port: int, tls: TlsContext) -> None:
    """Connect to a Kafka listener."""
    await kafka.connect(HOST, port, tls=tls, timeout_s=LONG_S)


async def ask_jmx(port: int, tls: TlsContext) -> None:
    """Ask a JMX agent."""
    client = JmxClient(HOST, port, tls=tls, timeout_s=LONG_S)
    try:
        await client.default_domain()
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("ask", "protocol"),
    [(ask_kafka, kafka.KafkaConnection), (ask_jmx, RmiConnection)],
    ids=["kafka", "jmx"],
)
async def test_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
    pki: Pki,
    port: int,
    ask: Callable[[int, TlsContext], Awaitable[None]],
    protocol: type[asyncio.Protocol],
) -> None:
    """Cancelled in the very turn in which the handshake ends, the socket is closed at once."""
    opened: list[socket.socket] = []
    made = protocol.connection_made

    def give_up(self: asyncio.Protocol, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        opened.append(transport.get_extra_info("socket"))
        asking.cancel()

    monkeypatch.setattr(protocol, "connection_made", give_up)
    tls = TlsFiles(TlsSettings(ca_file=str(pki.ca)))
    asking = asyncio.ensure_future(ask(port, tls))
    await asyncio.wait([asking])
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert asking.cancelled()
    assert [one.fileno() for one in opened] == [-1]
