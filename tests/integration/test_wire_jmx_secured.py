"""The client against Java's own agent in every state of security: right, wrong, hung, killed."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.jmx_agents import MONITOR, STRANGER, Agent, Agents, compiled

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx import (
    JmxAuthenticationError,
    JmxClient,
    JmxConnectError,
    JmxError,
    JmxSetupError,
    JmxTimeout,
    JmxTlsError,
)

_RUNTIME = ("java.lang:type=Runtime", ["SpecName"])
_WRONG_PASSWORD = "WRONG-S3cret"
_LIMIT_S = 10.0
_SHORT_S = 1.0


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """The JVMs of this module."""
    folder = tmp_path_factory.mktemp("jmx")
    made = Agents(compiled("Idle", folder), folder)
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class Way:
    """How an agent is spoken to. `ca`, `own`: files; None: plain, without a certificate of ours."""

    user: tuple[str, str] | None = MONITOR
    ca: str | None = "ours-ca.pem"
    own: str | None = None
    registry_tls: bool = True
    server_name: str | None = None
    version: ssl.TLSVersion | None = None

    def client(
        self, agents: Agents, agent: Agent, *, timeout_s: float = _LIMIT_S, **options: Any
    ) -> JmxClient:
        """Return a client."""
        user, password = self.user or (None, None)
        return JmxClient(
            "127.0.0.1",
            agent.port,
            user=user,
            password=None if password is None else Secret(password),
            tls=None if self.ca is None else self._context(agents),
            registry_tls=self.registry_tls,
            server_name=self.server_name,
            timeout_s=timeout_s,
            **options,
        )

    def _context(self, agents: Agents) -> Callable[[], ssl.SSLContext]:
        def made() -> ssl.SSLContext:
            context = ssl.create_default_context(cafile=str(agents.files.path(self.ca or "")))
            if self.own is not None:
                context.load_cert_chain(agents.files.path(self.own))
            if self.version is not None:
                context.minimum_version = context.maximum_version = self.version
            return context

        return made


async def read(client: JmxClient) -> object:
    """Read one attribute and close the client. Raises JmxError."""
    try:
        (answer,) = await client.read([_RUNTIME])
    finally:
        await client.close()
    if isinstance(answer, JmxError):
        raise answer
    return answer["SpecName"]


_TLS_1_2, _TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
_RIGHT = {
    "plain, no login": ("open", Way(None, ca=None)),
    "plain, login": ("plain", Way(ca=None)),
    "a login that nobody wants": ("open", Way(ca=None)),
    "TLS 1.2": ("guarded", Way(version=_TLS_1_2)),
    "TLS 1.3": ("guarded", Way(version=_TLS_1_3)),
    "plain registry": ("plain registry", Way(registry_tls=False)),
    "client certificate, TLS 1.2": ("mutual", Way(own="ours-client.pem", version=_TLS_1_2)),
    "client certificate, TLS 1.3": ("mutual", Way(own="ours-client.pem", version=_TLS_1_3)),
    "the name in the certificate": ("other host", Way(server_name="other.test")),
}


@pytest.mark.parametrize(("name", "way"), _RIGHT.values(), ids=_RIGHT)
async def test_every_agent_is_read(agents: Agents, name: str, way: Way) -> None:
    """With the right settings the attribute comes, although the stub names another host."""
    value = await read(way.client(agents, agents.agent(name)))
    assert value == "Java Virtual Machine Specification"


_WRONG: dict[str, tuple[str, Way, type[JmxError], str]] = {
    "wrong password": (
        "guarded",
        Way((MONITOR[0], _WRONG_PASSWORD)),
        JmxAuthenticationError,
        r"Invalid username or password; compare user and password with .*password\.file",
    ),
    "wrong user": (
        "guarded",
        Way(("nobody", _WRONG_PASSWORD)),
        JmxAuthenticationError,
        r"Invalid username or password; compare user and password with .*password\.file",
    ),
    "no login": (
        "guarded",
        Way(None),
        JmxAuthenticationError,
        "Credentials required; it wants a login: configure user and password",
    ),
    "no login, plain": ("plain", Way(None, ca=None), JmxAuthenticationError, "configure user"),
    "no rights": (
        "guarded",
        Way(STRANGER),
        JmxAuthenticationError,
        r"No entries found in the access file .* and the user with \.access\.file",
    ),
    "plain client on TLS": (
        "guarded",
        Way(ca=None),
        JmxTlsError,
        "speaks TLS, and plain RMI is configured for it here; configure tls",
    ),
    "plain client, plain registry, TLS server": (
        "plain registry",
        Way(ca=None),
        JmxTlsError,
        "its JMX server speaks TLS .*SslRMIClientSocketFactory.* no login was sent",
    ),
    "plain registry expected": (
        "guarded",
        Way(registry_tls=False),
        JmxTlsError,
        "speaks TLS, .*registry_tls",
    ),
    "TLS registry expected": (
        "plain registry",
        Way(),
        JmxTlsError,
        "speaks plain RMI, and TLS is configured for it here; .*registry_tls",
    ),
    "TLS client on a plain port": (
        "plain",
        Way(),
        JmxTlsError,
        r"speaks plain RMI, .* set com\.sun\.management\.jmxremote\.ssl",
    ),
    "TLS client, plain registry, plain server": (
        "plain",
        Way(registry_tls=False),
        JmxTlsError,
        r"its JMX server speaks plain RMI, .* no login was sent",
    ),
    "unknown authority": (
        "guarded",
        Way(ca="foreign-ca.pem"),
        JmxTlsError,
        "certificate is not accepted: .*(self.signed|local issuer)",
    ),
    "expired certificate": ("expired", Way(), JmxTlsError, "certificate has expired"),
    "another host's certificate": ("other host", Way(), JmxTlsError, "IP address mismatch"),
    "no client certificate, TLS 1.2": (
        "mutual",
        Way(version=_TLS_1_2),
        JmxTlsError,
        "alert bad certificate",
    ),
    "no client certificate, TLS 1.3": (
        "mutual",
        Way(version=_TLS_1_3),
        JmxTlsError,
        "alert (bad certificate|certificate required)",
    ),
    "unknown client certificate": (
        "mutual",
        Way(own="foreign-client.pem"),
        JmxTlsError,
        "alert (certificate unknown|unknown ca|bad certificate)",
    ),
    "our own file is not there": (
        "guarded",
        Way(own="missing.pem"),
        JmxSetupError,
        "not asked: .*No such file",
    ),
    "a name that nobody can have": (
        "guarded",
        Way(server_name=".x"),
        JmxSetupError,
        "not asked: .*set server_name",
    ),
}


@pytest.mark.parametrize(("name", "way", "kind", "words"), _WRONG.values(), ids=_WRONG)
async def test_every_wrong_setting_has_its_class_and_words(
    agents: Agents, name: str, way: Way, kind: type[JmxError], words: str
) -> None:
    """Each is told as what it is, says what to do, and shows no password."""
    with pytest.raises(kind, match=words) as told:
        await read(way.client(agents, agents.agent(name)))
    assert type(told.value) is kind
    for password in (MONITOR[1], STRANGER[1], _WRONG_PASSWORD):
        assert password not in f"{told.value!r} {told.value}"


async def test_the_rmi_port_can_be_given(agents: Agents) -> None:
    """Behind a port that was moved on the way, the stub's port is of no use."""
    agent = agents.agent("plain registry")
    way = Way(registry_tls=False)
    assert await read(way.client(agents, agent, rmi_port=agent.rmi_port))
    with pytest.raises(JmxConnectError, match=r"jmxremote\.rmi\.port at the node") as told:
        await read(way.client(agents, agent, rmi_port=1))
    assert told.value.outcome == "refused"


