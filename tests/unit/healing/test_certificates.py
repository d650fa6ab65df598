"""`certificates_are_valid`: a restart that a certificate would turn into an outage is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.healing.scenes import Scene, combined, zookeeper
from tests.unit.healing.test_guards_alone import RESTART, START, question, verdict

from kafka_self_healing.model.access import ListenerAccess, TlsConfig, ZooKeeperAccess
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.evidence import (
    HEALER,
    CertificateFact,
    CheckResult,
    Kind,
    ListenerCertificate,
    Outcome,
)
from kafka_self_healing.model.node import Cluster

GUARD = "certificates_are_valid"
GOOD = ListenerCertificate("CLIENT", "a:9092", days_left=80.0, problem="")
OTHER = replace(GOOD, listener="CONTROLLER")
DAY_S = 86400.0


def secured(cluster: Cluster) -> Cluster:
    """The same cluster with TLS on every listener."""
    door = ListenerAccess(tls=TlsConfig())
    nodes = {
        id_: replace(
            node, kafka=door, controller=door, zookeeper=ZooKeeperAccess(tls=TlsConfig()),
            kinds=node.kinds | {Kind.CERTIFICATE},
        )
        for id_, node in cluster.nodes.items()
    }  # fmt: skip
    return replace(cluster, nodes=nodes)


def told(
    scene: Scene, *certificates: ListenerCertificate, node: str = "2", age_s: float = 0.0
) -> Scene:
    """The certificate check has brought these."""
    at = scene.now.mono_s - age_s
    fact = CertificateFact(tuple(certificates))
    look = CheckResult(HEALER, node, Kind.CERTIFICATE, Outcome.ANSWERED, at - 0.1, at, fact)
    scene.turn([look])
    return scene


def hung(cluster: Cluster, *certificates: ListenerCertificate, age_s: float = 0.0) -> Scene:
    """Node 2 hangs and is dropped, and its certificates were seen before."""
    scene = Scene(cluster)
    scene.hands = "idle"
    scene.run(70)
    if certificates:
        told(scene, *certificates, age_s=age_s)
    scene.hang("2")
    return scene


def reason(scene: Scene) -> str | None:
    """What the guard says of a restart of node 2; None: it passes."""
    said = verdict(question(scene, action=RESTART), GUARD)
    return said.reason if said else None


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ((GOOD, OTHER), None),
        ((GOOD, replace(OTHER, days_left=0.05)), None),
        ((GOOD, replace(OTHER, days_left=0.04)), "certificate_expired"),
        ((GOOD, replace(OTHER, days_left=-12.0)), "certificate_expired"),
        ((GOOD, replace(OTHER, days_left=None, not_after=1.0)), "certificate_expired"),
        ((GOOD, replace(OTHER, days_left=80.0, not_after=1.0)), "certificate_expired"),
        ((GOOD, replace(OTHER, days_left=None, not_after=4.0e9)), None),
        ((GOOD, replace(OTHER, problem="its issuer is unknown")), "certificate_problem"),
        ((GOOD, replace(OTHER, problem=None)), "certificate_unreadable"),
        ((GOOD, replace(OTHER, days_left=None)), "certificate_unreadable"),
        ((GOOD,), "certificate_unreadable"),
        ((), "certificate_unreadable"),
    ],
)
def test_what_a_restart_is_refused_for(
    served: Sequence[ListenerCertificate], expected: str | None
) -> None:
    """Expired, about to expire within the hour, a problem, not read: refused, each by its name."""
    scene = Scene(secured(combined()))
    scene.run(5)
    assert reason(told(scene, *served)) == expected


def test_the_text_names_listener_and_days() -> None:
    """A person reads which listener, and since when."""
    scene = Scene(secured(combined()))
    scene.run(5)
    told(scene, GOOD, replace(OTHER, days_left=-12.0))
    said = verdict(question(scene, action=RESTART), GUARD)
    assert said is not None
    assert "listener CONTROLLER expired 12.0 days ago" in said.text
    assert "approval" in said.lifted_by


def test_a_start_is_not_asked() -> None:
    """A process that is gone serves nothing any more: its own log says why it ends."""
    scene = Scene(secured(combined()))
    scene.run(5)
    told(scene, replace(GOOD, days_left=-1.0), OTHER)
    assert verdict(question(scene, action=START), GUARD) is None


def test_without_tls_there_is_nothing_to_ask() -> None:
    """A plain cluster passes, unless a certificate was seen all the same."""
    scene = Scene(combined())
    scene.run(5)
    assert reason(scene) is None
    assert reason(told(scene, replace(GOOD, days_left=-1.0))) == "certificate_expired"


def test_the_latest_look_that_could_read_them_counts() -> None:
    """A node that hangs shows no certificate: what it showed before is known, for two hours."""
    scene = hung(secured(combined()), GOOD, OTHER)
    at = scene.now.mono_s
    silent = CheckResult(HEALER, "2", Kind.CERTIFICATE, Outcome.TIMED_OUT, at - 1, at)
    scene.turn([silent])
    scene.until(lambda: scene.acts, 30)
    assert scene.acted() == [("service:restart", "2")]
    assert reason(told(Scene(secured(combined())), GOOD, OTHER)) is None


def test_a_look_that_missed_a_listener_replaces_no_whole_one() -> None:
    """A node that hangs half shows half of them: what was read whole counts until it is old."""
    scene = Scene(secured(combined()))
    scene.run(5)
    told(scene, GOOD, OTHER)
    unread = ListenerCertificate(OTHER.listener, OTHER.address)
    assert reason(told(scene, GOOD, unread)) is None
    assert reason(told(scene, replace(GOOD, days_left=-1.0), OTHER)) == "certificate_expired"


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (replace(GOOD, problem="its issuer is unknown"), "certificate_problem"),
        (replace(GOOD, days_left=-1.0), "certificate_expired"),
    ],
)
def test_a_look_that_missed_a_listener_and_saw_a_bad_one_counts(
    bad: ListenerCertificate, expected: str
) -> None:
    """What was whole and good before speaks for no listener that is known to be bad by now."""
    scene = Scene(secured(combined()))
    scene.run(5)
    told(scene, GOOD, OTHER)
    assert reason(told(scene, bad, ListenerCertificate(OTHER.listener, OTHER.address))) == expected


def test_the_certificate_of_jmx_matters_only_if_it_is_known_to_be_bad() -> None:
    """No other node is shown it: unread it says nothing, expired it is told."""
    scene = Scene(secured(combined()))
    scene.run(5)
    unread = ListenerCertificate("jmx", "a:9999")
    assert reason(told(scene, GOOD, OTHER, unread)) is None
    bad = replace(unread, problem="it expired 1.0 days ago", days_left=-1.0)
    assert reason(told(scene, GOOD, OTHER, bad)) == "certificate_expired"
    alone = Scene(secured(combined()))
    alone.run(5)
    assert reason(told(alone, GOOD, replace(GOOD, listener="jmx"))) == "certificate_unreadable"


def test_it_grows_old_and_runs_out_meanwhile() -> None:
    """Days left count from the look; a look of more than two hours ago says nothing."""
    young = Scene(secured(combined()))
    young.run(5)
    short = replace(GOOD, days_left=1.5 * 3600 / DAY_S)
    assert reason(told(young, short, OTHER, age_s=600.0)) is None
    assert reason(told(young, short, OTHER, node="2")) is None
    old = Scene(secured(combined()))
    old.run(5)
    told(old, short, OTHER, age_s=0.0)
    assert old.view is not None
    look = old.view.certificates["2"]
    aged = replace(look, started=look.started - 3000.0, ended=look.ended - 3000.0)
    old.view = replace(old.view, certificates={"2": aged})
    old.run(1)
    assert reason(old) == "certificate_expired"
    ancient = replace(look, started=look.started - 7300.0, ended=look.ended - 7300.0)
    fact = CertificateFact((GOOD, OTHER))
    old.view = replace(old.view, certificates={"2": replace(ancient, fact=fact)})
    old.run(1)
    assert reason(old) == "certificate_unreadable"


def test_a_hung_node_with_an_expired_certificate_is_paged_and_not_restarted() -> None:
    """The whole way: refused, told with the listener, lifted by a person."""
    scene = hung(secured(combined()), replace(GOOD, days_left=-3.0), OTHER)
    scene.run(90)
    assert scene.acted() == []
    incident = scene.incident("2")
    assert "listener CLIENT expired 3.0 days ago" in incident.escalation
    scene.inbox.append(OperatorCommand(Order.APPROVE, "ada", "renewed on disk", incident.id))
    scene.until(lambda: scene.acts, 10)
    assert scene.acted() == [("service:restart", "2")]


def test_a_hung_node_whose_certificates_nobody_read_is_not_restarted() -> None:
    """TLS is configured and nothing was read: unknown is not valid."""
    scene = hung(secured(combined()))
    scene.run(60)
    assert scene.acted() == []
    assert "certificate_unreadable" in scene.reasons("2")


def test_members_have_certificates_too() -> None:
    """A member with TLS is asked like a broker, for its one listener."""
    scene = Scene(secured(zookeeper()))
    scene.run(5)
    told(scene, replace(GOOD, days_left=-1.0), node="202")
    said = verdict(question(scene, "202", RESTART), GUARD)
    assert said is not None
    assert said.reason == "certificate_expired"
    told(scene, GOOD, node="203")
    assert verdict(question(scene, "203", RESTART), GUARD) is None
