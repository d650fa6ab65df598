"""The client against a fake agent on loopback: sessions, pipelining, time limits, refusals."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
from tests.unit.wire.jmx_server import (
    SERVER_ID,
    FakeAgent,
    Request,
    boxed,
    class_of,
    collection,
    exception,
    object_array,
    returned,
    stub,
    thrown,
)

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx import (
    JmxAccessDenied,
    JmxAuthenticationError,
    JmxClient,
    JmxConnectError,
    JmxError,
    JmxNameError,
    JmxNotFound,
    JmxProtocolError,
    JmxRemoteError,
    JmxSessionGone,
    JmxTimeout,
    JmxTlsError,
    operations,
)
from kafka_self_healing.wire.jmx.encoding import NULL, write_string
from kafka_self_healing.wire.jmx.operations import (
    CLOSE,
    DEFAULT_DOMAIN,
    GET_ATTRIBUTES,
    GET_MBEAN_INFO,
    LOOKUP,
    NEW_CLIENT,
    QUERY_NAMES,
)
from kafka_self_healing.wire.jmx.session import CALLS_IN_FLIGHT

_STATE = "kafka.server:type=KafkaServer,name=BrokerState"
_PASSWORD = "correct horse"  # not one


@pytest.fixture
async def agent() -> AsyncIterator[FakeAgent]:
    """A fake agent with one MBean."""
    async with FakeAgent(mbeans={_STATE: {"Value": boxed(3), "Other": NULL}}) as fake:
        yield fake


@pytest.fixture
async def client(agent: FakeAgent) -> AsyncIterator[JmxClient]:
    """A client of that agent."""
    made = JmxClient("127.0.0.1", agent.port, timeout_s=5)
    yield made
    await made.close()


def answering(operation: bytes, answer: bytes, *, times: int = 1 << 30) -> object:
    """Return an override that gives `answer` to the first `times` calls of `operation`."""
    left = [times]

    def override(request: Request) -> bytes | None:
        if request.operation != operation or not left[0]:
            return None
        left[0] -= 1
        return answer

    return override


async def test_reads_share_one_login_and_one_connection(
    agent: FakeAgent, client: JmxClient
) -> None:
    """The registry's connection serves login and all calls, since the JMX port is the same."""
    assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
    assert await client.read([(_STATE, ["Value", "Other"])]) == [{"Value": 3, "Other": None}]
    assert (agent.connections, agent.count(NEW_CLIENT), client.logins) == (1, 1, 1)
    assert agent.acknowledged == 2


async def test_each_request_has_its_own_result(client: JmxClient) -> None:
    """A missing MBean, a missing attribute and a bad name leave their neighbours alone."""
    results = await client.read(
        [(_STATE, ["Value"]), ("x:y=z", ["q"]), ("x:y", ["q"]), (_STATE, ["Nope"]), (_STATE, [])]
    )
    assert results[0] == {"Value": 3}
    assert isinstance(results[1], JmxNotFound)
    assert isinstance(results[2], JmxNameError)
    assert results[3] == {}
    assert isinstance(results[4], JmxNameError)


async def test_what_is_malformed_is_never_sent(agent: FakeAgent, client: JmxClient) -> None:
    """A read of bad names only, and a bad pattern, do not even connect."""
    (result,) = await client.read([("no name", ["a"])])
    assert isinstance(result, JmxNameError)
    with pytest.raises(JmxNameError):
        await client.query("no name")
    assert await client.read([]) == []
    assert agent.connections == 0


async def test_reads_are_pipelined(agent: FakeAgent, client: JmxClient) -> None:
    """The agent answers only after all hundred calls have arrived: nobody waits for a reply."""
    await client.default_domain()
    held: list[Request] = []

    def hold(request: Request) -> bytes | None:
        held.append(request)
        if len(held) < 100:
            return b""
        agent.override = lambda _: None
        return b"".join(agent._answer(one) for one in held)

    agent.override = hold
    assert await client.read([(_STATE, ["Value"])] * 100) == [{"Value": 3}] * 100


