"""The warm Kafka connection against servers that behave badly, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.connection import (
    MAX_FRAME_BYTES,
    MAX_GREETING_BYTES,
    MAX_IN_FLIGHT,
)

HOST = "127.0.0.1"
SOON_S = 0.15  # a limit that is meant to be reached
LONG_S = 10.0  # a limit that is not
Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's side of one connection: reads requests, sends what the script says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[int, int, bytes]:
        """Return API key, version and correlation id of the next request."""
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        frame = await self.reader.readexactly(size)
        return int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:4], "big"), frame[4:8]

    def reply(self, correlation_id: bytes, body: bytes) -> None:
        """Send a reply frame."""
        self.writer.write(frame_of(correlation_id + body))

    async def hello(self, *, offered: dict[int, tuple[int, int]] | None = None) -> None:
        """Answer the first ApiVersions."""
        _, _, correlation_id = await self.request()
        self.reply(correlation_id, api_versions(offered or {18: (0, 3), 3: (1, 1)}))


def frame_of(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def api_versions(offered: dict[int, tuple[int, int]]) -> bytes:
    keys = b"".join(
        b"".join(number.to_bytes(2, "big") for number in (key, *versions)) + b"\0"
        for key, versions in offered.items()
    )
    return b"\0\0" + bytes((len(offered) + 1,)) + keys + b"\0\0\0\0" + b"\0"


def metadata(controller_id: int) -> bytes:
    """Metadata v1 without brokers and topics."""
    return bytes(4) + controller_id.to_bytes(4, "big") + bytes(4)


@contextlib.asynccontextmanager
async def serving(script: Script) -> AsyncIterator[int]:
    """Serve `script` to each connection; yields the port."""

    served: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(Peer(reader, writer))
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.wait_for(asyncio.gather(*filter(None, served)), LONG_S)


@contextlib.asynccontextmanager
async def connected(script: Script) -> AsyncIterator[kafka.KafkaConnection]:
    """Serve `script` and connect to it."""
    async with serving(script) as port:
        connection = await kafka.connect(HOST, port, timeout_s=LONG_S)
        try:
            yield connection
        finally:
            await connection.close()


async def until_closed(peer: Peer) -> None:
    await peer.reader.read()


async def test_a_refused_port_says_so() -> None:
    """A port without listener is `refused`, and the message names host and port."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))  # bound but not listening: nobody else can take the port
        port = taken.getsockname()[1]
        with pytest.raises(kafka.KafkaRefusedError, match=f"{HOST}:{port}: connection refused"):
            await kafka.connect(HOST, port, timeout_s=LONG_S)


