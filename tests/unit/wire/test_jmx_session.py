"""The session: kept alive while nobody asks, renewed once, closed without waiting for anybody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.unit.wire.jmx_server import FakeAgent, Request, boxed, exception, returned, thrown

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx import (
    JmxAuthenticationError,
    JmxClient,
    JmxConnectError,
    JmxError,
    JmxProtocolError,
    JmxTimeout,
)
from kafka_self_healing.wire.jmx.encoding import write_string
from kafka_self_healing.wire.jmx.operations import (
    CLOSE,
    DEFAULT_DOMAIN,
    GET_ATTRIBUTES,
    LOOKUP,
    NEW_CLIENT,
)

_STATE = "kafka.server:type=KafkaServer,name=BrokerState"
_READ = [(_STATE, ["Value"])]
_LIMIT_S = 5.0


@pytest.fixture
async def agent() -> AsyncIterator[FakeAgent]:
    """A fake agent with one MBean."""
    async with FakeAgent(mbeans={_STATE: {"Value": boxed(3)}}) as fake:
        yield fake


async def until_asked(agent: FakeAgent, operation: bytes, times: int) -> None:
    """Wait until `operation` was called so often."""
    async with asyncio.timeout(_LIMIT_S):
        while agent.count(operation) < times:
            await asyncio.sleep(0.005)


async def test_an_idle_session_is_kept(agent: FakeAgent) -> None:
    """The cheapest call comes again and again while nobody asks, in the same session; not after."""
    client = JmxClient("127.0.0.1", agent.port, keep_alive_s=0.02)
    assert agent.connections == 0  # nothing is begun before it is needed
    await client.read(_READ)
    await until_asked(agent, DEFAULT_DOMAIN, 3)
    assert client.logins == 1
    await client.close()
    asked = len(agent.requests)
    await asyncio.sleep(0.1)
    assert (len(agent.requests), agent.connections) == (asked, 1)


async def test_reading_is_enough_to_keep_a_session(agent: FakeAgent) -> None:
    """Who reads more often than that causes no further call."""
    client = JmxClient("127.0.0.1", agent.port, keep_alive_s=0.3)
    loop = asyncio.get_running_loop()
    ends = loop.time() + 0.7
    while loop.time() < ends:
        await client.read(_READ)
        await asyncio.sleep(0.02)
    assert agent.count(DEFAULT_DOMAIN) == 0
    await client.close()


async def test_keeping_alive_logs_nobody_in(agent: FakeAgent) -> None:
    """A session that is found to be gone stays so until somebody reads: that is one new login."""
    lost: list[JmxError] = []
    client = JmxClient("127.0.0.1", agent.port, keep_alive_s=0.02)
    client.on_lost(lost.append)
    await client.read(_READ)
    agent.sessions.clear()
    await until_asked(agent, DEFAULT_DOMAIN, 1)
    await asyncio.sleep(0.1)
    assert (agent.count(DEFAULT_DOMAIN), agent.count(NEW_CLIENT)) == (1, 1)
    assert await client.read(_READ) == [{"Value": 3}]
    assert (client.logins, lost) == (2, [])
    await client.close()


async def test_a_silent_agent_is_noticed_while_nobody_reads(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that keeps the session alive gets no answer: the connection is given up and told."""
    monkeypatch.setattr("kafka_self_healing.wire.jmx.session._REFRESH_LIMIT_S", 0.05)
    lost: asyncio.Queue[JmxError] = asyncio.Queue()
    client = JmxClient("127.0.0.1", agent.port, keep_alive_s=0.02)
    client.on_lost(lost.put_nowait)
    await client.read(_READ)
    agent.override = lambda _: b""
    error = await asyncio.wait_for(lost.get(), _LIMIT_S)
    assert isinstance(error, JmxTimeout)
    agent.override = lambda _: None
    assert await client.read(_READ) == [{"Value": 3}]
    assert (client.logins, agent.connections) == (1, 2)
    await client.close()


async def test_a_lost_connection_is_told_each_time(agent: FakeAgent) -> None:
    """Every warm connection that the agent hangs up on is told once; our own close is not."""
    lost: asyncio.Queue[JmxError] = asyncio.Queue()
    client = JmxClient("127.0.0.1", agent.port)
    client.on_lost(lost.put_nowait)
    for _ in range(2):
        await client.read(_READ)
        await agent.hang_up()
        error = await asyncio.wait_for(lost.get(), _LIMIT_S)
        assert isinstance(error, JmxConnectError)
        assert error.outcome in {"closed", "reset"}
    await client.read(_READ)
    await client.close()
    assert lost.empty()
    assert client.logins == 1


async def test_who_asks_hears_of_the_loss_alone(agent: FakeAgent) -> None:
    """A connection that is lost under a call is the caller's error, not a hint besides."""
    lost: list[JmxError] = []
    client = JmxClient("127.0.0.1", agent.port)
    client.on_lost(lost.append)
    await client.read(_READ)
    agent.override = lambda _: b"\0 is no reply"
    (answer,) = await client.read(_READ)
    assert isinstance(answer, JmxProtocolError)
    assert lost == []
    await client.close()


async def test_twenty_readers_of_a_lost_session_cause_one_login(agent: FakeAgent) -> None:
    """Callers take turns, so the first one renews the session for all."""
    client = JmxClient("127.0.0.1", agent.port)
    await client.read(_READ)
    agent.sessions.clear()
    answers = await asyncio.gather(*(client.read(_READ * 5) for _ in range(20)))
    assert answers == [[{"Value": 3}] * 5] * 20
    assert client.logins == 2
    await client.close()


