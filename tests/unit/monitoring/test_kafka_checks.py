"""The Kafka checks and the listener check on guarded listeners, against the fake node."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from kio.index import load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_writer
from tests.contracts.fake_kafka import (
    BROKER_APIS,
    HEALER,
    HOST,
    STRANGER,
    FakeKafka,
    guarded_node,
)
from tests.contracts.kafka_access import TOPIC
from tests.integration.clusters.pki import Pki, make_pki
from tests.unit.monitoring.fake_eyes import make_cluster

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.access import (
    ListenerAccess,
    SaslConfig,
    SaslMechanism,
    TlsConfig,
    ZooKeeperAccess,
)
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome, PeersFact, QuorumFact
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks.kafka import KafkaMonitoringPlugin
from kafka_self_healing.monitoring.checks.socket import SocketMonitoringPlugin
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret

COMBINED = frozenset({Role.BROKER, Role.CONTROLLER})
CONFIGS, MOVES, PAGES = 32, 46, 75
LIMIT_S = 5.0
NO_WAIT = dt.timedelta()
SOON_S = 0.3


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of all kinds."""
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture
def guarded(pki: Pki) -> Iterator[FakeKafka]:
    """A guarded node that also tells settings, moves and eligible leaders."""
    made = guarded_node(pki)
    more = {CONFIGS: (1, 1), MOVES: (0, 0), PAGES: (0, 0)}
    made.listeners["SCRAM"] = replace(made.listeners["SCRAM"], apis={**BROKER_APIS, **more})
    made.more = {
        CONFIGS: lambda user: configs(0 if user == HEALER[0] else 29),
        MOVES: lambda user: b"\0" + moves(),
        PAGES: lambda user: b"\0" + pages(),
    }
    with made.running() as node:
        yield node


def context(
    kind: Kind, timeout_s: float = LIMIT_S, on_hint: Callable[[str], None] = lambda why: None
) -> LookContext:
    """Return the context of one look."""
    return LookContext(
        kind=kind,
        cluster=make_cluster(),
        timeout_s=timeout_s,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=None,  # type: ignore[arg-type]  # none of these checks asks the host
        service=None,
        on_hint=on_hint,
    )


def node_of(
    guarded: FakeKafka,
    pki: Pki,
    listener: str = "SCRAM",
    login: SaslConfig | None = None,
    **more: Any,
) -> NodeConfig:
    """Return the node by one listener, with TLS and perhaps a login."""
    tls = TlsConfig(ca_file=str(pki.ca))
    shown = replace(tls, cert_file=str(pki.healer))
    given: dict[str, Any] = {
        "kafka_port": guarded.ports[listener],
        "controller_port": guarded.ports["CONTROLLER"],
        "kafka": ListenerAccess(tls, login),
        "controller": ListenerAccess(shown),
        **more,
    }
    return NodeConfig("1", COMBINED, host=HOST, **given)


def by_scram(user: tuple[str, str] = HEALER) -> SaslConfig:
    """Return a login."""
    return SaslConfig(SaslMechanism.SCRAM_SHA_512, user[0], Secret(user[1]))


@asynccontextmanager
async def eyes() -> AsyncIterator[KafkaMonitoringPlugin]:
    """Open the Kafka check, and close it again."""
    plugin = KafkaMonitoringPlugin()
    try:
        yield plugin
    finally:
        await plugin.close()


async def see(
    plugin: KafkaMonitoringPlugin | SocketMonitoringPlugin,
    node: NodeConfig,
    kind: Kind,
    timeout_s: float = LIMIT_S,
) -> CheckResult:
    """Look once."""
    (result,) = await plugin.check(node, context(kind, timeout_s))
    return result


def written(api: int, version: int, /, **fields: Any) -> bytes:
    """Return a reply's body as the independent codec writes it."""
    entity = load_response_schema(api, version)(**fields)
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def part_of(api: int, version: int, class_: str, /, **fields: Any) -> Any:
    """Return a part of a reply."""
    module = __import__(load_response_schema(api, version).__module__, fromlist=[class_])
    return getattr(module, class_)(**fields)


