"""CanaryMonitoringPlugin against scripted brokers; real ones are in tests/integration."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.unit.monitoring.fake_eyes import make_cluster
from tests.unit.wire.test_kafka_connection import Peer

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import CanaryConfig, SaslConfig, SaslMechanism
from kafka_self_healing.model.evidence import CanaryFact, CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks import canary, canary_client
from kafka_self_healing.monitoring.checks.canary import CanaryMonitoringPlugin
from kafka_self_healing.monitoring.checks.canary_client import RoundTrip, security_options
from kafka_self_healing.monitoring.checks.threads import Threads
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret

HOST = "127.0.0.1"
TOPIC = "canary"
WANTED = CanaryConfig(TOPIC)
BROKERS = (1, 2, 3)


def metadata(leaders: list[int], error: int = 0, brokers: tuple[int, ...] = BROKERS) -> bytes:
    """Return Metadata v1: the topic with a partition for each of `leaders`."""

    def text(said: str) -> bytes:
        return len(said).to_bytes(2, "big") + said.encode()

    nodes = b"".join(
        struct.pack(">i", id_) + text(HOST) + struct.pack(">ih", 1, -1) for id_ in brokers
    )
    parts = b"".join(
        struct.pack(">hii", 0, number, leader) + struct.pack(">iiii", 1, leader, 1, leader)
        for number, leader in enumerate(leaders)
    )
    topic = struct.pack(">h", error) + text(TOPIC) + b"\0" + struct.pack(">i", len(leaders)) + parts
    return struct.pack(">i", len(brokers)) + nodes + struct.pack(">ii", 1, 1) + topic


@asynccontextmanager
async def broker(*replies: bytes) -> AsyncIterator[NodeConfig]:
    """Serve broker 1: each Metadata is answered with the next of `replies`, the last again."""
    asked = iter(replies)
    last = replies[-1]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await peer.hello()
            while True:
                _, _, correlation_id = await peer.request()
                peer.reply(correlation_id, next(asked, last))
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield NodeConfig("1", frozenset({Role.BROKER}), host=HOST, kafka_port=port)


async def see(
    node: NodeConfig, wanted: CanaryConfig = WANTED, timeout_s: float = 5.0, looks: int = 1
) -> list[CheckResult]:
    """Look so often."""
    clock = SystemClock()
    context = LookContext(
        kind=Kind.CANARY,
        cluster=make_cluster(3),
        timeout_s=timeout_s,
        clock=clock,
        logger=logging.getLogger("test"),
        host=LocalHost(clock),
        service=None,
        on_hint=lambda why: None,
    )
    plugin = CanaryMonitoringPlugin(canary=wanted)
    try:
        return [(await plugin.check(node, context))[0] for _ in range(looks)]
    finally:
        await plugin.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was given to kafka-python, which here takes no time."""
    taken: list[tuple[str, int]] = []

    def send(
        to: canary_client.Broker, topic: str, partition: int, value: bytes, *, timeout_s: float
    ) -> RoundTrip:
        assert 0 < timeout_s <= 5.0
        assert value.startswith(b"test 1 ")
        taken.append((topic, partition))
        return RoundTrip(3.0, 2.0)

    monkeypatch.setattr(canary, "send_and_fetch", send)
    return taken


async def test_partitions_that_it_leads_take_turns(sent: list[tuple[str, int]]) -> None:
    """Of several partitions each is tried in turn, and no other broker's."""
    async with broker(metadata([1, 2, 1])) as node:
        results = await see(node, looks=3)
    assert [one.fact for one in results] == [
        CanaryFact(TOPIC, number, 3.0, 2.0) for number in (0, 2, 0)
    ]
    assert sent == [(TOPIC, 0), (TOPIC, 2), (TOPIC, 0)]