async def test_long_reads_go_in_batches(agent: FakeAgent, client: JmxClient) -> None:
    """More calls than may be in flight are asked in turns, and all are answered in order."""
    count = CALLS_IN_FLIGHT + 10
    requests = [(_STATE, ["Value"])] * (count - 1) + [("x:y=z", ["q"])]
    results = await client.read(requests)
    assert results[:-1] == [{"Value": 3}] * (count - 1)
    assert isinstance(results[-1], JmxNotFound)


async def test_query_and_keep_alive(agent: FakeAgent, client: JmxClient) -> None:
    """Names come sorted, as text; the cheapest call tells the default domain."""
    agent.mbeans["a:b=c"] = {}
    assert await client.query("*:*") == ["a:b=c", _STATE]
    assert await client.default_domain() == "DefaultDomain"


@pytest.mark.parametrize("value", [NULL, write_string("x"), collection("java.util.HashSet", NULL)])
async def test_values_of_a_wrong_kind_are_refused(
    agent: FakeAgent, client: JmxClient, value: bytes
) -> None:
    """A reply that is well-formed but not what the call returns is a protocol error."""
    agent.override = lambda request: (
        returned(value) if request.object_id in agent.sessions else None
    )
    (result,) = await client.read([(_STATE, ["Value"])])
    assert isinstance(result, JmxProtocolError)
    with pytest.raises(JmxProtocolError):
        await client.query("*:*")


async def test_a_forgotten_session_is_renewed(agent: FakeAgent, client: JmxClient) -> None:
    """The server no longer knows the session (idle): one new login, and the caller sees nothing."""
    await client.read([(_STATE, ["Value"])])
    agent.sessions.clear()
    assert await client.read([(_STATE, ["Value"])] * 3) == [{"Value": 3}] * 3
    assert client.logins == 2


async def test_a_restarted_server_is_found_again(agent: FakeAgent, client: JmxClient) -> None:
    """While it is down the port refuses; afterwards the next read logs in anew."""
    await client.read([(_STATE, ["Value"])])
    await agent.stop()
    with pytest.raises(JmxConnectError) as caught:
        await client.read([(_STATE, ["Value"])])
    assert caught.value.outcome == "refused"
    await agent.start()
    assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
    assert client.logins == 2


async def test_a_closed_connection_keeps_the_session(agent: FakeAgent, client: JmxClient) -> None:
    """Only TCP was lost: the session is taken up on a new connection, without a password."""
    await client.read([(_STATE, ["Value"])])
    lost = client._session._connection
    assert lost is not None
    await agent.hang_up()
    await lost.wait_closed()
    assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
    assert (client.logins, agent.connections) == (1, 2)


async def test_a_session_that_is_gone_at_once_is_told(agent: FakeAgent, client: JmxClient) -> None:
    """One new login and no more: a server that forgets each session is an error, not a loop."""
    gone = thrown(exception("java.rmi.NoSuchObjectException", message="no such object in table"))
    agent.override = answering(GET_ATTRIBUTES, gone)  # type: ignore[assignment]
    await client.default_domain()
    with pytest.raises(JmxSessionGone):
        await client.read([(_STATE, ["Value"])])
    assert client.logins == 2


async def test_silence_ends_by_time_and_drops_the_connection(agent: FakeAgent) -> None:
    """A late answer would be taken for the next one; the session itself is used again."""
    client = JmxClient("127.0.0.1", agent.port, timeout_s=0.2)
    await client.default_domain()
    agent.override = lambda _: b""
    with pytest.raises(JmxTimeout, match=r"no answer within 0\.2 s") as caught:
        await client.read([(_STATE, ["Value"])])
    assert caught.value.outcome == "timed_out"
    agent.override = lambda _: None
    assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
    assert (client.logins, agent.connections) == (1, 2)
    await client.close()


