"""Our Kafka client against the secured cluster: every login, every wrong setting by its name."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.integration.clusters.pki import KEY_PASSWORD, Pki
from tests.integration.clusters.secured import (
    HEALER,
    READER,
    STRANGER,
    USERS,
    SecuredCluster,
)
from tests.integration.clusters.servers import CONTROLLER

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.tls import TlsContext, TlsFiles, TlsSettings

pytestmark = pytest.mark.cluster

TIMEOUT_S = 5.0
MARGIN_S = 0.5
"""How much later than its time limit a call may end on a machine that is busy."""

UP_LIMIT_S = 60.0
NO_SECRET = ("WRONG-S3cret", *(password for _, password in USERS), KEY_PASSWORD)


@dataclass(frozen=True, slots=True)
class Way:
    """How a listener of node 1 is spoken to. `identity`: the client certificate that is shown."""

    listener: str
    login: Callable[[SecuredCluster], kafka.SaslLogin] | None = None
    tls: bool = True
    identity: Callable[[Pki], Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    newest: ssl.TLSVersion | None = None

    def context(self, pki: Pki) -> TlsContext | None:
        """Return the TLS side of it."""
        if not self.tls:
            return None
        cert = None if self.identity is None else str(self.identity(pki))
        settings = TlsSettings(ca_file=str(pki.ca), cert_file=cert)
        given = {
            key: value(pki) if callable(value) else value for key, value in self.settings.items()
        }
        files = TlsFiles(replace(settings, **given))
        if self.newest is None:
            return files
        old = files()
        old.maximum_version = self.newest
        return lambda: old

    async def connect(self, cluster: SecuredCluster, node: str = "1") -> kafka.KafkaConnection:
        """Connect in this way. Raises KafkaWireError."""
        return await kafka.connect(
            *cluster.servers[node].address(self.listener),
            tls=self.context(cluster.pki),
            sasl=None if self.login is None else self.login(cluster),
            timeout_s=TIMEOUT_S,
        )

    async def ask(
        self, cluster: SecuredCluster, request: kafka.Request[Any], node: str = "1"
    ) -> Any:
        """Connect, ask, close. Raises KafkaWireError."""
        connection = await self.connect(cluster, node)
        try:
            return await connection.call(request, timeout_s=TIMEOUT_S)
        finally:
            await connection.close()


def scram(
    user: tuple[str, str] = HEALER, mechanism: str = "SCRAM-SHA-512"
) -> Callable[[SecuredCluster], kafka.SaslLogin]:
    """Log in by SCRAM."""
    return lambda _: kafka.ScramLogin(mechanism, user[0], Secret(user[1]))


def plain(user: tuple[str, str] = HEALER) -> Callable[[SecuredCluster], kafka.SaslLogin]:
    """Log in by PLAIN."""
    return lambda _: kafka.PlainLogin(user[0], Secret(user[1]))


def bearer(**claims: Any) -> Callable[[SecuredCluster], kafka.SaslLogin]:
    """Log in with a token of the healer."""

    def login(cluster: SecuredCluster) -> kafka.SaslLogin:
        async def fetch() -> Secret:
            return Secret(cluster.issuer.token(HEALER[0], **claims))

        return kafka.BearerLogin(fetch)

    return login


def healer(pki: Pki) -> Any:
    """Show the healer's certificate."""
    return pki.healer


SCRAM = Way("SCRAM", scram())
MTLS = Way("MTLS", identity=healer)
LOCKED = Way(
    "MTLS",
    identity=healer,
    settings={
        "key_file": lambda pki: str(pki.locked_key),
        "key_password": Secret(KEY_PASSWORD),
    },
)
GOOD = {
    "scram-sha-512": SCRAM,
    "scram-sha-256": Way("SCRAM", scram(mechanism="SCRAM-SHA-256")),
    "plain": Way("PLAIN", plain()),
    "oauthbearer": Way("OAUTH", bearer()),
    "client certificate": MTLS,
    "client certificate, TLS 1.2": replace(MTLS, newest=ssl.TLSVersion.TLSv1_2),
    "client certificate, locked key": LOCKED,
}


@pytest.mark.parametrize("way", GOOD.values(), ids=GOOD)
async def test_every_login_works(secured_cluster: SecuredCluster, way: Way) -> None:
    """Whoever logs in as the healer sees all nodes, the topic, and the quorum with its voters."""
    for node in secured_cluster.servers:
        connection = await way.connect(secured_cluster, node)
        try:
            metadata = await connection.call(kafka.Metadata(), timeout_s=TIMEOUT_S)
            quorum = await connection.call(kafka.DescribeQuorum(), timeout_s=TIMEOUT_S)
            configs = kafka.DescribeConfigs.of_topics(("orders",))
            settings = await connection.call(configs, timeout_s=TIMEOUT_S)
        finally:
            await connection.close()
        ports = {(broker.id, broker.port) for broker in metadata.brokers}
        servers = secured_cluster.servers.values()
        assert ports == {(int(one.id), one.ports[way.listener]) for one in servers}
        assert "orders" in {topic.name for topic in metadata.topics}
        assert {voter.id for voter in quorum.voters or ()} == {1, 2, 3}
        assert [one.integer("min.insync.replicas") for one in settings.results] == [2]