def configs(error: int) -> bytes:
    """min.insync.replicas of the topic, or the error of who may not read it."""
    value = part_of(
        CONFIGS,
        1,
        "DescribeConfigsResourceResult",
        name="min.insync.replicas",
        value="2",
        read_only=False,
        config_source=5,
        is_sensitive=False,
        synonyms=(),
    )
    result = part_of(
        CONFIGS,
        1,
        "DescribeConfigsResult",
        error_code=ErrorCode(error),
        error_message=None,
        resource_type=2,
        resource_name=TOPIC,
        configs=() if error else (value,),
    )
    return written(CONFIGS, 1, throttle_time=NO_WAIT, results=(result,))


def moves() -> bytes:
    """Nothing is being moved."""
    none = ErrorCode(0)
    return written(MOVES, 0, throttle_time=NO_WAIT, error_code=none, error_message=None, topics=())


def pages() -> bytes:
    """Broker 2 may lead the partition without loss."""
    part = part_of(
        PAGES,
        0,
        "DescribeTopicPartitionsResponsePartition",
        error_code=ErrorCode(5),
        partition_index=0,
        leader_id=-1,
        replica_nodes=(1, 2),
        eligible_leader_replicas=(2,),
    )
    topic = part_of(
        PAGES,
        0,
        "DescribeTopicPartitionsResponseTopic",
        error_code=ErrorCode(0),
        name=TOPIC,
        topic_id=None,
        partitions=(part,),
    )
    return written(PAGES, 0, throttle_time=NO_WAIT, topics=(topic,))


@pytest.mark.parametrize("user", [HEALER, (HEALER[0], "wrong"), None])
async def test_a_sign_of_life_needs_no_login(
    guarded: FakeKafka, pki: Pki, user: tuple[str, str] | None
) -> None:
    """With a right, a wrong and no password the node answers, look after look, one connection."""
    node = node_of(guarded, pki, login=by_scram(user) if user else None)
    async with eyes() as plugin:
        outcomes = [(await see(plugin, node, Kind.PROTOCOL)).outcome for _ in range(5)]
    assert outcomes == [Outcome.ANSWERED] * 5
    assert guarded.logins == 0


async def test_a_lost_warm_connection_is_a_hint(guarded: FakeKafka, pki: Pki) -> None:
    """When a guarded node cuts the warm connection, all is looked at at once."""
    hints: asyncio.Queue[str] = asyncio.Queue()
    node = node_of(guarded, pki, login=by_scram())
    async with eyes() as plugin:
        await plugin.check(node, context(Kind.PROTOCOL, on_hint=hints.put_nowait))
        guarded.cut()
        hint = await asyncio.wait_for(hints.get(), LIMIT_S)
    assert "its warm connection was lost" in hint
    assert hints.empty()


async def test_peers_tell_topics_and_settings(guarded: FakeKafka, pki: Pki) -> None:
    """Logged in, a witness tells brokers, topics, min.insync.replicas; ELR only where it counts."""
    async with eyes() as plugin:
        fact = (await see(plugin, node_of(guarded, pki, login=by_scram()), Kind.PEERS)).fact
    assert isinstance(fact, PeersFact)
    (topic,) = fact.topics or ()
    assert (fact.listed, topic.name, topic.min_isr) == (("1",), TOPIC, 2)
    (part,) = topic.partitions or ()
    assert (part.leader, part.isr, part.reassigning, part.elr) == ("1", ("1",), False, None)


async def test_who_may_lead_is_told_of_leaderless_partitions(guarded: FakeKafka, pki: Pki) -> None:
    """A partition without leader brings its eligible replicas, and no longer when it is led."""
    node = node_of(guarded, pki, login=by_scram())
    found = []
    async with eyes() as plugin:
        for leader in (-1, -1, 1):
            guarded.leader = leader
            fact = (await see(plugin, node, Kind.PEERS)).fact
            assert isinstance(fact, PeersFact)
            found += [
                (part.leader, part.elr) for t in fact.topics or () for part in t.partitions or ()
            ]
    assert found == [("-1", ("2",)), ("-1", ("2",)), ("1", None)]