async def test_a_session_that_goes_in_the_middle_is_renewed_once(agent: FakeAgent) -> None:
    """Lost between the calls of one read: all of them are asked again in the new session."""
    client = JmxClient("127.0.0.1", agent.port)
    await client.read(_READ)

    def forget(request: Request) -> bytes | None:
        if agent.count(GET_ATTRIBUTES) == 4 and client.logins == 1:
            agent.sessions.clear()
        return None

    agent.override = forget
    assert await client.read(_READ * 5) == [{"Value": 3}] * 5
    assert client.logins == 2
    await client.close()


async def test_a_late_reply_is_nobodys(agent: FakeAgent) -> None:
    """What comes after its time limit is never taken for the next answer."""
    client = JmxClient("127.0.0.1", agent.port)
    await client.read(_READ)
    held: list[Request] = []

    def late(request: Request) -> bytes | None:
        held.append(request)
        return b"" if len(held) == 1 else None

    agent.override = late
    with pytest.raises(JmxTimeout):
        await client.read(_READ, timeout_s=0.05)
    for writer in list(agent._writers):
        if not writer.is_closing():
            writer.write(returned(write_string("late")))
    assert await client.read(_READ) == [{"Value": 3}]
    assert await client.default_domain() == "DefaultDomain"
    await client.close()


async def test_waiting_for_a_turn_counts(agent: FakeAgent) -> None:
    """A caller behind a hung call ends at its own limit and leaves the other's connection alone."""
    client = JmxClient("127.0.0.1", agent.port)
    await client.read(_READ)
    agent.override = lambda _: b""
    first = asyncio.create_task(client.read(_READ, timeout_s=_LIMIT_S))
    await until_asked(agent, GET_ATTRIBUTES, 2)
    with pytest.raises(JmxTimeout):
        await client.read(_READ, timeout_s=0.05)
    assert client._session._connection is not None
    agent.override = lambda _: None
    for writer in agent._writers:
        writer.write(agent._answer(agent.requests[-1]))
    assert await first == [{"Value": 3}]
    await client.close()


async def test_close_ends_a_call_that_waits_for_a_connection() -> None:
    """A connection that is made when the client was closed meanwhile is given up unused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = JmxClient("127.0.0.1", listener.getsockname()[1], timeout_s=60)
        reading = asyncio.create_task(client.default_domain())
        await asyncio.sleep(0.05)
        async with asyncio.timeout(_LIMIT_S):
            await client.close()
            with pytest.raises(JmxConnectError, match="closed by us"):
                await reading
    assert client.logins == 0


async def test_close_waits_for_a_call_that_ends(agent: FakeAgent) -> None:
    """A call that is answered within a second is not torn off, and the farewell is said."""
    client = JmxClient("127.0.0.1", agent.port)
    await client.read(_READ)
    agent.override = lambda _: b""
    reading = asyncio.create_task(client.read(_READ))
    await until_asked(agent, GET_ATTRIBUTES, 2)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0.01)
    agent.override = lambda _: None
    for writer in agent._writers:
        writer.write(agent._answer(agent.requests[-1]))
    assert await reading == [{"Value": 3}]
    await closing
    assert (agent.count(CLOSE), agent.sessions) == (1, set())


async def test_a_silent_port_gets_one_connection_a_read(agent: FakeAgent) -> None:
    """Session and registry are on the same port, so a second way would only fill its backlog."""
    client = JmxClient("127.0.0.1", agent.port)
    await client.read(_READ)
    await agent.stop()
    knocks = 0
    with socket.create_server(("127.0.0.1", agent.port)) as listener:
        listener.setblocking(False)
        with pytest.raises(JmxTimeout):
            await client.read(_READ, timeout_s=0.2)
        while True:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                break
            knocks += 1
    assert knocks == 1
    await client.close()


async def test_the_refusal_of_a_login_keeps_nothing_open(agent: FakeAgent) -> None:
    """Nothing is kept alive for who may not come in."""
    denied = thrown(exception("java.lang.SecurityException", message="no"))
    agent.override = lambda request: denied if request.operation == NEW_CLIENT else None
    client = JmxClient("127.0.0.1", agent.port, keep_alive_s=0.01)
    with pytest.raises(JmxError):
        await client.read(_READ)
    await asyncio.sleep(0.05)
    assert agent.count(DEFAULT_DOMAIN) == 0
    assert client._session._alarm is None
    await client.close()


async def test_a_refused_login_is_not_tried_again_at_once(
    agent: FakeAgent,
) -> None:
    """The registry is asked, which proves life; the password is sent again after a pause only."""
    agent.credentials = ("monitor", "right")
    client = JmxClient("127.0.0.1", agent.port, user="monitor", password=Secret("wrong"))
    for _ in range(3):
        with pytest.raises(JmxAuthenticationError, match=r"password\.file"):
            await client.read(_READ)
    assert (agent.count(LOOKUP), agent.count(NEW_CLIENT)) == (3, 1)
    await agent.stop()
    with pytest.raises(JmxConnectError):
        await client.read(_READ)
    await agent.start()
    assert client._session._refused is not None
    client._session._refused = (0.0, client._session._refused[1])  # the pause is over
    agent.credentials = ("monitor", "wrong")
    assert await client.read(_READ) == [{"Value": 3}]
    await client.close()
