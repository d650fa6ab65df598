"""What one look of each check says about our access: its outcome in words, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kafka_self_healing.doctor.finding import Finding, good, note, problem
from kafka_self_healing.model.access import SystemdService
from kafka_self_healing.model.evidence import (
    CertificateFact,
    CheckResult,
    CustomFact,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    ProbeState,
    ProtocolFact,
    QuorumFact,
    ServiceFact,
)
from kafka_self_healing.model.node import NodeConfig

CLOCK_SKEW_S: Final = 1.0
"""A host's clock may be so far from ours that its log lines and ours can be read together."""

CERTIFICATE_DAYS: Final = 30.0
EXIT_OF_TERM: Final = "143"
_WORDS: Final = ("srvr", "mntr")

_ACLS: Final = (
    "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:{user} "
    "--operation Describe --operation DescribeConfigs --cluster --topic '*'"
)
_NO_JMX: Final = (
    "start it with JMX_PORT={port}, and -Dcom.sun.management.jmxremote.rmi.port={port} "
    "in KAFKA_JMX_OPTS; open the port to the healer"
)


def findings_of(node: NodeConfig, result: CheckResult) -> Iterator[Finding]:
    """Yield what a look at (or by) `node` says."""
    kind = f"{result.kind} {result.name}".strip()
    if result.outcome is not Outcome.ANSWERED:
        took = f"{kind}: {result.outcome.value.replace('_', ' ')}"
        said = f"{took}: {result.error}" if result.error else took
        yield problem(node.id, said, _remedy(node, result))
        return
    found = list(_of_fact(node, result))
    yield from found or [good(node.id, f"{kind} answers")]


def _remedy(node: NodeConfig, result: CheckResult) -> str:
    match result.kind, result.outcome:
        case ((Kind.PEERS | Kind.QUORUM | Kind.CANARY), Outcome.AUTHORISATION):
            return _ACLS.format(user=_user(node))
        case Kind.JVM, (Outcome.REFUSED | Outcome.TIMED_OUT | Outcome.UNREACHABLE):
            return _NO_JMX.format(port=node.jmx_port)
        case ((Kind.SERVICE | Kind.HOST | Kind.LOG), Outcome.AUTHENTICATION) if node.access:
            return f"put the healer's public key into ~/.ssh/authorized_keys on {node.host}"
        case _:
            return ""


def _user(node: NodeConfig) -> str:
    sasl = node.listener.sasl
    return (sasl.username if sasl is not None else None) or "HEALER"


def _of_fact(node: NodeConfig, result: CheckResult) -> Iterator[Finding]:
    fact = result.fact
    match fact:
        case ServiceFact():
            yield from _service(node, fact)
        case HostFact():
            yield from _host(node, fact)
        case PeersFact():
            yield from _peers(node, fact)
        case QuorumFact() if node.is_voter and fact.leader is not None and fact.now_ms is None:
            yield note(node.id, "QUORUM: this Kafka does not say when a voter last fetched",
                       "Kafka 3.3 or newer; until then no voter is restarted")  # fmt: skip
        case ProtocolFact() if node.is_member:
            yield from _member(node, fact)
        case JvmFact() if node.is_broker and fact.broker_state is None:
            yield note(node.id, "JVM answers, but has no BrokerState: the broker starts, or this "
                       "is another process's JMX port")  # fmt: skip
        case CertificateFact():
            yield from _certificates(node, fact)
        case CustomFact() if fact.state is not ProbeState.OK:
            state = fact.state.value if fact.state else "unknown"
            yield note(node.id, f"{result.name}: {state}: {fact.text}")
        case _:
            return


def _service(node: NodeConfig, fact: ServiceFact) -> Iterator[Finding]:
    unit = node.service.unit if isinstance(node.service, SystemdService) else "its service"
    unread = {
        "whether a stop was requested": fact.stop_requested,
        "who holds the lock of its data directory": fact.lock_held if node.data_dirs else False,
        "whether a debugger is attached": fact.tracer_pid if fact.pid else 0,
    }
    for what, value in unread.items():
        if value is None:
            yield problem(node.id, f"SERVICE: {what} cannot be read, so no act is permitted",
                          _reading_remedy(node))  # fmt: skip
    if fact.unit_file == "masked":
        yield note(node.id, f"{unit} is masked: it is never started", f"systemctl unmask {unit}")
    if fact.success_exit is not None and EXIT_OF_TERM not in fact.success_exit:
        yield note(node.id, f"{unit}: a clean stop of a JVM exits with 143, which systemd calls "
                   "a failure here", f"[Service] SuccessExitStatus={EXIT_OF_TERM}")  # fmt: skip
    if fact.active not in {"active", "reloading"}:
        yield note(node.id, f"{unit} is {fact.active} ({fact.sub}) at the moment")


def _reading_remedy(node: NodeConfig) -> str:
    user = node.access.user if node.access is not None and node.access.user else "the healer's user"
    return (
        f"usermod --append --groups systemd-journal {user} on {node.host}, and access.ssh.sudo: "
        "true with the sudoers line below, or a user who may read its data directories"
    )


def _host(node: NodeConfig, fact: HostFact) -> Iterator[Finding]:
    for directory in fact.data_dirs or ():
        if directory.has_identity is False:
            wanted = "myid" if node.is_member else "meta.properties"
            yield problem(node.id, f"{directory.path} has no {wanted}: it is not formatted, or "
                          "not mounted", "correct data_dirs, or mount it")  # fmt: skip
        if directory.readable is not True:
            yield problem(node.id, f"{directory.path} cannot be read, so no start is permitted",
                          _reading_remedy(node))  # fmt: skip
    offset = fact.clock_offset_s
    if offset is not None and abs(offset) > CLOCK_SKEW_S:
        yield note(node.id, f"its clock is {offset:+.1f} s from ours", "chronyc makestep")


def _peers(node: NodeConfig, fact: PeersFact) -> Iterator[Finding]:
    if fact.topics is not None and not fact.topics:
        yield problem(node.id, "PEERS: it shows no topics and no error: the healer is blind here",
                      _ACLS.format(user=_user(node)))  # fmt: skip
        return
    hidden = [topic.name for topic in fact.topics or () if topic.min_isr is None]
    if hidden:
        yield problem(
            node.id,
            f"PEERS: min.insync.replicas of {len(hidden)} topics cannot be read "
            f"({', '.join(hidden[:5])}): no RESTART of their brokers is permitted",
            _ACLS.format(user=_user(node)),
        )


def _member(node: NodeConfig, fact: ProtocolFact) -> Iterator[Finding]:
    refused = [word for word in fact.refused or () if word in _WORDS]
    if refused:
        yield problem(node.id, f"its whitelist refuses {', '.join(refused)}",
                      "4lw.commands.whitelist=srvr,ruok,mntr")  # fmt: skip
    if fact.serving is False:
        yield note(node.id, "it answers that it does not serve requests: no quorum")


def _certificates(node: NodeConfig, fact: CertificateFact) -> Iterator[Finding]:
    for one in fact.listeners or ():
        if one.problem:
            yield problem(node.id, f"the certificate of {one.listener} ({one.address}): "
                          f"{one.problem}")  # fmt: skip
        elif one.days_left is not None and one.days_left < CERTIFICATE_DAYS:
            yield note(node.id, f"the certificate of {one.listener} ({one.address}) has "
                       f"{one.days_left:.0f} days left", "renew it")  # fmt: skip
