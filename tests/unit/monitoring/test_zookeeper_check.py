"""ZookeeperMonitoringPlugin against scripted members with a real one's answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.unit.monitoring.fake_eyes import make_cluster
from tests.unit.wire.zookeeper_member import (
    admin_answering,
    answering,
    member,
    recorded,
    silent,
)

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import ZooKeeperAccess
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Kind,
    Outcome,
    ProtocolFact,
    QuorumFact,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks.zookeeper import ZookeeperMonitoringPlugin
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import zookeeper as wire

LEADER = {"srvr": recorded("srvr-leader"), "mntr": recorded("mntr-leader"), "ruok": b"imok"}
OUT_OF_THE_BOX = {"srvr": recorded("srvr-follower")}
QUIET = {
    "srvr": recorded("not-serving"),
    "mntr": recorded("not-serving"),
    "ruok": b"imok",
}


def context(kind: Kind, timeout_s: float = 5.0) -> LookContext:
    """Return a context of one look."""
    return LookContext(
        kind=kind,
        cluster=make_cluster(),
        timeout_s=timeout_s,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=LocalHost(SystemClock()),
        service=None,
        on_hint=lambda why: None,
    )


def node(port: int, **access: object) -> NodeConfig:
    """Return a member."""
    how = replace(ZooKeeperAccess(), **access)  # type: ignore[arg-type]
    return NodeConfig("zk1", frozenset({Role.ENSEMBLE}), zookeeper_port=port, zookeeper=how)


async def see(target: NodeConfig, kind: Kind, plugin: ZookeeperMonitoringPlugin | None = None,
              timeout_s: float = 5.0) -> CheckResult:  # fmt: skip
    """Look once."""
    (result,) = await (plugin or ZookeeperMonitoringPlugin()).check(
        target, context(kind, timeout_s)
    )
    return result


@asynccontextmanager
async def both(
    words: Mapping[str, bytes], commands: Mapping[str, bytes]
) -> AsyncIterator[NodeConfig]:
    """Serve a member with an AdminServer."""
    async with member(answering(words)) as port, member(admin_answering(commands)) as admin:
        yield node(port, admin_port=admin)


async def test_a_leader_that_allows_all() -> None:
    """PROTOCOL has mode, version and numbers, QUORUM the leader, its epoch and who is synced."""
    async with member(answering(LEADER)) as port:
        protocol = await see(node(port), Kind.PROTOCOL)
        quorum = await see(node(port), Kind.QUORUM)
    assert (protocol.observer, protocol.subject, protocol.outcome) == (
        HEALER,
        "zk1",
        Outcome.ANSWERED,
    )
    assert protocol.fact == ProtocolFact(
        ruok=True,
        mode="leader",
        serving=True,
        version="3.8.4",
        synced=2,
        latency_ms=0.0,
        outstanding=0,
        fsync_ms=None,
        open_files=71,
        max_files=20000,
        refused=(),
    )
    assert (quorum.observer, quorum.subject) == ("zk1", "test")
    assert quorum.fact == QuorumFact(leader="zk1", epoch=1, mode="leader", synced=2)


async def test_a_member_as_it_comes_out_of_the_box() -> None:
    """With `srvr` alone it is well: what the whitelist refuses is named and not asked again."""
    asked: list[bytes] = []
    plain = answering(OUT_OF_THE_BOX)

    async def counting(reader: object, writer: object) -> None:
        asked.append(b"")
        await plain(reader, writer)  # type: ignore[arg-type]

    plugin = ZookeeperMonitoringPlugin()
    async with member(counting) as port:
        for _ in range(3):
            result = await see(node(port), Kind.PROTOCOL, plugin)
            assert result.fact == ProtocolFact(
                mode="follower",
                serving=True,
                version="3.8.4",
                latency_ms=0.0,
                outstanding=0,
                refused=("mntr", "ruok"),
            )
        quorum = await see(node(port), Kind.QUORUM, plugin)
    assert quorum.fact == QuorumFact(epoch=0, mode="follower")
    assert len(asked) == 3 + 2 + 1  # srvr each time, the refused words once


async def test_without_a_quorum_it_answers_that_it_does_not_serve() -> None:
    """Not serving is an answer, and `imok` beside it is worth nothing."""
    async with member(answering(QUIET)) as port:
        protocol = await see(node(port), Kind.PROTOCOL)
        quorum = await see(node(port), Kind.QUORUM)
    assert (protocol.outcome, quorum.outcome) == (Outcome.ANSWERED, Outcome.ANSWERED)
    assert protocol.fact == ProtocolFact(ruok=True, serving=False, refused=())
    assert quorum.fact == QuorumFact()


async def test_admin_server_stands_in_for_refused_words() -> None:
    """Where `srvr` and `mntr` are refused the AdminServer says it all."""
    commands = {
        "srvr": recorded("admin-srvr-leader"),
        "monitor": recorded("admin-monitor-leader"),
    }
    async with both({}, commands) as target:
        protocol = await see(target, Kind.PROTOCOL)
        quorum = await see(target, Kind.QUORUM)
    assert isinstance(protocol.fact, ProtocolFact)
    assert (protocol.fact.mode, protocol.fact.synced, protocol.fact.serving) == ("leader", 2, True)
    assert protocol.fact.refused == ("mntr", "ruok", "srvr")
    assert quorum.fact == QuorumFact(leader="zk1", epoch=1, mode="leader", synced=2)


async def test_mntr_stands_in_for_srvr() -> None:
    """`mntr` knows the mode too, but no last transaction."""
    async with member(answering({"mntr": recorded("mntr-leader")})) as port:
        protocol = await see(node(port), Kind.PROTOCOL)
        quorum = await see(node(port), Kind.QUORUM)
    assert isinstance(protocol.fact, ProtocolFact)
    assert (protocol.fact.mode, protocol.fact.refused) == ("leader", ("ruok", "srvr"))
    assert quorum.fact == QuorumFact(leader="zk1", mode="leader", synced=2)


async def test_imok_alone_is_an_answer_that_says_nothing() -> None:
    """With `ruok` alone it lives, and whether it serves is not known."""
    async with member(answering({"ruok": b"imok"})) as port:
        protocol = await see(node(port), Kind.PROTOCOL)
        quorum = await see(node(port), Kind.QUORUM)
    assert protocol.fact == ProtocolFact(ruok=True, refused=("mntr", "srvr"))
    assert quorum.outcome is Outcome.AUTHORISATION


async def test_nothing_allowed_is_our_probe_to_be_fixed() -> None:
    """A whitelist without any of our words is an answer: authorisation, with the line to add."""
    async with member(answering({})) as port:
        result = await see(node(port), Kind.PROTOCOL)
    assert (result.outcome, result.fact) == (Outcome.AUTHORISATION, None)
    assert "4lw.commands.whitelist" in result.error


async def test_a_frozen_member_is_timed_out_and_asked_once() -> None:
    """Silence is silence; nothing more is sent after `srvr`."""
    connections = 0

    async def frozen(reader: object, writer: object) -> None:
        nonlocal connections
        connections += 1
        await silent(reader, writer)  # type: ignore[arg-type]

    async with member(frozen) as port:
        result = await see(node(port), Kind.PROTOCOL, timeout_s=0.3)
    assert result.outcome is Outcome.TIMED_OUT
    assert "did not answer" in result.error
    assert connections == 1


async def test_a_slow_extra_costs_only_itself() -> None:
    """An `mntr` that hangs leaves its fields empty; the look still answers within its limit."""

    async def slow(reader: object, writer: object) -> None:
        word = await reader.readexactly(4)  # type: ignore[attr-defined]
        if word == b"mntr":
            await silent(reader, writer)  # type: ignore[arg-type]
        writer.write(LEADER[word.decode()])  # type: ignore[attr-defined]

    async with member(slow) as port:
        result = await see(node(port), Kind.PROTOCOL, timeout_s=0.5)
    assert result.outcome is Outcome.ANSWERED
    assert result.fact == ProtocolFact(
        ruok=True,
        mode="leader",
        serving=True,
        version="3.8.4",
        latency_ms=0.0,
        outstanding=0,
        refused=(),
    )


async def test_fsync_is_that_of_the_time_between_two_looks() -> None:
    """A disk that becomes slow shows at once, although the member's own average hides it."""
    words = dict(LEADER)
    plugin = ZookeeperMonitoringPlugin()
    seen = []
    async with member(answering(words)) as port:
        for count, total in ((1000, 1000), (1010, 2000), (1010, 2000)):
            text = f"zk_version\t3.8.4\nzk_cnt_fsynctime\t{count}\nzk_sum_fsynctime\t{total}\n"
            words["mntr"] = text.encode()
            fact = (await see(node(port), Kind.PROTOCOL, plugin)).fact
            assert isinstance(fact, ProtocolFact)
            seen.append(fact.fsync_ms)
    assert seen == [1.0, 100.0, None]


