"""The doctor's judgement: each missing access is a problem with the line that mends it."""

from __future__ import annotations

import dataclasses

import pytest

from kafka_self_healing.doctor import discovery, limits, looks, topics
from kafka_self_healing.doctor.discovery import Account, FoundNode
from kafka_self_healing.doctor.finding import Finding, Level
from kafka_self_healing.model.access import (
    ListenerAccess,
    SaslConfig,
    SaslMechanism,
    SshAccess,
    SystemdService,
)
from kafka_self_healing.model.evidence import (
    CertificateFact,
    CheckResult,
    CustomFact,
    DataDirFact,
    Fact,
    HostFact,
    JvmFact,
    Kind,
    ListenerCertificate,
    Outcome,
    PartitionFact,
    PeersFact,
    ProbeState,
    ProtocolFact,
    ServiceFact,
    TopicFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.secret import Secret

BROKER = NodeConfig(
    "1",
    frozenset({Role.BROKER}),
    host="kafka-1",
    rack="a",
    kafka_port=9092,
    jmx_port=9999,
    data_dirs=("/data",),
    service=SystemdService("kafka.service"),
    access=SshAccess(user="kheal"),
    kafka=ListenerAccess(
        sasl=SaslConfig(SaslMechanism.SCRAM_SHA_512, "healer", Secret("not to be told"))
    ),
)
MEMBER = NodeConfig("z1", frozenset({Role.ENSEMBLE}), host="zk-1", zookeeper_port=2181)
WELL = ServiceFact(
    active="active", sub="running", pid=7, stop_requested=False, lock_held=True, tracer_pid=0,
    unit_file="enabled", success_exit=("143",),
)  # fmt: skip


def _look(
    kind: Kind,
    outcome: Outcome = Outcome.ANSWERED,
    fact: Fact | None = None,
    error: str = "",
    node: NodeConfig = BROKER,
) -> list[Finding]:
    result = CheckResult("healer", node.id, kind, outcome, 1.0, 2.0, fact, error)
    return list(looks.findings_of(node, result))


def _only(found: list[Finding], level: Level) -> Finding:
    assert [one.level for one in found] == [level], found
    return found[0]


def test_a_look_that_answers_well_is_good() -> None:
    """Nothing to put right, whatever the kind."""
    for kind, fact in ((Kind.LISTENER, None), (Kind.SERVICE, WELL), (Kind.JVM, JvmFact(3))):
        assert _only(_look(kind, fact=fact), Level.GOOD).about == "1"


REFUSALS = {
    (Kind.QUORUM, Outcome.AUTHORISATION): "--allow-principal User:healer",
    (Kind.PEERS, Outcome.AUTHORISATION): "--operation DescribeConfigs",
    (Kind.JVM, Outcome.REFUSED): "JMX_PORT=9999",
    (Kind.SERVICE, Outcome.AUTHENTICATION): "authorized_keys on kafka-1",
}


@pytest.mark.parametrize(("kind", "outcome"), REFUSALS)
def test_a_refused_look_is_a_problem_with_its_remedy(kind: Kind, outcome: Outcome) -> None:
    """The words of the probe stay, and the line to add stands beside them."""
    found = _only(_look(kind, outcome, error="what the probe said"), Level.PROBLEM)
    assert "what the probe said" in found.what
    assert REFUSALS[kind, outcome] in found.remedy
    assert "not to be told" not in str(found)


FACTS: list[tuple[Kind, Fact, Level, str, str]] = [
    (Kind.PEERS, PeersFact(("1",), topics=()), Level.PROBLEM, "blind", "kafka-acls.sh"),
    (Kind.PEERS, PeersFact(("1",), topics=(TopicFact("secret-plans"),)), Level.PROBLEM,
     "secret-plans", "DescribeConfigs"),
    (Kind.SERVICE, dataclasses.replace(WELL, stop_requested=None), Level.PROBLEM,
     "whether a stop was requested cannot be read", "systemd-journal kheal"),
    (Kind.SERVICE, dataclasses.replace(WELL, lock_held=None), Level.PROBLEM, "lock", "sudo"),
    (Kind.SERVICE, dataclasses.replace(WELL, unit_file="masked"), Level.NOTE, "masked", "unmask"),
    (Kind.SERVICE, dataclasses.replace(WELL, success_exit=()), Level.NOTE, "143",
     "SuccessExitStatus=143"),
    (Kind.SERVICE, dataclasses.replace(WELL, active="failed"), Level.NOTE, "failed", ""),
    (Kind.HOST, HostFact(data_dirs=(DataDirFact("/data", None, False, True),)), Level.PROBLEM,
     "no meta.properties", "mount"),
    (Kind.HOST, HostFact(data_dirs=(DataDirFact("/data", None, True, None),)), Level.PROBLEM,
     "cannot be read", "data directories"),
    (Kind.HOST, HostFact(clock_offset_s=-61.0), Level.NOTE, "-61.0 s", "chronyc"),
    (Kind.JVM, JvmFact(), Level.NOTE, "no BrokerState", ""),
    (Kind.CERTIFICATE, CertificateFact((ListenerCertificate("kafka", "h:1", problem="expired"),)),
     Level.PROBLEM, "expired", ""),
    (Kind.CERTIFICATE,
     CertificateFact((ListenerCertificate("kafka", "h:1", days_left=6.0, problem=""),)),
     Level.NOTE, "6 days left", "renew"),
    (Kind.CUSTOM, CustomFact(ProbeState.CRITICAL, "queue is full"), Level.NOTE, "queue is full",
     ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fact", "level", "what", "remedy"), FACTS)
def test_what_a_fact_lacks_is_told(
    kind: Kind, fact: Fact, level: Level, what: str, remedy: str
) -> None:
    """A look may answer and still show that healing would be refused."""
    found = _only(_look(kind, fact=fact), level)
    assert what in found.what
    assert remedy in found.remedy


def test_a_member_that_refuses_a_word_gets_the_whitelist_line() -> None:
    """It is configuration, not sickness; and not serving is told as it is."""
    fact = ProtocolFact(serving=False, refused=("mntr", "stat"))
    refused, idle = _look(Kind.PROTOCOL, fact=fact, node=MEMBER)
    assert (refused.level, idle.level) == (Level.PROBLEM, Level.NOTE)
    assert refused.remedy.startswith("4lw.commands.whitelist=")
    assert "mntr" in refused.what
    assert "stat" not in refused.what, "nothing reads it"


def _topic(name: str, replicas: int, min_isr: int, **more: bool) -> TopicFact:
    ids = tuple(str(number) for number in range(replicas))
    part = PartitionFact(0, ids, ids, "0", reassigning=more.get("moving", False))
    return TopicFact(name, min_isr, more.get("unclean", False), (part,))


def test_topics_that_forbid_a_restart_are_named_with_the_line_to_add() -> None:
    """RF 1 and RF ≤ min ISR; those that are exempt already are not told again."""
    told = [_topic("one", 1, 1), _topic("two", 2, 2), _topic("fine", 3, 2), _topic("known", 1, 1)]
    alone, tight = topics.findings_of("orders", told, frozenset({"known"}))
    assert alone.remedy.endswith("replicas.exempt_topics: [one]")
    assert tight.remedy.endswith("replicas.exempt_topics: [two]")


def test_unclean_topics_and_moves_are_told() -> None:
    """Both change what healing may do."""
    told = [_topic("loose", 3, 2, unclean=True), _topic("moved", 3, 2, moving=True)]
    unclean, moving = topics.findings_of("orders", told, frozenset())
    assert "loose" in unclean.what
    assert "moved" in moving.what


CLUSTER = Cluster("orders", nodes={"1": BROKER, "2": dataclasses.replace(BROKER, id="2")})


def _account(*nodes: FoundNode, cluster_id: str = "abc", asked: str = "1") -> Account:
    return Account(asked, cluster_id, nodes)


def _found(id_: str, **more: object) -> FoundNode:
    known: dict[str, object] = {"host": "kafka-1", "port": 9092, "rack": "a"}
    return FoundNode(id_, Role.BROKER, **{**known, **more})  # type: ignore[arg-type]


def test_an_inventory_that_is_the_cluster_is_good() -> None:
    """One line, with what was compared."""
    found = list(discovery.findings_of(CLUSTER, [_account(_found("1"), _found("2"))]))
    assert "2 roles of cluster abc" in _only(found, Level.GOOD).what


def test_a_node_that_the_file_lacks_comes_with_its_line() -> None:
    """It can be copied into the file."""
    told = _account(_found("1"), _found("2"), _found("3", host="kafka-3", rack="c"))
    found = _only(list(discovery.findings_of(CLUSTER, [told])), Level.PROBLEM)
    assert found.remedy == ("- {id: 3, roles: [broker], host: kafka-3, kafka_port: 9092, rack: c}")


def test_a_node_that_the_cluster_does_not_know_is_a_problem() -> None:
    """A wrong id looks like this; where nobody told of a role, nothing is missing."""
    found = _only(list(discovery.findings_of(CLUSTER, [_account(_found("1"))])), Level.PROBLEM)
    assert (found.about, "knows no broker 2" in found.what) == ("2", True)
    assert list(discovery.findings_of(CLUSTER, [])) == []


def test_nodes_of_two_clusters_are_told_at_once() -> None:
    """Nothing else is compared then: it could only confuse."""
    both = [_account(_found("1")), _account(_found("2"), cluster_id="xyz", asked="2")]
    found = _only(list(discovery.findings_of(CLUSTER, both)), Level.PROBLEM)
    assert "node 1 says abc" in found.what
    assert "node 2 says xyz" in found.what


def test_differences_of_rack_port_and_fencing_are_notes() -> None:
    """They change nothing by themselves; the witnesses' racks matter."""
    told = _account(_found("1", rack="b", port=9094, fenced=True), _found("2"))
    found = [one for one in discovery.findings_of(CLUSTER, [told]) if one.level is Level.NOTE]
    assert [one.remedy for one in found] == ["", "rack: b", ""]
    assert ["9094" in found[0].what, "rack is b" in found[1].what] == [True, True]


def test_too_few_open_files_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is held against the number of nodes."""
    monkeypatch.setattr("resource.getrlimit", lambda _what: (64, 64))
    found = next(iter(limits.findings_of(CLUSTER)))
    assert found.level is Level.PROBLEM
    assert found.remedy.startswith("[Service] LimitNOFILE=")
