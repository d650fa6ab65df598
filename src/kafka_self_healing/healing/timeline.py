"""What changes about a subject while its incident is open becomes a line of its story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.evidence import ServiceFact
from kafka_self_healing.model.incident import Incident

FACT_LINES: Final = 40
"""Changes of facts that become a line each; later ones are counted."""

COUNTED_EACH_S: Final = 300.0
"""How often the count of later ones is written down: a wild node must not fill the journal."""


def follow(turn: Turn, cluster: ClusterView, incident: Incident) -> Incident:
    """Note what is known now and was not so before. What is not known changes nothing."""
    incident = turn.memory.incidents.get(incident.id, incident)
    node = cluster.nodes.get(incident.subject.partition("/")[0])
    seen = _facts(node) if node is not None else _cluster_facts(cluster)
    news = {name: value for name, value in seen.items() if incident.facts.get(name) != value}
    if not news:
        return incident
    known = {"facts": {**incident.facts, **news}, "facts_at": turn.now}
    if not incident.facts:
        return turn.note(incident, _words(news, {}), **known)
    changes = incident.fact_changes + 1
    line = _words(news, incident.facts)
    if changes > FACT_LINES:
        if turn.now.since(incident.facts_at or turn.now) < COUNTED_EACH_S:
            return incident
        line = f"its facts go on changing ({changes} times so far); {line}"
    return turn.note(incident, line, fact_changes=changes, **known)


def _words(news: Mapping[str, str], before: Mapping[str, str]) -> str:
    parts = (
        f"{name} {before[name]} → {value}" if name in before else f"{name} {value}"
        for name, value in news.items()
    )
    return f"seen: {', '.join(parts)}"


def _facts(node: Standing) -> dict[str, str]:
    """Return what is known of a node in words; what is unknown is left out."""
    facts: dict[str, str] = {}
    if node.process is not Process.UNKNOWN:
        facts["process"] = _process(node)
    for name, value in (
        ("answers", node.answers),
        ("counted in", node.counted),
        ("in sync", node.in_sync),
        ("serves", node.serves),
        ("caught up as voter", node.voter_fresh),
    ):
        if value is not None:
            facts[name] = _yes(value)
    facts["dark"] = _yes(node.dark)
    if node.jvm is not None:
        for name, number in (
            ("BrokerState", node.jvm.broker_state),
            ("failed log directories", node.jvm.offline_log_dirs),
        ):
            if number is not None:
                facts[name] = str(number)
    if node.service is not None:
        facts |= _service_facts(node.service)
    return facts


def _process(node: Standing) -> str:
    service = node.service
    if service is None:
        return node.process.value
    if node.process is Process.ENDED:
        if service.signal not in (None, "", 0):
            return f"ended by signal {service.signal}"
        status = service.exit_status
        return "ended" if status is None else f"ended with status {status}"
    return f"{node.process.value} as {service.pid}" if service.pid else node.process.value


def _service_facts(service: ServiceFact) -> dict[str, str]:
    facts: dict[str, str] = {}
    if service.unit_file:
        facts["unit"] = service.unit_file
    for name, value in (
        ("stop requested", service.stop_requested),
        ("log directory locked", service.lock_held),
        ("killed for memory", service.oom_killed),
    ):
        if value is not None:
            facts[name] = _yes(value)
    if service.tracer_pid is not None:
        facts["debugged"] = _yes(service.tracer_pid != 0)
    for name, held in (("job queued", service.job), ("locked by", service.host_lock)):
        if held is not None:
            facts[name] = str(held) if held else "none"
    if service.boot_id:
        facts["boot of its host"] = service.boot_id[:8]
    return facts


def _cluster_facts(cluster: ClusterView) -> dict[str, str]:
    """Return what is known of the whole cluster."""
    facts = {"quorum": cluster.quorum.value}
    if cluster.leader is not None:
        facts["leader"] = cluster.leader
    facts["dark"] = ", ".join(cluster.dark) or "none"
    ended = [id_ for id_, node in cluster.nodes.items() if node.process is Process.ENDED]
    facts["ended"] = ", ".join(ended) or "none"
    if cluster.witness.readable:
        facts["partitions without a leader"] = str(len(cluster.witness.offline))
        facts["all partitions whole"] = _yes(not cluster.witness.not_whole)
    return facts


def _yes(value: bool) -> str:
    return "yes" if value else "no"
