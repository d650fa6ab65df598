"""The ordinary eyes on the secured cluster: right in health, and each wrong setting a fact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.clusters.eyes import LATE, Seen, open_eyes
from tests.integration.clusters.inventory import (
    NAME,
    Reach,
    by_certificate,
    by_scram,
    by_token,
    secured_inventory,
    tls_of,
    with_node,
)
from tests.integration.clusters.pki import Pki
from tests.integration.clusters.secured import (
    HEALER,
    MONITOR,
    READER,
    STRANGER,
    USERS,
    SecuredCluster,
)
from tests.integration.clusters.servers import CONTROLLER
from tests.integration.clusters.tokens import CLIENT_ID, CLIENT_SECRET, token_endpoint

from kafka_self_healing.model.access import (
    JmxAccess,
    ListenerAccess,
    SaslConfig,
    SaslMechanism,
    TlsConfig,
    TokenEndpoint,
)
from kafka_self_healing.model.evidence import (
    MISCONFIGURED,
    CertificateFact,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    QuorumFact,
    ServiceFact,
)
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.secret import Secret

pytestmark = pytest.mark.cluster

UP_LIMIT_S = 60.0
NODES = ("1", "2", "3")
OWN = (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST)
ALL = (*OWN, Kind.PEERS, Kind.QUORUM, Kind.CERTIFICATE)
WRONG = Secret("WRONG-S3cret")


def leaders(seen: Seen) -> set[str]:
    """Return the leaders that controllers named."""
    facts = [one.fact for one in seen.results if isinstance(one.fact, QuorumFact)]
    return {fact.leader for fact in facts if fact.leader is not None}


def errors(seen: Seen, kind: Kind) -> set[tuple[Outcome, str]]:
    """Return how all looks of a kind ended that brought no fact, but for those of `LATE`.

    PEERS are not asked of nodes whose own answer fails.
    """
    ended = [one for one in seen.results if one.kind is kind and one.fact is None]
    return {(one.outcome, one.error) for one in ended if one.outcome not in LATE}


def assert_no_secret(seen: Seen) -> None:
    """No result holds a password or a token."""
    said = " ".join(f"{one.error} {one.fact}" for one in seen.results)
    secrets = [password for _, password in (*USERS, MONITOR)]
    assert not [one for one in [*secrets, WRONG.reveal(), CLIENT_SECRET, "eyJ"] if one in said]


def assert_orders(seen: Seen, *, min_isr: int | None, unclean: bool | None) -> None:
    """The newest word of the peers: topic `orders` is whole, and these are its settings."""
    peers = seen.fact(Kind.PEERS, NAME)
    assert isinstance(peers, PeersFact)
    topic = next((topic for topic in peers.topics or () if topic.name == "orders"), None)
    assert topic is not None
    assert (topic.min_isr, topic.unclean_election) == (min_isr, unclean)
    assert all(set(one.isr or ()) == set(NODES) for one in topic.partitions or ())


def assert_nodes_well(seen: Seen) -> None:
    """The newest word of each JVM and of each service manager."""
    for node in NODES:
        jvm, service = seen.fact(Kind.JVM, node), seen.fact(Kind.SERVICE, node)
        assert isinstance(jvm, JvmFact)
        assert (jvm.broker_state, jvm.under_replicated) == (3, 0)
        assert isinstance(service, ServiceFact)
        assert service.active == "active"


async def assert_well(inventory: Cluster) -> Seen:
    """Look until all kinds of all nodes were answered, and check the facts about the cluster."""
    async with open_eyes(inventory) as seen:
        await seen.until_answered(ALL, NODES)
        await seen.until(lambda: bool(leaders(seen)), "a leader")
        await seen.until_holds(lambda: assert_orders(seen, min_isr=2, unclean=False))
        await seen.until_holds(lambda: assert_nodes_well(seen))
    peers = seen.fact(Kind.PEERS, NAME)
    assert isinstance(peers, PeersFact)
    assert (set(peers.listed or ()), peers.fenced) == (set(NODES), ())
    assert_no_secret(seen)
    return seen


async def test_all_kinds_are_answered_in_health(secured_cluster: SecuredCluster) -> None:
    """By SCRAM, certificate and JMX password each kind brings its fact, and no secret is in any."""
    seen = await assert_well(secured_inventory(secured_cluster))
    for node in NODES:
        host, served = seen.fact(Kind.HOST, node), seen.fact(Kind.CERTIFICATE, node)
        assert isinstance(host, HostFact)
        assert isinstance(served, CertificateFact)
        days = [one.days_left for one in served.listeners or ()]
        problems = {one.problem for one in served.listeners or ()}
        assert len(days) >= 2
        assert all(left is not None and 820 < left < 826 for left in days)
        assert problems == {""}
    quorum = next(
        one.fact
        for one in seen.results
        if isinstance(one.fact, QuorumFact) and one.fact.leader is not None
    )
    assert {voter.id for voter in quorum.voters or ()} == set(NODES)


async def test_client_certificates_do_as_well(secured_cluster: SecuredCluster) -> None:
    """The same facts come through the listener that wants a client certificate."""
    await assert_well(secured_inventory(secured_cluster, by_certificate(secured_cluster.pki)))


async def test_tokens_do_as_well(secured_cluster: SecuredCluster, tmp_path: Path) -> None:
    """The same facts come by OAUTHBEARER: from a file, and from a provider asked in TLS."""
    pki = secured_cluster.pki
    file = tmp_path / "token"
    file.write_text(secured_cluster.issuer.token(HEALER[0]) + "\n", encoding="utf-8")
    by_file = SaslConfig(SaslMechanism.OAUTHBEARER, token_file=str(file))
    await assert_well(secured_inventory(secured_cluster, by_token(pki, by_file)))
    with token_endpoint(secured_cluster.issuer, HEALER[0], pki.server_context()) as provider:
        asked = TokenEndpoint(provider.url, CLIENT_ID, Secret(CLIENT_SECRET), tls=tls_of(pki))
        by_provider = SaslConfig(SaslMechanism.OAUTHBEARER, token_endpoint=asked)
        await assert_well(secured_inventory(secured_cluster, by_token(pki, by_provider)))
        assert provider.given >= 1


async def test_a_stranger_is_blind_and_says_so(secured_cluster: SecuredCluster) -> None:
    """A user without rights brings no topic and no quorum: nothing that could pass for health."""
    pki = secured_cluster.pki
    reach = replace(by_scram(pki, STRANGER), controller=ListenerAccess(tls_of(pki, pki.stranger)))
    async with open_eyes(secured_inventory(secured_cluster, reach)) as seen:
        await seen.until_answered((Kind.PROTOCOL, Kind.PEERS), NODES)
        await seen.until(
            lambda: all(seen.ended(Kind.QUORUM, node) for node in NODES), "all controllers' answers"
        )
    peers = seen.fact(Kind.PEERS, NAME)
    assert isinstance(peers, PeersFact)
    assert peers.topics == ()
    told = errors(seen, Kind.QUORUM)
    assert {outcome for outcome, _ in told} == {Outcome.AUTHORISATION}
    assert all("grant our user DESCRIBE" in text for _, text in told)
    assert leaders(seen) == set()


async def test_settings_that_may_not_be_read_are_unknown(secured_cluster: SecuredCluster) -> None:
    """Without DESCRIBE_CONFIGS min.insync.replicas is None: no default is made up."""
    inventory = secured_inventory(secured_cluster, by_scram(secured_cluster.pki, READER))
    async with open_eyes(inventory) as seen:
        await seen.until_holds(lambda: assert_orders(seen, min_isr=None, unclean=None))
    facts = [one.fact for one in seen.results if isinstance(one.fact, PeersFact)]
    settings = {
        (topic.min_isr, topic.unclean_election) for fact in facts for topic in fact.topics or ()
    }
    assert settings == {(None, None)}


ASKED = (Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM, Kind.JVM)
REFUSED = dict.fromkeys((Kind.PEERS, Kind.JVM), Outcome.AUTHENTICATION)


def wrong_passwords(pki: Pki) -> Reach:
    """Log in to Kafka and to JMX with another password."""
    login = SaslConfig(SaslMechanism.SCRAM_SHA_512, HEALER[0], WRONG)
    kafka, jmx = ListenerAccess(tls_of(pki), login), JmxAccess(MONITOR[0], WRONG, tls_of(pki))
    return replace(by_scram(pki), kafka=kafka, jmx=jmx)


def no_logins(pki: Pki) -> Reach:
    """Log in nowhere."""
    kafka, jmx = ListenerAccess(tls_of(pki)), JmxAccess(tls=tls_of(pki))
    return replace(by_scram(pki), kafka=kafka, jmx=jmx)


def another_tls(pki: Pki, tls: TlsConfig | None) -> Reach:
    """Log in rightly, by another TLS or none."""
    good = by_scram(pki)
    return replace(
        good,
        kafka=replace(good.kafka, tls=tls),
        controller=ListenerAccess(tls),
        jmx=replace(good.jmx, tls=tls),
    )


def foreign_authority(pki: Pki) -> Reach:
    """Trust another authority."""
    return another_tls(pki, TlsConfig(ca_file=str(pki.foreign_ca)))


def no_tls(pki: Pki) -> Reach:
    """Speak plainly."""
    return another_tls(pki, None)


def expired_certificate(pki: Pki) -> Reach:
    """Show a client certificate that has expired."""
    shown = ListenerAccess(tls_of(pki, pki.expired))
    return replace(by_certificate(pki), kafka=shown, controller=shown)


def controllers_port(pki: Pki) -> Reach:
    """Take the controllers' port for the brokers'."""
    return replace(by_certificate(pki), listener=CONTROLLER)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (wrong_passwords, REFUSED),
        (no_logins, REFUSED),
        (foreign_authority, dict.fromkeys(ASKED, Outcome.TLS)),
        (no_tls, dict.fromkeys(ASKED, Outcome.TLS)),
        (expired_certificate, dict.fromkeys(ASKED[:3], Outcome.TLS)),
        (controllers_port, {Kind.PEERS: Outcome.WRONG_LISTENER}),
    ],
)
async def test_wrong_settings_are_facts_about_us(
    secured_cluster: SecuredCluster,
    wrong: Callable[[Pki], Reach],
    expected: dict[Kind, Outcome],
) -> None:
    """Wrong access is told as such for each kind, with what to do; the process looks well."""
    reach = wrong(secured_cluster.pki)
    async with open_eyes(secured_inventory(secured_cluster, reach)) as seen:
        await seen.until(lambda: all(errors(seen, kind) for kind in expected), f"{expected}")
        await seen.until_answered((Kind.SERVICE,), NODES)
    told = {kind: {outcome for outcome, _ in errors(seen, kind)} for kind in expected}
    assert told == {kind: {outcome} for kind, outcome in expected.items()}, errors(seen, Kind.PEERS)
    assert all(outcome in MISCONFIGURED for outcome in expected.values())
    assert all(text for kind in expected for _, text in errors(seen, kind))
    assert_no_secret(seen)


@pytest.mark.parametrize(
    ("listener", "words"),
    [
        ("EXPIRED", "expired"),
        ("FUTURE", "not valid yet"),
        ("OTHERHOST", "not made out"),
        ("FOREIGN", "authority"),
    ],
)
async def test_a_bad_certificate_is_seen_before_a_restart(
    secured_cluster: SecuredCluster, listener: str, words: str
) -> None:
    """What a listener serves is told with its days and its flaw, though nobody could log in."""
    inventory = secured_inventory(secured_cluster)
    port = secured_cluster.servers["1"].ports[listener]
    kafka = ListenerAccess(tls_of(secured_cluster.pki))
    bad = replace(inventory.nodes["1"], kafka_port=port, kafka=kafka)
    async with open_eyes(with_node(inventory, bad)) as seen:
        await seen.until(lambda: seen.fact(Kind.CERTIFICATE, "1") is not None, "a certificate")
        await seen.until(lambda: bool(seen.ended(Kind.PROTOCOL, "1")), "a login that failed")
        await seen.until_answered((Kind.PROTOCOL,), [node for node in NODES if node != "1"])
    fact = seen.fact(Kind.CERTIFICATE, "1")
    assert isinstance(fact, CertificateFact)
    served = next(one for one in fact.listeners or () if one.address.endswith(f":{port}"))
    assert served.problem is not None
    assert words in served.problem
    assert served.days_left is not None
    assert (served.days_left < 0) == (listener == "EXPIRED")
    assert seen.ended(Kind.PROTOCOL, "1") == {Outcome.TLS}
    assert {outcome for outcome, _ in errors(seen, Kind.PROTOCOL)} == {Outcome.TLS}


@pytest.fixture
def whole(secured_cluster: SecuredCluster) -> Iterator[SecuredCluster]:
    """The secured cluster, whole again afterwards."""
    yield secured_cluster
    secured_cluster.mend(timeout_s=UP_LIMIT_S)


async def test_a_hang_is_silence_in_all_that_speaks_tls(whole: SecuredCluster) -> None:
    """SIGSTOP: all is timed out or silent, nothing is taken for bad TLS; peers drop the node."""
    async with open_eyes(secured_inventory(whole)) as seen:
        await seen.until_answered(ALL, NODES)
        held_at = len(seen.results)
        whole.fault("3", "STOP")

        def dropped() -> bool:
            peers = seen.fact(Kind.PEERS, NAME)
            return isinstance(peers, PeersFact) and "3" not in (peers.listed or ("3",))

        def silent(kind: Kind) -> bool:
            about = [one for one in seen.results[held_at:] if one.kind is kind]
            return any(
                one.outcome is Outcome.TIMED_OUT
                for one in about
                if "3" in (one.subject, one.observer)
            )

        def held() -> bool:
            service = seen.fact(Kind.SERVICE, "3")
            return isinstance(service, ServiceFact) and service.process_state == "T"

        await seen.until(lambda: silent(Kind.PROTOCOL), "silence")
        await seen.until(lambda: silent(Kind.JVM), "silence of the JVM")
        await seen.until(dropped, "node 3 dropped by the others")
        await seen.until(held, "a process that is held")
        after = [one for one in seen.results[held_at:] if "3" in (one.subject, one.observer)]
    assert not [one for one in after if one.outcome in MISCONFIGURED], after
