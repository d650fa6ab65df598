"""Wrong settings of the nodes themselves: what a broken secured node does, and what shows it."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.clusters.eyes import Seen, open_eyes
from tests.integration.clusters.inventory import NAME, secured_inventory
from tests.integration.clusters.secured import ADMIN, SecuredCluster, Wrongs, inter_broker_login
from tests.integration.conftest import UP_LIMIT_S, MakeSecured

from kafka_self_healing.model.evidence import (
    MISCONFIGURED,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    ServiceFact,
)

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

EXIT_LIMIT_S = 60.0
WELL = ("1", "2")
ILL = "3"


def start(cluster: SecuredCluster) -> None:
    """Start the two good nodes, and, once they are one cluster, the broken one."""
    cluster.start_all(WELL)
    others = frozenset(map(int, WELL))
    cluster.wait_until(
        lambda: all(cluster.ask(node).brokers >= others for node in WELL),
        "the good nodes list each other",
        timeout_s=UP_LIMIT_S,
    )
    cluster.grant()
    cluster.start(ILL)


def wait_ended(cluster: SecuredCluster, node: str = ILL) -> dict[str, object]:
    """Wait until the node's process has ended; return its status."""
    cluster.wait_until(
        lambda: cluster.status(node)["state"] == "failed",
        f"node {node} has ended",
        timeout_s=EXIT_LIMIT_S,
    )
    return cluster.status(node)


def log_of(cluster: SecuredCluster, node: str = ILL) -> str:
    """Return what the node has printed."""
    return cluster.servers[node].log_file.read_text(encoding="utf-8", errors="replace")


def service(seen: Seen, node: str = ILL) -> ServiceFact:
    """Return the newest word of the service manager."""
    fact = seen.fact(Kind.SERVICE, node)
    assert isinstance(fact, ServiceFact)
    return fact


@pytest.mark.parametrize(
    ("pem", "words"),
    [("expired", "validity check failed"), ("foreign", "path building failed")],
    ids=["expired", "foreign"],
)
async def test_a_broker_with_a_bad_certificate_does_not_start(
    make_secured: MakeSecured, pem: str, words: str
) -> None:
    """A keystore that has expired or is of another authority: exit 1, the log names the reason."""
    cluster = make_secured(Wrongs(keystore=pem))
    await asyncio.to_thread(start, cluster)
    status = await asyncio.to_thread(wait_ended, cluster)
    assert status["exit_status"] == 1
    assert words in log_of(cluster)
    async with open_eyes(secured_inventory(cluster)) as seen:
        await seen.until_answered((Kind.SERVICE,), [ILL])
        for kind in (Kind.PROTOCOL, Kind.JVM):
            await seen.until(lambda kind=kind: bool(seen.ended(kind, ILL)), f"{kind} refused")  # type: ignore[misc]
    assert seen.ended(Kind.PROTOCOL, ILL) == {Outcome.REFUSED}
    assert seen.ended(Kind.JVM, ILL) == {Outcome.REFUSED}
    assert (service(seen).active, service(seen).exit_status) == ("failed", 1)


async def test_a_readable_password_file_keeps_the_jvm_from_starting(
    make_secured: MakeSecured,
) -> None:
    """A JMX password file that others may read (mode 644): the broker exits 1 at once."""
    cluster = make_secured(Wrongs(password_mode=0o644))
    cluster.start(ILL)
    status = await asyncio.to_thread(wait_ended, cluster)
    assert status["exit_status"] == 1
    assert "Password file read access must be restricted" in log_of(cluster)


async def test_jmx_with_an_expired_certificate_is_told_by_its_tls(
    make_secured: MakeSecured,
) -> None:
    """What JMX serves has expired: no figures, a fact about its TLS, and the process looks well."""
    cluster = make_secured(Wrongs(jmx_keystore="expired_keystore"))
    cluster.start(ILL)
    async with open_eyes(secured_inventory(cluster)) as seen:
        # Before it listens, a connection is refused.
        await seen.until(lambda: Outcome.TLS in seen.ended(Kind.JVM, ILL), "JMX's own TLS")
        await seen.until_answered((Kind.SERVICE,), [ILL])
    told = [one for one in seen.results if one.kind is Kind.JVM and one.subject == ILL]
    assert seen.ended(Kind.JVM, ILL) <= {Outcome.REFUSED, Outcome.TLS}
    assert all("expired" in one.error for one in told if one.outcome is Outcome.TLS)
    assert seen.fact(Kind.JVM, ILL) is None
    assert service(seen).active == "active"


async def test_a_wrong_inter_broker_password_is_seen_by_the_peers_alone(
    make_secured: MakeSecured,
) -> None:
    """All that the node says of itself is fine, and it is out of the ISR for ever."""
    wrong = inter_broker_login((ADMIN[0], "WRONG-S3cret"))
    cluster = make_secured(Wrongs(properties=wrong))
    await asyncio.to_thread(start, cluster)
    everyone = frozenset((*map(int, WELL), int(ILL)))
    cluster.wait_until(
        lambda: cluster.ask("1").brokers == everyone, "all are listed", timeout_s=UP_LIMIT_S
    )
    with cluster.admin("SCRAM") as admin:
        topic = {"num_partitions": 3, "replication_factor": 3}
        admin.create_topics({"orders": topic}, wait_for_metadata=False)

    async with open_eyes(secured_inventory(cluster)) as seen:

        def missing() -> None:
            peers, jvm = seen.fact(Kind.PEERS, NAME), seen.fact(Kind.JVM, ILL)
            assert isinstance(peers, PeersFact)
            assert set(peers.listed or ()) == {*WELL, ILL}
            isrs = [one.isr for topic in peers.topics or () for one in topic.partitions or ()]
            assert any(isr and ILL not in isr for isr in isrs)
            assert isinstance(jvm, JvmFact)
            assert (jvm.broker_state, service(seen).active) == (3, "active")

        await seen.until_holds(missing)
        await seen.until_answered((Kind.PROTOCOL, Kind.JVM, Kind.SERVICE), [ILL])
    assert not [one for one in seen.results if one.outcome in MISCONFIGURED]
    assert "SaslAuthenticationException" in log_of(cluster)


async def test_a_controller_listener_with_a_bad_certificate_looks_like_a_slow_start(
    make_secured: MakeSecured,
) -> None:
    """Only the controllers' listener serves an expired certificate: alive, state 1, told by TLS."""
    cluster = make_secured(Wrongs(controller_keystore="expired"))
    await asyncio.to_thread(start, cluster)
    async with open_eyes(secured_inventory(cluster)) as seen:

        def starting() -> None:
            jvm = seen.fact(Kind.JVM, ILL)
            assert isinstance(jvm, JvmFact)
            assert jvm.broker_state in (0, 1)
            assert jvm.remaining_logs is None
            assert seen.outcome(Kind.QUORUM, ILL) is Outcome.TLS
            assert service(seen).active == "active"

        await seen.until_holds(starting)
    told = [one for one in seen.results if one.kind is Kind.QUORUM and one.observer == ILL]
    assert seen.ended(Kind.QUORUM, ILL) <= {Outcome.REFUSED, Outcome.TLS}  # before it listens
    assert all("expired" in one.error for one in told if one.outcome is Outcome.TLS)