async def test_settings_that_may_not_be_read_are_not_made_up(guarded: FakeKafka, pki: Pki) -> None:
    """Without DESCRIBE_CONFIGS min.insync.replicas is None, and the rest is told."""
    guarded.users["reader"] = "r"
    node = node_of(guarded, pki, login=by_scram(("reader", "r")))
    async with eyes() as plugin:
        fact = (await see(plugin, node, Kind.PEERS)).fact
    assert isinstance(fact, PeersFact)
    assert [(topic.name, topic.min_isr) for topic in fact.topics or ()] == [(TOPIC, None)]


async def test_a_user_without_rights_is_blind(guarded: FakeKafka, pki: Pki) -> None:
    """No topic and no error: the fact has an empty list, which is read as blind, never as well."""
    node = node_of(guarded, pki, login=by_scram(STRANGER))
    async with eyes() as plugin:
        seen = await see(plugin, node, Kind.PEERS)
    assert isinstance(seen.fact, PeersFact)
    assert (seen.outcome, seen.fact.topics) == (Outcome.ANSWERED, ())


async def test_a_right_that_is_missing_is_named(guarded: FakeKafka, pki: Pki) -> None:
    """A controller that does not let us describe the quorum: `authorisation`, with the right."""
    access = ListenerAccess(TlsConfig(ca_file=str(pki.ca)), by_scram(STRANGER))
    port = guarded.ports["SCRAM"]
    node = node_of(guarded, pki, controller_port=port, controller=access)
    async with eyes() as plugin:
        seen = await see(plugin, node, Kind.QUORUM)
    assert seen.outcome is Outcome.AUTHORISATION
    assert "grant our user DESCRIBE" in seen.error


async def test_a_wrong_login_is_told_and_not_repeated(guarded: FakeKafka, pki: Pki) -> None:
    """Each look says what is wrong, without the password; the node is not tried again at once."""
    node = node_of(guarded, pki, login=by_scram((HEALER[0], "wr0ng-S3cret")))
    async with eyes() as plugin:
        first, second = [await see(plugin, node, Kind.PEERS) for _ in range(2)]
        tried = guarded.accepted
        third = await see(plugin, node, Kind.PEERS)
        assert guarded.accepted == tried
        good = await see(plugin, node_of(guarded, pki, login=by_scram()), Kind.PEERS)
    for seen in (first, second, third):
        assert seen.outcome is Outcome.AUTHENTICATION
        assert "the password is not his" in seen.error
        assert "wr0ng-S3cret" not in seen.error
    assert good.outcome is Outcome.ANSWERED


async def test_a_missing_login_is_told(guarded: FakeKafka, pki: Pki) -> None:
    """Metadata without a login is cut off; the look says that the listener wants one, and which."""
    async with eyes() as plugin:
        seen = await see(plugin, node_of(guarded, pki), Kind.PEERS)
    assert seen.outcome is Outcome.AUTHENTICATION
    assert "wants a login (it takes SCRAM-SHA-512, SCRAM-SHA-256); set sasl" in seen.error


async def test_a_quorum_is_asked_by_certificate(guarded: FakeKafka, pki: Pki) -> None:
    """A controller listener that wants a client certificate tells its quorum."""
    async with eyes() as plugin:
        fact = (await see(plugin, node_of(guarded, pki), Kind.QUORUM)).fact
        none = node_of(guarded, pki, controller=ListenerAccess(TlsConfig(ca_file=str(pki.ca))))
        seen = await see(plugin, none, Kind.QUORUM)
    assert isinstance(fact, QuorumFact)
    assert (fact.leader, fact.epoch, [one.id for one in fact.voters or ()]) == ("1", 7, ["1"])
    assert seen.outcome is Outcome.TLS
    assert "client certificate" in seen.error