async def test_broker_that_leads_nothing(sent: list[tuple[str, int]]) -> None:
    """It is not tried, and that is an answer."""
    async with broker(metadata([2, 3])) as node:
        (result,) = await see(node)
    assert (result.outcome, result.fact, sent) == (Outcome.ANSWERED, CanaryFact(topic=TOPIC), [])


async def test_leader_that_changed_meanwhile_is_not_credited(sent: list[tuple[str, int]]) -> None:
    """A record that may have gone through another broker says nothing of this one."""
    async with broker(metadata([1]), metadata([2])) as node:
        (result,) = await see(node)
    assert sent == [(TOPIC, 0)]
    assert result.fact == CanaryFact(topic=TOPIC)


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [(3, Outcome.PROTOCOL, "set canary.create"), (29, Outcome.AUTHORISATION, "DESCRIBE, WRITE")],
)
async def test_topic_that_cannot_be_used(error: int, outcome: Outcome, said: str) -> None:
    """A topic that is missing or hidden is our probe's matter, with what to do."""
    async with broker(metadata([], error)) as node:
        (result,) = await see(node)
    assert result.outcome is outcome
    assert said in result.error


async def test_topic_is_made_only_when_all_brokers_are_there(
    monkeypatch: pytest.MonkeyPatch, sent: list[tuple[str, int]]
) -> None:
    """A broker that is away would get no partition; with all there each gets one to lead."""
    made: list[object] = []
    monkeypatch.setattr(canary, "create_topic", lambda *given, timeout_s: made.append(given[1:]))
    create = replace(WANTED, create=True, retention_s=60.0)
    async with broker(metadata([], 3, brokers=(1, 3))) as node:
        (result,) = await see(node, create)
    assert (result.outcome, made) == (Outcome.NOT_ASKED, [])
    assert "absent: 2" in result.error
    missing = metadata([], 3)
    async with broker(missing, missing, metadata([2, 1, 3])) as node:
        (result,) = await see(node, create)
    assert result.fact == CanaryFact(TOPIC, 1, 3.0, 2.0)
    configs = {
        "retention.ms": "60000",
        "segment.ms": "60000",
        "cleanup.policy": "delete",
        "min.insync.replicas": "1",
    }
    assert made == [(TOPIC, [[1, 2, 3], [2, 3, 1], [3, 1, 2]], configs)]


async def test_silent_broker_is_timed_out() -> None:
    """Whoever accepts and says nothing costs no more than the limit, and no thread."""
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        node = NodeConfig("1", frozenset({Role.BROKER}), host=HOST, kafka_port=port)
        (result,) = await see(node, timeout_s=0.3)
    assert result.outcome is Outcome.TIMED_OUT
    await strangers_end()


def strangers() -> list[str]:
    """Return the threads that are neither ours nor asyncio's own, which stay for the next."""
    kept = ("MainThread", "asyncio", "names", "tls-files")
    return [one.name for one in threading.enumerate() if not one.name.startswith(kept)]


async def strangers_end() -> None:
    """Wait until there is none."""
    async with asyncio.timeout(10.0):
        while strangers():
            await asyncio.sleep(0.01)


# What kafka-python opened before it failed it leaves to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_records_that_are_not_taken_are_timed_out() -> None:
    """Where kafka-python gets nowhere our time is up all the same, and its threads end."""
    async with broker(metadata([1])) as node:
        began = SystemClock().now().mono_s
        (result,) = await see(node, timeout_s=1.0)
        assert SystemClock().now().mono_s - began < 3.0
    assert (result.outcome, result.fact) == (Outcome.TIMED_OUT, None)
    await strangers_end()
    gc.collect()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("TopicAuthorizationFailedError", Outcome.AUTHORISATION),
        ("SaslAuthenticationFailedError", Outcome.AUTHENTICATION),
        ("NotEnoughReplicasError", Outcome.TIMED_OUT),
        ("KafkaTimeoutError", Outcome.TIMED_OUT),
        ("MessageSizeTooLargeError", Outcome.PROTOCOL),
    ],
)
def test_errors_of_kafka_python_are_outcomes(name: str, outcome: Outcome) -> None:
    """What it raises is told by place and by name; what it would try again ran out of time."""
    errors = canary_client.kafka_module("kafka.errors")
    with (
        pytest.raises(CheckError, match=f"^here: .*{name}") as caught,
        canary_client._errors_of("here"),
    ):
        raise getattr(errors, name)
    assert caught.value.outcome == outcome


