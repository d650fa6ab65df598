"""Our JMX client against guarded agents (password, TLS, TLS registry): right, and wrongly set."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.integration.clusters.pki import Pki
from tests.integration.clusters.secured import MONITOR, SecuredCluster
from tests.integration.clusters.servers import JMX

from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx import JmxClient, JmxError
from kafka_self_healing.wire.tls import TlsFiles, TlsSettings, tls_reason

pytestmark = pytest.mark.cluster

TIMEOUT_S = 5.0
MARGIN_S = 0.5
UP_LIMIT_S = 60.0
STATE = ("kafka.server:type=KafkaServer,name=BrokerState", ["Value"])
WRONG_PASSWORD = "WRONG-S3cret"


@dataclass(frozen=True, slots=True)
class Way:
    """How an agent is spoken to. `ca`: the authority that is trusted; None: plain."""

    user: tuple[str, str] | None = MONITOR
    ca: Callable[[Pki], Any] | None = lambda pki: pki.ca
    options: dict[str, Any] = field(default_factory=dict)

    def client(self, address: tuple[str, int], pki: Pki) -> JmxClient:
        """Make a client of the agent at `address`."""
        tls: Callable[[], ssl.SSLContext] | None = None
        if self.ca is not None:
            tls = TlsFiles(TlsSettings(ca_file=str(self.ca(pki))))
        user, password = self.user or (None, None)
        return JmxClient(
            *address,
            user=user,
            password=None if password is None else Secret(password),
            tls=tls,
            explain=tls_reason,
            timeout_s=TIMEOUT_S,
            **self.options,
        )

    async def state(self, cluster: SecuredCluster, node: str = "1") -> Any:
        """Return the BrokerState. Raises JmxError."""
        client = self.client(cluster.servers[node].address(JMX), cluster.pki)
        try:
            (read,) = await client.read([STATE])
        finally:
            await client.close()
        assert not isinstance(read, JmxError), read
        return read["Value"]


async def test_every_agent_tells_its_state(secured_cluster: SecuredCluster) -> None:
    """With user, password and the authority each node's JVM says that its broker runs."""
    states = [await Way().state(secured_cluster, node) for node in secured_cluster.servers]
    assert states == [3, 3, 3]


WRONGS = {
    "wrong password": (Way((MONITOR[0], WRONG_PASSWORD)), "authentication", "password"),
    "unknown user": (Way(("nobody", WRONG_PASSWORD)), "authentication", "password"),
    "no login": (Way(None), "authentication", "user"),
    "plain client": (Way(ca=None), "tls", "TLS"),
    "our authority is another": (Way(ca=lambda pki: pki.foreign_ca), "tls", "tls.ca_file"),
    "plain registry expected": (Way(options={"registry_tls": False}), "tls", "registry"),
    "another name expected": (
        Way(options={"server_name": "elsewhere.test"}),
        "tls",
        "elsewhere.test",
    ),
}


@pytest.mark.parametrize(("way", "outcome", "words"), WRONGS.values(), ids=WRONGS)
async def test_every_wrong_setting_is_named(
    secured_cluster: SecuredCluster, way: Way, outcome: str, words: str
) -> None:
    """A wrong setting of ours is told as what it is, in time, and without a password."""
    with pytest.raises(JmxError) as told:
        async with asyncio.timeout(TIMEOUT_S + MARGIN_S):
            await way.state(secured_cluster)
    text = str(told.value)
    where = "{}:{}".format(*secured_cluster.servers["1"].address(JMX))
    assert (told.value.outcome, words in text, where in text) == (outcome, True, True), text
    assert MONITOR[1] not in text
    assert WRONG_PASSWORD not in text


async def test_a_plain_agent_is_told_from_one_that_died(
    secured_cluster: SecuredCluster, cluster: EmbeddedCluster
) -> None:
    """TLS that is set for a plain agent is named as that, and no password is sent to it."""
    node = cluster.nodes[1]
    client = Way().client((node.host, node.jmx_port), secured_cluster.pki)
    with pytest.raises(JmxError) as told:
        await client.read([STATE])
    await client.close()
    assert (told.value.outcome, "plain" in str(told.value)) == ("tls", True), told.value


@pytest.fixture
def stopped(secured_cluster: SecuredCluster) -> Iterator[SecuredCluster]:
    """The secured cluster while the process of node 2 is held; whole again afterwards."""
    secured_cluster.fault("2", "STOP")
    yield secured_cluster
    secured_cluster.mend(timeout_s=UP_LIMIT_S)


async def test_a_hang_is_not_taken_for_bad_tls(stopped: SecuredCluster) -> None:
    """The agent of a held process is silent: timed out, in time."""
    with pytest.raises(JmxError) as told:
        async with asyncio.timeout(TIMEOUT_S + MARGIN_S):
            await Way().state(stopped, "2")
    assert (told.value.outcome, "may hang" in str(told.value)) == ("timed_out", True), told.value