async def test_a_password_may_be_rotated(agents: Agents) -> None:
    """Exchanged in the agent's file: a session goes on, the next login needs the new one."""
    agent, new = agents.agent("rotated"), "new-S3cret"
    warm = Way(ca=None).client(agents, agent)
    await warm.read([_RUNTIME])
    agents.files.set_users("rotated.users", (MONITOR[0], new))
    assert await read(Way((MONITOR[0], new), ca=None).client(agents, agent))
    with pytest.raises(JmxAuthenticationError):
        await read(Way(ca=None).client(agents, agent))
    assert await warm.read([_RUNTIME])
    assert warm.logins == 1
    await warm.close()


@pytest.fixture
def held(agents: Agents) -> Iterator[Agent]:
    """An agent that goes on when the test has ended, whatever was done to it."""
    agent = agents.agent("held")
    yield agent
    agent.signal(signal.SIGCONT)


async def test_a_hang_is_not_taken_for_bad_tls(agents: Agents, held: Agent) -> None:
    """SIGSTOP: timed out at the limit, warm and cold; later the session is used again."""
    warm = Way().client(agents, held, timeout_s=_SHORT_S)
    await warm.read([_RUNTIME], timeout_s=_LIMIT_S)
    held.signal(signal.SIGSTOP)
    with pytest.raises(JmxTimeout, match="the call was sent; the process may hang"):
        await warm.read([_RUNTIME])
    with pytest.raises(JmxTimeout, match="no TLS handshake followed; the process may hang"):
        await warm.read([_RUNTIME])
    with pytest.raises(JmxTimeout, match="no TLS handshake followed") as told:
        await read(Way().client(agents, held, timeout_s=_SHORT_S))
    assert told.value.outcome == "timed_out"
    held.signal(signal.SIGCONT)
    assert await warm.read([_RUNTIME], timeout_s=_LIMIT_S)
    assert warm.logins == 1
    await warm.close()


async def test_close_leaves_a_hung_agent(agents: Agents, held: Agent) -> None:
    """Neither a farewell nor a call that is under way keeps close() for long."""
    client = Way().client(agents, held, timeout_s=60)
    await client.read([_RUNTIME])
    held.signal(signal.SIGSTOP)
    reading = asyncio.create_task(client.read([_RUNTIME]))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(_LIMIT_S):
        await client.close()
        with pytest.raises(JmxConnectError, match="closed by us"):
            await reading


@pytest.mark.parametrize("version", [_TLS_1_2, _TLS_1_3])
async def test_a_killed_agent_is_noticed_at_once(agents: Agents, version: ssl.TLSVersion) -> None:
    """kill -9 of an idle agent calls back; the next read is refused; a restart is one new login."""
    agent = agents.agent("lost")
    lost: asyncio.Queue[JmxError] = asyncio.Queue()
    client = Way(version=version).client(agents, agent)
    client.on_lost(lost.put_nowait)
    await client.read([_RUNTIME])
    agent.kill()
    error = await asyncio.wait_for(lost.get(), _LIMIT_S)
    assert error.outcome in {"closed", "reset"}
    with pytest.raises(JmxConnectError) as told:
        await client.read([_RUNTIME])
    assert told.value.outcome == "refused"
    agent.start()
    answers = await client.read([_RUNTIME] * 300)
    assert all(isinstance(answer, dict) for answer in answers)
    assert client.logins == 2
    await client.close()
    assert lost.empty()