async def test_a_listener_that_never_answers_times_out() -> None:
    """A port that accepts and stays silent costs the time limit, not more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = JmxClient("127.0.0.1", listener.getsockname()[1], timeout_s=0.1)
        with pytest.raises(JmxTimeout):
            await client.default_domain()
        await client.close()


async def test_a_caller_that_gives_up_drops_the_connection(
    agent: FakeAgent, client: JmxClient
) -> None:
    """Cancelled calls do not pile up in a hung connection."""
    await client.default_domain()
    agent.override = lambda _: b""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.read([(_STATE, ["Value"])])
    assert client._session._connection is None
    agent.override = lambda _: None
    assert await client.default_domain() == "DefaultDomain"


async def test_concurrent_callers_take_turns(agent: FakeAgent, client: JmxClient) -> None:
    """Twenty tasks share one login and get their own answers."""
    results = await asyncio.gather(*(client.read([(_STATE, ["Value"])]) for _ in range(20)))
    assert results == [[{"Value": 3}]] * 20
    assert client.logins == 1


async def test_the_stub_gives_the_port_but_never_the_host(agent: FakeAgent) -> None:
    """A registry that names another host gets no password sent there: only its port is used."""
    async with FakeAgent(stub_host="192.0.2.1", stub_port=agent.port) as registry:
        client = JmxClient("127.0.0.1", registry.port, timeout_s=5)
        assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
        assert (registry.count(NEW_CLIENT), agent.count(NEW_CLIENT)) == (0, 1)
        await client.close()


@pytest.mark.parametrize(
    ("factory", "advice"),
    [
        ("javax.rmi.ssl.SslRMIClientSocketFactory", "configure tls"),
        ("org.example.OwnFactory", "use Java's own"),
    ],
)
async def test_a_server_that_wants_other_sockets_gets_no_password(
    agent: FakeAgent, factory: str, advice: str
) -> None:
    """Neither TLS that is not configured nor a factory of somebody's own: no login is sent."""
    agent.factory = factory
    client = JmxClient("127.0.0.1", agent.port, user="u", password=Secret(_PASSWORD), timeout_s=5)
    with pytest.raises(JmxTlsError, match=factory) as caught:
        await client.default_domain()
    assert caught.value.outcome == "tls"
    assert advice in str(caught.value)
    assert agent.count(NEW_CLIENT) == 0
    await client.close()


async def test_tls_is_never_given_up_silently(agent: FakeAgent) -> None:
    """A plain registry whose stub asks for plain sockets gets no login if tls is configured."""
    client = JmxClient(
        "127.0.0.1",
        agent.port,
        user="u",
        password=Secret(_PASSWORD),
        tls=ssl.create_default_context,
        registry_tls=False,
        timeout_s=5,
    )
    with pytest.raises(JmxTlsError, match=r"jmxremote\.ssl=true"):
        await client.default_domain()
    assert agent.count(LOOKUP) == 1
    assert agent.count(NEW_CLIENT) == 0
    await client.close()


async def test_login_with_a_password(agent: FakeAgent) -> None:
    """The right password opens a session."""
    agent.credentials = ("monitor", _PASSWORD)
    client = JmxClient(
        "127.0.0.1", agent.port, user="monitor", password=Secret(_PASSWORD), timeout_s=5
    )
    assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
    await client.close()


async def test_a_wrong_password_is_an_answer(agent: FakeAgent) -> None:
    """Refused at login: authentication, and the error does not tell the password."""
    agent.credentials = ("monitor", "other")
    client = JmxClient(
        "127.0.0.1", agent.port, user="monitor", password=Secret(_PASSWORD), timeout_s=5
    )
    with pytest.raises(JmxAuthenticationError) as caught:
        await client.default_domain()
    assert caught.value.outcome == "authentication"
    assert _PASSWORD not in f"{caught.value!r} {caught.value} {vars(client)}"
    await client.close()


async def test_an_access_rule_refuses_a_call(agent: FakeAgent, client: JmxClient) -> None:
    """The same Java exception after the login means: not allowed to this user."""
    denied = thrown(exception("x.Denied", "java.lang.SecurityException", message="Access denied!"))
    agent.override = answering(GET_ATTRIBUTES, denied)  # type: ignore[assignment]
    (result,) = await client.read([(_STATE, ["Value"])])
    assert isinstance(result, JmxAccessDenied)
    assert (result.outcome, client.logins) == ("authorisation", 1)