async def test_new_settings_are_used_at_once(guarded: FakeKafka, pki: Pki) -> None:
    """After a reload a node is asked where and how it is configured now, not where it was."""
    before = node_of(guarded, pki, "OPEN", kafka=ListenerAccess())
    after = node_of(guarded, pki, "MTLS")
    async with eyes() as plugin:
        outcomes = [(await see(plugin, n, Kind.PROTOCOL)).outcome for n in (before, after, before)]
    assert outcomes == [Outcome.ANSWERED, Outcome.TLS, Outcome.ANSWERED]


@pytest.mark.parametrize(
    ("listener", "outcome", "words"),
    [
        ("SCRAM", Outcome.ANSWERED, ""),
        ("EXPIRED", Outcome.TLS, "has expired"),
        ("FOREIGN", Outcome.TLS, "tls.ca_file"),
        ("OTHERHOST", Outcome.TLS, "tls.server_name"),
        ("OPEN", Outcome.CLOSED, "a plaintext port does that, and so does a process that ends"),
    ],
)
async def test_a_listener_with_tls_shakes_hands(
    guarded: FakeKafka, pki: Pki, listener: str, outcome: Outcome, words: str
) -> None:
    """LISTENER does the handshake: what the node shows is TLS's, a mere cut proves nothing."""
    seen = await see(SocketMonitoringPlugin(), node_of(guarded, pki, listener), Kind.LISTENER)
    assert (seen.outcome, words in seen.error) == (outcome, True), seen.error


async def test_our_own_broken_file_hides_no_refusal(guarded: FakeKafka, pki: Pki) -> None:
    """A file of ours says nothing about the node, and a port that nobody has stays refused."""
    tls = TlsConfig(ca_file="/nowhere/ca.pem")
    node = node_of(guarded, pki, kafka=ListenerAccess(tls))
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        gone = replace(node, kafka_port=taken.getsockname()[1])
        refused = await see(SocketMonitoringPlugin(), gone, Kind.LISTENER)
    seen = await see(SocketMonitoringPlugin(), node, Kind.LISTENER)
    assert refused.outcome is Outcome.REFUSED
    assert seen.outcome is Outcome.PROTOCOL
    assert "/nowhere/ca.pem cannot be read" in seen.error


@pytest.mark.parametrize("kind", [Kind.LISTENER, Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM])
async def test_a_hung_handshake_times_out(pki: Pki, kind: Kind) -> None:
    """A frozen process accepts and answers no TLS: that is silence, not bad TLS."""
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        access = ListenerAccess(TlsConfig(ca_file=str(pki.ca)), by_scram())
        node = NodeConfig(
            "1",
            COMBINED,
            host=HOST,
            kafka_port=port,
            controller_port=port,
            kafka=access,
            controller=access,
        )
        plugin = SocketMonitoringPlugin() if kind is Kind.LISTENER else KafkaMonitoringPlugin()
        seen = await see(plugin, node, kind, SOON_S)
        await plugin.close()
    assert seen.outcome is Outcome.TIMED_OUT


async def test_a_member_of_an_ensemble_shakes_hands_too(guarded: FakeKafka, pki: Pki) -> None:
    """LISTENER of a ZooKeeper member uses the TLS of its own port."""
    tls = TlsConfig(ca_file=str(pki.ca))
    member = NodeConfig(
        "zk1",
        frozenset({Role.ENSEMBLE}),
        host=HOST,
        zookeeper_port=guarded.ports["EXPIRED"],
        zookeeper=ZooKeeperAccess(tls=tls),
    )
    seen = await see(SocketMonitoringPlugin(), member, Kind.LISTENER)
    assert seen.outcome is Outcome.TLS
    assert not KafkaMonitoringPlugin().can_ask(member, Kind.PROTOCOL)


async def test_a_controller_alone_is_asked_on_its_own_listener(
    guarded: FakeKafka, pki: Pki
) -> None:
    """PROTOCOL of a node that is a controller only uses the controller's access."""
    node = replace(node_of(guarded, pki), roles=frozenset({Role.CONTROLLER}), kafka_port=None)
    async with eyes() as plugin:
        outcomes = [(await see(plugin, node, Kind.PROTOCOL)).outcome for _ in range(2)]
        assert not plugin.can_ask(node, Kind.PEERS)
    assert outcomes == [Outcome.ANSWERED] * 2