async def test_a_controller_answers_to_a_client_certificate(
    secured_cluster: SecuredCluster,
) -> None:
    """With mTLS the controllers' own listeners tell the quorum: one leader, the others say no."""
    way = replace(MTLS, listener=CONTROLLER)
    replies = [
        await way.ask(secured_cluster, kafka.DescribeQuorum(), node)
        for node in secured_cluster.servers
    ]
    assert sorted(bool(reply.error) for reply in replies) == [False, True, True]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A wrong setting: how it is tried, what must come out, and words that tell what to do."""

    way: Way
    outcome: str
    words: str
    request: kafka.Request[Any] = field(default_factory=kafka.Metadata)


def shows(listener: str, which: str, newest: ssl.TLSVersion | None = None) -> Way:
    """Show the client certificate of this name (of `Pki`)."""
    return Way(listener, identity=lambda pki: getattr(pki, which), newest=newest)


OLD = ssl.TLSVersion.TLSv1_2
FOREIGN_CA = {"ca_file": lambda pki: str(pki.foreign_ca)}
WRONGS = {
    "scram, wrong password": Wrong(
        Way("SCRAM", scram((HEALER[0], "WRONG-S3cret"))), "authentication", "correct sasl.password"
    ),
    "scram, unknown user": Wrong(
        Way("SCRAM", scram(("nobody", "WRONG-S3cret"))), "authentication", "'nobody' has no"
    ),
    "plain, wrong password": Wrong(
        Way("PLAIN", plain((HEALER[0], "WRONG-S3cret"))), "authentication", "another password"
    ),
    "plain, unknown user": Wrong(
        Way("PLAIN", plain(("nobody", "WRONG-S3cret"))), "authentication", "'nobody' is unknown"
    ),
    "wrong mechanism": Wrong(Way("SCRAM", plain()), "authentication", "it takes SCRAM-SHA-"),
    "token has ended": Wrong(
        Way("OAUTH", bearer(lives_s=-120)), "authentication", "the token has expired"
    ),
    "token for another audience": Wrong(
        Way("OAUTH", bearer(audience="elsewhere")), "authentication", "audience"
    ),
    "server certificate expired": Wrong(Way("EXPIRED"), "tls", "has expired; renew it"),
    "server certificate not yet valid": Wrong(Way("FUTURE"), "tls", "compare the clocks"),
    "server certificate of another host": Wrong(Way("OTHERHOST"), "tls", "set tls.server_name"),
    "server certificate of a foreign authority": Wrong(Way("FOREIGN"), "tls", "tls.ca_file"),
    "our authority is another": Wrong(
        Way("SCRAM", scram(), settings=FOREIGN_CA), "tls", "tls.ca_file"
    ),
    "no client certificate": Wrong(Way("MTLS"), "tls", "set tls.cert_file"),
    "no client certificate, TLS 1.2": Wrong(Way("MTLS", newest=OLD), "tls", "set tls.cert_file"),
    "no client certificate, controller": Wrong(Way(CONTROLLER), "tls", "set tls.cert_file"),
    "client certificate expired": Wrong(shows("MTLS", "expired"), "tls", "look at tls.cert_file"),
    "client certificate expired, TLS 1.2": Wrong(
        shows("MTLS", "expired", OLD), "tls", "look at tls.cert_file"
    ),
    "client certificate foreign": Wrong(shows("MTLS", "foreign"), "tls", "look at tls.cert_file"),
    "client certificate foreign, TLS 1.2": Wrong(
        shows("MTLS", "foreign", OLD), "tls", "look at tls.cert_file"
    ),
    "plain client, TLS port": Wrong(Way("MTLS", tls=False), "tls", "set tls"),
    "plain client with login, TLS port": Wrong(Way("SCRAM", scram(), tls=False), "tls", "set tls"),
    "TLS client, plain port": Wrong(Way("OPEN"), "tls", "remove tls"),
    "no login where one is wanted": Wrong(Way("SCRAM"), "closed", "SASL"),
    "login where none is wanted": Wrong(
        Way("MTLS", scram(), identity=healer), "authentication", "remove sasl"
    ),
    "broker's request at a controller": Wrong(
        replace(MTLS, listener=CONTROLLER), "wrong_listener", "ask the node's broker listener"
    ),
    "controller's question at a broker": Wrong(
        MTLS,
        "wrong_listener",
        "compare the port",
        kafka.DescribeCluster(kafka.EndpointType.CONTROLLERS),
    ),
    "no right to describe the cluster": Wrong(
        Way("SCRAM", scram(STRANGER)),
        "authorisation",
        "grant our user DESCRIBE",
        kafka.DescribeQuorum(),
    ),
}


@pytest.mark.parametrize("wrong", WRONGS.values(), ids=WRONGS)
async def test_every_wrong_setting_is_named(secured_cluster: SecuredCluster, wrong: Wrong) -> None:
    """A wrong setting of ours is told as what it is, in time, with what to do, without a secret."""
    with pytest.raises(kafka.KafkaWireError) as told:
        async with asyncio.timeout(TIMEOUT_S + MARGIN_S):
            await wrong.way.ask(secured_cluster, wrong.request)
    text = str(told.value)
    where = "{}:{}".format(*secured_cluster.servers["1"].address(wrong.way.listener))
    assert (told.value.outcome, wrong.words in text) == (wrong.outcome, True), text
    assert where in text
    assert not [secret for secret in NO_SECRET if secret in text + repr(told.value)]


async def test_a_listener_that_cut_us_off_says_that_it_wants_a_login(
    secured_cluster: SecuredCluster,
) -> None:
    """Asked again without a login, a listener with SASL is told from one that merely closed."""
    address = secured_cluster.servers["1"].address("SCRAM")
    tls = SCRAM.context(secured_cluster.pki)
    told = await kafka.login_wanted(*address, tls=tls, timeout_s=TIMEOUT_S)
    assert told is not None
    assert (told.outcome, "set sasl" in str(told)) == ("authentication", True)
    mutual = secured_cluster.servers["1"].address("MTLS")
    tls = MTLS.context(secured_cluster.pki)
    assert await kafka.login_wanted(*mutual, tls=tls, timeout_s=TIMEOUT_S) is None


UNVERIFIED = ("EXPIRED", "FUTURE", "OTHERHOST", "FOREIGN")


@pytest.mark.parametrize("listener", UNVERIFIED)
async def test_without_verification_it_answers(
    secured_cluster: SecuredCluster, listener: str
) -> None:
    """`verify: false` accepts each wrong certificate: the node behind it is well."""
    way = Way(listener, settings={"verify": False})
    connection = await way.connect(secured_cluster)
    assert connection.apis
    await connection.close()


async def test_the_certificates_own_name_can_be_given(secured_cluster: SecuredCluster) -> None:
    """A certificate of another name passes when `server_name` says that name."""
    address = secured_cluster.servers["1"].address("OTHERHOST")
    tls = Way("OTHERHOST").context(secured_cluster.pki)
    connection = await kafka.connect(
        *address, tls=tls, server_name="elsewhere.test", timeout_s=TIMEOUT_S
    )
    assert connection.apis
    await connection.close()


async def test_a_stranger_sees_an_empty_cluster(secured_cluster: SecuredCluster) -> None:
    """Without a right the metadata have no topic and no error: whoever reads them is blind."""
    way = Way("SCRAM", scram(STRANGER))
    metadata = await way.ask(secured_cluster, kafka.Metadata())
    assert (len(metadata.brokers), metadata.topics) == (3, ())


async def test_a_reader_is_told_no_configuration(secured_cluster: SecuredCluster) -> None:
    """Without DESCRIBE_CONFIGS the topics are seen, their settings are not: None, not a default."""
    way = Way("SCRAM", scram(READER))
    metadata = await way.ask(secured_cluster, kafka.Metadata())
    assert "orders" in {topic.name for topic in metadata.topics}
    reply = await way.ask(secured_cluster, kafka.DescribeConfigs.of_topics(("orders",)))
    (one,) = reply.results
    assert one.error
    assert one.integer("min.insync.replicas") is None


async def test_a_sign_of_life_needs_no_login(secured_cluster: SecuredCluster) -> None:
    """ApiVersions is answered before a login, so that no rotated password looks like a death."""
    way = Way("SCRAM")
    connection = await kafka.connect(
        *secured_cluster.servers["1"].address(way.listener),
        tls=way.context(secured_cluster.pki),
        greet=False,
        timeout_s=TIMEOUT_S,
    )
    for _ in range(3):
        await connection.ping(timeout_s=TIMEOUT_S)
    assert connection.lost is None
    await connection.close()


@pytest.fixture
def stopped(secured_cluster: SecuredCluster) -> Iterator[SecuredCluster]:
    """The secured cluster while the process of node 1 is held; whole again afterwards."""
    secured_cluster.fault("1", "STOP")
    yield secured_cluster
    secured_cluster.mend(timeout_s=UP_LIMIT_S)


async def test_a_hang_is_not_taken_for_bad_tls(stopped: SecuredCluster) -> None:
    """A held process is silent behind TLS, too: timed out, in time, whatever the login."""
    began = asyncio.get_running_loop().time()
    ways = [SCRAM, MTLS, Way("PLAIN", plain()), replace(MTLS, listener=CONTROLLER)]
    told = await asyncio.gather(
        *(way.ask(stopped, kafka.Metadata()) for way in ways), return_exceptions=True
    )
    took_s = asyncio.get_running_loop().time() - began
    assert [getattr(error, "outcome", error) for error in told] == ["timed_out"] * len(ways)
    assert all("may hang" in str(error) for error in told), told
    assert took_s < TIMEOUT_S + MARGIN_S