async def test_a_name_with_two_addresses_is_refused_too() -> None:
    """`localhost` may be two addresses; refusal by the last of them is still `refused`."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        with pytest.raises(kafka.KafkaWireError) as caught:
            await kafka.connect("localhost", taken.getsockname()[1], timeout_s=LONG_S)
    assert caught.value.outcome == "refused"


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "..", "nowhere.invalid"])
async def test_a_name_that_does_not_resolve_is_unreachable(host: str) -> None:
    """A host name that means nothing is `unreachable`."""
    with pytest.raises(kafka.KafkaUnreachableError, match="name"):
        await kafka.connect(host, 9092, timeout_s=LONG_S)


async def test_a_peer_that_accepts_and_never_answers_times_out() -> None:
    """The hello has a deadline; the message tells an accepted connection from none."""
    async with serving(until_closed) as port:
        with pytest.raises(kafka.KafkaTimedOutError, match="accepted the connection but did not"):
            await kafka.connect(HOST, port, timeout_s=SOON_S)


async def test_a_peer_that_answers_no_tls_times_out() -> None:
    """A frozen process accepts, and its TLS is silent: that is a hang, not bad TLS."""
    context = ssl.create_default_context()
    async with serving(until_closed) as port:
        with pytest.raises(kafka.KafkaTimedOutError, match="did not answer TLS within"):
            await kafka.connect(HOST, port, tls=lambda: context, timeout_s=SOON_S)


async def test_a_slow_disk_of_ours_says_nothing_about_the_peer() -> None:
    """Who does not get its own files in time has not asked: no timeout of the node."""
    go_on = threading.Event()

    def slow() -> ssl.SSLContext:
        go_on.wait(LONG_S)
        return ssl.create_default_context()

    async with serving(until_closed) as port:
        with pytest.raises(kafka.KafkaSetupError, match="our own TLS files were not read"):
            await kafka.connect(HOST, port, tls=slow, timeout_s=SOON_S)
        go_on.set()


async def test_a_resolver_that_hangs_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not resolved in time is no timeout of the node; addresses need no resolver."""
    go_on = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        go_on.wait(LONG_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    many = [kafka.connect("node.test", 9092, timeout_s=SOON_S) for _ in range(20)]
    errors = await asyncio.gather(*many, return_exceptions=True)
    assert {type(error) for error in errors} == {kafka.KafkaUnreachableError}
    async with connected(half_hello) as connection:
        assert connection.apis
    go_on.set()


async def half_hello(peer: Peer) -> None:
    await peer.hello()
    await until_closed(peer)


async def half_a_frame(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"\0\0\0\x40\0\0\0\1half")
    await until_closed(peer)


async def test_half_a_reply_times_out() -> None:
    """A reply that stops in the middle does not hang us."""
    async with serving(half_a_frame) as port:
        with pytest.raises(kafka.KafkaTimedOutError):
            await kafka.connect(HOST, port, timeout_s=SOON_S)


async def test_a_reply_that_drips_ends_at_the_deadline() -> None:
    """A peer that sends a byte now and then does not put the deadline off."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for byte in b"\0\0\xff\xff\0\0\0\1" + bytes(500):
            peer.writer.write(bytes((byte,)))
            await peer.writer.drain()
            await asyncio.sleep(0.005)

    async with serving(script) as port:
        with pytest.raises(kafka.KafkaTimedOutError, match="did not answer ApiVersions"):
            await kafka.connect(HOST, port, timeout_s=SOON_S)


async def test_an_endless_greeting_is_refused_at_its_first_bytes() -> None:
    """Before anything big was asked, nobody may make us hold more than a greeting has."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write((MAX_GREETING_BYTES + 1).to_bytes(4, "big"))
        await until_closed(peer)

    async with serving(script) as port:
        with pytest.raises(kafka.KafkaProtocolError, match="no Kafka frame"):
            await kafka.connect(HOST, port, timeout_s=LONG_S)


@pytest.mark.parametrize(
    ("size", "words"),
    [(MAX_GREETING_BYTES + 1, "broken reply to Metadata"), (MAX_FRAME_BYTES + 1, "no Kafka frame")],
)
async def test_what_was_asked_may_be_big_within_bounds(size: int, words: str) -> None:
    """Metadata may be larger than a greeting, and not larger than any cluster's."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        _, _, correlation_id = await peer.request()
        peer.writer.write(size.to_bytes(4, "big"))
        if size <= MAX_FRAME_BYTES:
            peer.writer.write(correlation_id + bytes(size - 4))
        await until_closed(peer)

    async with connected(script) as connection:
        with pytest.raises(kafka.KafkaProtocolError, match=words):
            await connection.call(kafka.Metadata(), timeout_s=LONG_S)


async def closes(peer: Peer) -> None:
    await peer.request()


async def test_a_peer_that_closes_is_closed() -> None:
    """An orderly end before any reply is `closed`, with a hint at TLS and SASL."""
    async with serving(closes) as port:
        with pytest.raises(kafka.KafkaClosedError, match="does this listener want TLS or SASL"):
            await kafka.connect(HOST, port, timeout_s=LONG_S)


async def resets(peer: Peer) -> None:
    await peer.request()
    raw: socket.socket = peer.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.writer.transport.abort()


async def test_a_peer_that_resets_is_reset() -> None:
    """A connection that is cut is `reset`."""
    async with serving(resets) as port:
        with pytest.raises(kafka.KafkaResetError, match="connection reset"):
            await kafka.connect(HOST, port, timeout_s=LONG_S)


@pytest.mark.parametrize(
    ("answer", "outcome", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "HTTP; this port is not Kafka"),
        (b"\x15\x03\x03\0\2\2\x46", "tls", "wants TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol", "no Kafka frame"),
        (b"\xff\xff\xff\xff\0\0\0\0", "protocol", "no Kafka frame"),
        (b"\0\0\0\1\0\0\0\0", "protocol", "no Kafka frame"),
        (frame_of(b"\x7f\0\0\0\0\0"), "protocol", "to a request that was not sent"),
        (frame_of(b"\0\0\0\1\0\0\x7f"), "protocol", "broken reply to ApiVersions v3"),
        (frame_of(b"\0\0\0\1" + b"\0\x2a" + b"\1\0\0\0\0\0"), "protocol", "answered error 42"),
    ],
)
async def test_a_peer_that_is_no_kafka_is_named(answer: bytes, outcome: str, message: str) -> None:
    """Foreign bytes end the connection at once with what they are, not at the deadline."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(answer)
        await until_closed(peer)

    async with serving(script) as port:
        with pytest.raises(kafka.KafkaWireError, match=message) as caught:
            await kafka.connect(HOST, port, timeout_s=LONG_S)
    assert caught.value.outcome == outcome
    assert str(caught.value).startswith(f"{HOST}:{port}: ")


async def test_tls_spoken_to_a_plaintext_listener_is_tls() -> None:
    """With a TLS context, a peer that does not speak it is `tls`."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        peer.writer.write(b"\0\0\0\4abcd")

    async with serving(script) as port:
        with pytest.raises(kafka.KafkaTlsError, match="plaintext port"):
            await kafka.connect(HOST, port, tls=ssl.create_default_context, timeout_s=LONG_S)


async def test_an_old_node_is_asked_again_in_version_0() -> None:
    """Error 35 to the hello leads to ApiVersions v0, and what it offers is used."""

    async def script(peer: Peer) -> None:
        _, version, correlation_id = await peer.request()
        assert version == 3
        peer.reply(correlation_id, b"\0\x23" + b"\0\0\0\1" + b"\0\x12\0\0\0\1")
        _, version, correlation_id = await peer.request()
        assert version == 0
        peer.reply(correlation_id, b"\0\0" + b"\0\0\0\1" + b"\0\x12\0\0\0\1")
        await until_closed(peer)

    async with connected(script) as connection:
        assert connection.apis == {18: (0, 1)}


async def test_replies_out_of_order_reach_their_own_calls() -> None:
    """Pipelined requests are matched by correlation id, also when bytes come one by one."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        waiting = [await peer.request() for _ in range(3)]
        stream = b"".join(
            frame_of(correlation_id + metadata(number))
            for number, (_, _, correlation_id) in reversed(list(enumerate(waiting, 10)))
        )
        for place in range(len(stream)):
            peer.writer.write(stream[place : place + 1])
            await peer.writer.drain()
        await until_closed(peer)

    async with connected(script) as connection:
        futures = [connection.send(kafka.Metadata(())) for _ in range(3)]
        replies = [await future for future in futures]
    assert [reply.controller_id for reply in replies] == [10, 11, 12]


async def test_a_late_reply_is_thrown_away_and_the_connection_lives() -> None:
    """After a timeout the next call gets its own reply, not the late one."""
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hello()
        _, _, first = await peer.request()
        await go.wait()
        peer.reply(first, metadata(1))
        _, _, second = await peer.request()
        peer.reply(second, metadata(2))
        await until_closed(peer)

    async with connected(script) as connection:
        with pytest.raises(kafka.KafkaTimedOutError, match="no reply to Metadata within"):
            await connection.call(kafka.Metadata(()), timeout_s=SOON_S)
        go.set()
        reply = await connection.call(kafka.Metadata(()), timeout_s=LONG_S)
    assert reply.controller_id == 2


async def test_a_lost_connection_is_told_and_fails_all_that_wait() -> None:
    """`on_lost` is called once; waiting and later calls fail with the same outcome."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        await peer.request()

    told: list[kafka.KafkaWireError] = []
    async with connected(script) as connection:
        connection.on_lost(told.append)
        first, dropped = connection.send(kafka.Metadata()), connection.send(kafka.Metadata())
        with pytest.raises(kafka.KafkaWireError):
            await first
        assert dropped.done()
        with pytest.raises(kafka.KafkaWireError):
            await connection.call(kafka.Metadata(), timeout_s=LONG_S)
        late: asyncio.Future[kafka.KafkaWireError] = asyncio.get_running_loop().create_future()
        connection.on_lost(late.set_result)
        assert await late is told[0]
    assert len(told) == 1
    assert told[0].outcome in {"closed", "reset"}


async def test_our_own_close_is_no_hint() -> None:
    """Closing it ourselves ends waiting calls and does not call `on_lost`."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        await until_closed(peer)

    told: list[kafka.KafkaWireError] = []
    async with connected(script) as connection:
        connection.on_lost(told.append)
        waiting = connection.send(kafka.Metadata())
        await connection.close()
        with pytest.raises(kafka.KafkaClosedError, match="closed by us"):
            await waiting
    assert told == []


async def test_a_broken_reply_fails_its_call_at_once() -> None:
    """The call whose reply is broken does not wait for its deadline, and the stream is given up."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        _, _, correlation_id = await peer.request()
        peer.reply(correlation_id, b"\x7f\xff\xff\xff")
        await until_closed(peer)

    async with connected(script) as connection:
        with pytest.raises(kafka.KafkaProtocolError, match="broken reply to Metadata v1"):
            await connection.call(kafka.Metadata(), timeout_s=LONG_S)
        assert connection.lost is not None


async def test_a_hung_node_is_not_asked_for_ever() -> None:
    """The number of unanswered requests has a limit, so a hung node costs bounded memory."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        await until_closed(peer)

    async with connected(script) as connection:
        for _ in range(MAX_IN_FLIGHT):
            connection.send(kafka.Metadata(()))
        with pytest.raises(kafka.KafkaTimedOutError, match="requests are unanswered"):
            connection.send(kafka.Metadata(()))


async def test_what_the_peer_does_not_offer_is_told() -> None:
    """A controller listener is named as such; a version gap names both ranges."""

    async def script(peer: Peer) -> None:
        await peer.hello(offered={18: (0, 3), 55: (0, 2), 60: (0, 0), 32: (9, 9)})
        await until_closed(peer)

    async with connected(script) as connection:
        with pytest.raises(kafka.KafkaWrongListenerError, match="controller listener"):
            connection.send(kafka.Metadata())
        with pytest.raises(kafka.KafkaUnsupportedError, match=r"offered in 9\.\.9, we need 1\.\.4"):
            connection.send(kafka.DescribeConfigs(()))
        with pytest.raises(kafka.KafkaUnsupportedError, match="DescribeCluster"):
            connection.send(kafka.DescribeCluster(kafka.EndpointType.CONTROLLERS))


async def test_cancelling_connect_leaves_nothing_open() -> None:
    """A caller that gives up while the peer is silent leaves no connection behind."""
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        with contextlib.suppress(ConnectionError):
            await until_closed(peer)
        gone.set()

    async with serving(script) as port:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(kafka.connect(HOST, port, timeout_s=LONG_S), SOON_S)
        await asyncio.wait_for(gone.wait(), LONG_S)
    assert gone.is_set()