async def test_other_exceptions_are_told(agent: FakeAgent, client: JmxClient) -> None:
    """What the server threw is named by class and message."""
    failure = thrown(exception("java.lang.OutOfMemoryError", message="Java heap space"))
    agent.override = answering(DEFAULT_DOMAIN, failure)  # type: ignore[assignment]
    with pytest.raises(JmxRemoteError, match="OutOfMemoryError: Java heap space"):
        await client.default_domain()


async def test_an_unreadable_value_does_not_end_the_session(
    agent: FakeAgent, client: JmxClient
) -> None:
    """The reply with the unknown data and all behind it fail; the next read works again."""
    await client.default_domain()
    opaque = returned(b"\x73" + class_of("java.time.Ser", flags=4) + b"abc")
    agent.override = answering(GET_ATTRIBUTES, opaque, times=1)  # type: ignore[assignment]
    results = await client.read([(_STATE, ["Value"])] * 300)
    assert len(results) == 300
    assert all(isinstance(result, JmxProtocolError) for result in results)
    assert "unsupported type java.time.Ser" in str(results[0])
    assert await client.read([(_STATE, ["Value"])]) == [{"Value": 3}]
    assert client.logins == 1


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (LOOKUP, returned(NULL)),
        (LOOKUP, returned(stub(SERVER_ID, host="h", port=0))),
        (NEW_CLIENT, returned(object_array(1, NULL))),
        (LOOKUP, thrown(exception("java.rmi.NotBoundException", message="jmxrmi"))),
    ],
)
async def test_a_registry_without_jmx(
    agent: FakeAgent, client: JmxClient, operation: bytes, answer: bytes
) -> None:
    """An RMI port that is not a JMX agent's is an error with the outcome protocol."""
    agent.override = answering(operation, answer)  # type: ignore[assignment]
    with pytest.raises(JmxError) as caught:
        await client.default_domain()
    assert caught.value.outcome == "protocol"
    assert client._session._connection is None


async def test_close_ends_the_session(agent: FakeAgent) -> None:
    """The server is told, so it does not keep the session for two minutes; twice is harmless."""
    client = JmxClient("127.0.0.1", agent.port, timeout_s=5)
    await client.default_domain()
    await client.close()
    await client.close()
    assert (agent.sessions, agent.count(CLOSE)) == (set(), 1)
    assert await client.default_domain() == "DefaultDomain"
    await client.close()
    assert client.logins == 2


async def test_close_does_not_wait_for_a_hung_server(agent: FakeAgent) -> None:
    """A server that does not answer the farewell is left after the time limit."""
    client = JmxClient("127.0.0.1", agent.port, timeout_s=1.0)
    await client.default_domain()
    agent.override = lambda _: b""
    await client.close()
    assert client._session._connection is None


async def test_an_unknown_host_is_unreachable() -> None:
    """A name that does not resolve (reserved for that) is told as such."""
    client = JmxClient("host.invalid", 9999, timeout_s=5)
    with pytest.raises(JmxConnectError, match=r"host\.invalid:9999") as caught:
        await client.default_domain()
    assert caught.value.outcome == "unreachable"


def test_user_and_password_come_together() -> None:
    """Half a credential is a mistake of the caller."""
    with pytest.raises(ValueError, match="together"):
        JmxClient("h", 1, user="u")


def test_the_client_cannot_write() -> None:
    """Read-only by construction: the client knows no operation but these seven."""
    known = {LOOKUP, NEW_CLIENT, GET_ATTRIBUTES, GET_MBEAN_INFO, QUERY_NAMES, DEFAULT_DOMAIN, CLOSE}
    written = {value for value in vars(operations).values() if type(value) is bytes}
    assert {operation for operation in written if len(operation) == 12} == known
    assert {operation.hex()[8:] for operation in known} == {
        *("44154dc9d4e63bdf", "f0e074eaad0caea8", "5739d96a8b235c47", "993cd0f9b9817af6"),
        *("7f0473acb73677da", "53eda2d82e1bdfa8", "be2e5bc7809d0dcc"),
    }
