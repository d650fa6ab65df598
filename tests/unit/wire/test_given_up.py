"""A caller that gives up, in whatever turn of the event loop, leaves no connection behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.integration.clusters.pki import Pki, make_pki

from kafka_self_healing.monitoring.checks.handshake import shake_hands_at
from kafka_self_healing.monitoring.checks.knock import knock
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.handover import speak, streams
from kafka_self_healing.wire.jmx import JmxClient
from kafka_self_healing.wire.jmx.rmi import RmiConnection
from kafka_self_healing.wire.names import tcp_socket
from kafka_self_healing.wire.tls import TlsContext, TlsFiles, TlsSettings
from kafka_self_healing.wire.zookeeper import Endpoint, srvr

HOST = "127.0.0.1"
LONG_S = 20.0
TURNS = 60
"""In how many turns of the event loop a connection is given up, one after the other."""

SETTLED = 20
"""Turns of the event loop after which what is cut is closed; a farewell takes half a minute."""

Ask = Callable[[int, TlsContext], Awaitable[object]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of the tests' own authority."""
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture
def tls(pki: Pki) -> TlsContext:
    """What trusts that authority."""
    files = TlsFiles(TlsSettings(ca_file=str(pki.ca)))
    files()
    return files


@pytest.fixture(params=["agrees", "mute"])
async def port(request: pytest.FixtureRequest, pki: Pki) -> AsyncIterator[int]:
    """A server that waits for ever: once it has agreed on TLS, or at once."""
    context = pki.server_context() if request.param == "agrees" else None
    async with holding(context) as port:
        yield port


class holding:  # noqa: N801 - used as a function
    """A server that waits for ever while the block lasts; its port."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context, self.over = context, asyncio.Event()

    async def __aenter__(self) -> int:
        self.server = await asyncio.start_server(self.hold, HOST, 0, ssl=self.context)
        return int(self.server.sockets[0].getsockname()[1])

    async def hold(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say nothing."""
        await self.over.wait()
        writer.transport.abort()

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        self.server.close()
        await turns(SETTLED)


async def turns(number: int) -> None:
    """Let the event loop go round so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


def left_open(port: int) -> list[socket.socket]:
    """Return our open sockets whose other end is the server.

    What asyncio has forgotten without closing it is warned of when it is collected: an error.
    """
    gc.collect()
    found = []
    for one in gc.get_objects():
        if isinstance(one, socket.socket) and one.fileno() >= 0:
            try:
                is_ours = one.getpeername()[1] == port
            except (OSError, IndexError):  # not connected, or no socket of the network
                continue
            if is_ours:
                found.append(one)
    return found


async def give_up(asking: asyncio.Future[object], after: int) -> None:
    """Let it ask for so many turns, cancel it, and wait until all should be closed."""
    await turns(after)
    asking.cancel()
    await asyncio.wait([asking])
    await turns(SETTLED)


@pytest.mark.parametrize("secured", [True, False], ids=["TLS", "plain"])
@pytest.mark.parametrize("how", [speak, streams], ids=["protocol", "streams"])
async def test_a_handover_is_whole_or_nothing(
    port: int, tls: TlsContext, how: Callable[..., Awaitable[object]], *, secured: bool
) -> None:
    """Cancelled in each turn of the handshake, also in the first and in that of its end."""
    context = tls() if secured else None
    protocol = () if how is streams else (asyncio.Protocol,)

    async def hand_over() -> None:
        plain = await tcp_socket(HOST, port)
        made = await how(plain, *protocol, context=context, name=HOST)
        assert isinstance(made, tuple)
        transport = made[0] if how is speak else made[1].transport
        try:
            await asyncio.Event().wait()
        finally:
            transport.abort()

    for after in range(TURNS):
        await give_up(asyncio.ensure_future(hand_over()), after)
    assert not left_open(port)


async def ask_kafka(port: int, tls: TlsContext) -> None:
    """Connect to a Kafka listener."""
    made = await kafka.connect(HOST, port, tls=tls, timeout_s=LONG_S)
    await made.close()


async def ask_jmx(port: int, tls: TlsContext) -> None:
    """Ask a JMX agent."""
    client = JmxClient(HOST, port, tls=tls, timeout_s=LONG_S)
    try:
        await client.default_domain()
    finally:
        await client.close()


async def ask_zookeeper(port: int, tls: TlsContext) -> None:
    """Ask a member of an ensemble."""
    await srvr(Endpoint(HOST, port, tls=tls), timeout_s=LONG_S)


async def ask_for_a_certificate(port: int, tls: TlsContext) -> None:
    """Ask for what a listener serves."""
    await shake_hands_at(HOST, port, tls=tls, server_name=HOST, timeout_s=LONG_S)


async def ask_for_a_connection(port: int, tls: TlsContext) -> None:
    """Ask whether a listener accepts."""
    await knock(HOST, port, tls=tls, server_name=HOST, timeout_s=LONG_S)


@pytest.mark.parametrize(
    "ask", [ask_kafka, ask_jmx, ask_zookeeper, ask_for_a_certificate, ask_for_a_connection]
)
async def test_a_look_that_is_given_up_leaves_nothing(port: int, tls: TlsContext, ask: Ask) -> None:
    """Cancelled after any number of turns, whether the node agrees on TLS or is mute."""
    for after in range(TURNS):
        await give_up(asyncio.ensure_future(ask(port, tls)), after)
    assert not left_open(port)


@pytest.mark.parametrize(
    ("ask", "protocol"),
    [(ask_kafka, kafka.KafkaConnection), (ask_jmx, RmiConnection)],
    ids=["kafka", "jmx"],
)
async def test_nothing_stays_open_at_the_end_of_a_handshake(
    monkeypatch: pytest.MonkeyPatch,
    pki: Pki,
    tls: TlsContext,
    ask: Ask,
    protocol: type[asyncio.Protocol],
) -> None:
    """Cancelled in the very turn in which TLS is agreed, the connection is cut, not left."""
    opened: list[socket.socket] = []
    made = protocol.connection_made

    def connection_made(self: asyncio.Protocol, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        opened.append(transport.get_extra_info("socket"))
        asking.cancel()

    monkeypatch.setattr(protocol, "connection_made", connection_made)
    async with holding(pki.server_context()) as port:
        asking = asyncio.ensure_future(ask(port, tls))
        await asyncio.wait([asking])
        await turns(SETTLED)
        assert asking.cancelled()
        assert [one.fileno() for one in opened] == [-1]
