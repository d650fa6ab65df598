"""An ensemble whose members speak TLS with each other: our looks see it as any other."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from tests.integration.clusters.eyes import Seen, open_eyes
from tests.integration.clusters.inventory import zookeeper_inventory
from tests.integration.clusters.servers import Program, listed_jars
from tests.integration.clusters.zookeeper import (
    JARS,
    MEMBERS,
    ZooKeeperCluster,
    zookeeper_cluster,
)

from kafka_self_healing.demo.java import Java
from kafka_self_healing.demo.progress import PlainProgress
from kafka_self_healing.model.evidence import Kind, Outcome, ProtocolFact, QuorumFact

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

UP_LIMIT_S = 60.0
OWN = (Kind.LISTENER, Kind.PROTOCOL, Kind.SERVICE, Kind.QUORUM)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory, java: Java) -> Iterator[ZooKeeperCluster]:
    """Three members, and no broker."""
    jars = listed_jars(JARS, PlainProgress(io.StringIO()))
    folder = tmp_path_factory.mktemp("quorum-tls")
    made = zookeeper_cluster(folder, Program(java, jars), brokers=(), quorum_tls=True)
    with made:
        made.start_all()
        made.wait_whole(timeout_s=UP_LIMIT_S)
        yield made


def modes(seen: Seen, among: tuple[str, ...] = MEMBERS) -> list[str | None]:
    """Return what members say of themselves, sorted; None: does not serve, or has said nothing."""
    facts = [seen.fact(Kind.PROTOCOL, node) for node in among]
    said = [fact.mode for fact in facts if isinstance(fact, ProtocolFact) and fact.serving]
    return sorted(said, key=str)


def leaders(seen: Seen, among: tuple[str, ...]) -> int:
    """Return how many members lead by the newest looks at their quorum."""
    facts = [seen.fact(Kind.QUORUM, node) for node in among]
    return sum(isinstance(fact, QuorumFact) and fact.mode == "leader" for fact in facts)


async def test_a_lost_leader_is_followed_by_another(ensemble: ZooKeeperCluster) -> None:
    """One leads and two follow; after a kill -9 of the leader one of the others leads."""
    log = {one.id: one.log_file for one in ensemble.members}
    async with open_eyes(zookeeper_inventory(ensemble)) as seen:
        await seen.until_answered(OWN, MEMBERS)
        await seen.until(lambda: modes(seen) == ["follower", "follower", "leader"], "a leader")
        led = next(one for one in MEMBERS if modes(seen, (one,)) == ["leader"])
        others = tuple(one for one in MEMBERS if one != led)
        ensemble.fault(led, "KILL")
        await seen.until(lambda: seen.outcome(Kind.PROTOCOL, led) is Outcome.REFUSED, "an end")
        await seen.until(lambda: modes(seen, others) == ["follower", "leader"], "another leader")

        await seen.until(lambda: leaders(seen, others) == 1, "a leader of the quorum")
    text = "".join(path.read_text(errors="replace") for path in log.values())
    assert "SSL handshake complete" in text