def test_what_to_grant_is_not_cut_off_behind_a_long_request() -> None:
    """kafka-python quotes the whole request; the end of the sentence is what helps."""
    errors = canary_client.kafka_module("kafka.errors")
    with (
        pytest.raises(CheckError, match=r"CREATE to make it$") as caught,
        canary_client._errors_of("here"),
    ):
        raise errors.TopicAuthorizationFailedError("x" * 5000)
    assert len(str(caught.value)) < 300


def test_without_kafka_python_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional; nothing is asked without it."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(CheckError, match=r"\[canary\]") as caught:
        canary_client.kafka_module()
    assert caught.value.outcome == Outcome.NOT_ASKED


def test_every_login_becomes_options() -> None:
    """TLS and each mechanism are passed on; the name of the certificate too."""
    assert security_options(None, None, None, None) == {"security_protocol": "PLAINTEXT"}
    context = ssl.create_default_context()
    assert security_options(context, None, None, None)["ssl_context"] is context
    scram = SaslConfig(SaslMechanism.SCRAM_SHA_512, "u", Secret("p"))
    assert security_options(None, None, scram, None) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }
    bearer = security_options(
        context, "name.test", SaslConfig(SaslMechanism.OAUTHBEARER), Secret("t")
    )
    assert bearer["security_protocol"] == "SASL_SSL"
    assert bearer["sasl_oauth_token_provider"].token() == "t"
    kerberos = security_options(None, None, SaslConfig(SaslMechanism.GSSAPI), None)
    assert kerberos["sasl_kerberos_service_name"] == "kafka"


def test_login_is_in_no_representation() -> None:
    """A broker's options hold the password; its text does not."""
    options = security_options(
        None, None, SaslConfig(SaslMechanism.PLAIN, "u", Secret("hid")), None
    )
    assert "hid" not in repr(canary_client.Broker("h:1", options))


async def test_thread_that_misses_its_limit_is_not_doubled() -> None:
    """A blocked thread keeps its place: no second one is begun for its node until it is back."""
    threads, gate, begun = Threads("the test"), threading.Event(), []

    def work() -> int:
        begun.append(1)
        gate.wait(10.0)
        return 7

    for _ in range(3):
        with pytest.raises(CheckError) as caught:
            await threads.run("1", work, timeout_s=0.05)
        assert caught.value.outcome == Outcome.TIMED_OUT
    assert len(begun) == 1
    assert await threads.run("2", lambda: 5, timeout_s=5.0) == 5
    gate.set()
    async with asyncio.timeout(5.0):
        while True:
            with contextlib.suppress(CheckError):
                assert await threads.run("1", work, timeout_s=5.0) == 7
                break
            await asyncio.sleep(0.01)


def test_only_brokers_and_only_if_wanted() -> None:
    """Without a canary in the configuration nobody is asked."""
    node = NodeConfig("1", frozenset({Role.BROKER}), kafka_port=9092)
    controller = NodeConfig("2", frozenset({Role.CONTROLLER}), controller_port=9093)
    assert not CanaryMonitoringPlugin().can_ask(node, Kind.CANARY)
    plugin = CanaryMonitoringPlugin(canary=replace(WANTED, interval_s=42.0))
    assert plugin.can_ask(node, Kind.CANARY)
    assert not plugin.can_ask(controller, Kind.CANARY)
    assert plugin.interval_s(node, Kind.CANARY) == 42.0