async def test_registered_brokers_where_a_login_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a user for kazoo the registered ids are part of the fact; what fails costs only them."""
    asked: list[object] = []

    def registered(endpoint: wire.Endpoint, **given: object) -> tuple[str, ...]:
        asked.append((endpoint.port, given["username"], given["password"]))
        if len(asked) > 1:
            raise wire.ZooKeeperAuthenticationError("the login was refused")
        return ("1", "2")

    # kazoo itself is proven in tests/unit/wire and against a real ensemble.
    monkeypatch.setattr(wire, "registered_brokers", registered)
    seen = []
    async with member(answering(LEADER)) as port:
        login = node(port, username="healer", password=Secret("x"))
        for target in (node(port), login, login):
            result = await see(target, Kind.PROTOCOL)
            assert result.outcome is Outcome.ANSWERED
            assert isinstance(result.fact, ProtocolFact)
            seen.append(result.fact.registered)
    assert seen == [None, ("1", "2"), None]
    assert asked == [(port, "healer", Secret("x"))] * 2


@pytest.mark.parametrize("kind", [Kind.PROTOCOL, Kind.QUORUM])
def test_only_members_are_asked(kind: Kind) -> None:
    """Brokers and controllers are none of its business."""
    plugin = ZookeeperMonitoringPlugin()
    assert plugin.can_ask(node(2181), kind)
    assert not plugin.can_ask(NodeConfig("1", frozenset({Role.BROKER}), kafka_port=9092), kind)
    assert not plugin.can_ask(NodeConfig("1", frozenset({Role.ENSEMBLE})), kind)
