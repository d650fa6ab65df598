"""Rules about the whole cluster: quorum lost, mass failure, viewpoint lost, under-replicated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.evidence import Family
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy

SHOWN = 8


def diagnose(
    view: ClusterView, memory: Memory, policy: Policy, found: Mapping[str, Diagnosis]
) -> list[tuple[str, Diagnosis]]:
    """Return the cluster-wide conditions; each is kept under a subject of its own."""
    name = view.view.cluster.name
    rules = (
        quorum_lost(view),
        ensemble_lost(view),
        viewpoint_lost(view),
        mass_failure(view, memory, policy),
        under_replicated(view, memory, policy, found),
        blind(view),
    )
    return [(f"{name}/{d.condition.value}", d) for d in rules if d is not None]


def quorum_lost(view: ClusterView) -> Diagnosis | None:
    """Too few voters live for a leader, proven by their machines, and nobody leads."""
    if view.quorum is not Quorum.LOST or view.view.cluster.mode is not ClusterMode.KRAFT:
        return None
    voters = [node for node in view.nodes.values() if node.config.is_voter]
    dead = [n for n in voters if n.process is Process.ENDED or n.silent or n.dark]
    proven = [n for n in voters if n.gone or n.silent]
    confirmed = len(voters) - len(proven) < len(voters) // 2 + 1
    evidence = (
        f"{len(dead)} of {len(voters)} voters are down: {', '.join(n.id for n in dead)}",
        "no controller listener names a leader",
    )
    return Diagnosis(
        Condition.QUORUM_LOST,
        tuple(n.id for n in dead),
        evidence,
        confirmed=confirmed,
        waiting="" if confirmed else "proof that they are gone",
        families=frozenset({Family.MACHINE, Family.THEIRS}),
    )


def ensemble_lost(view: ClusterView) -> Diagnosis | None:
    """Too few members serve: the living say so themselves, or the others are proven down."""
    if view.quorum is not Quorum.LOST or view.view.cluster.mode is ClusterMode.KRAFT:
        return None
    members = [node for node in view.nodes.values() if node.config.is_member]
    down = [n for n in members if n.process is Process.ENDED or n.silent or n.dark]
    idle = [n for n in members if n.serves is False and n not in down]
    proven = [n for n in members if n.gone or n.silent] + idle
    confirmed = len(members) - len(proven) < view.ensemble.majority
    evidence = [f"{len(down)} of {len(members)} members are down: {_names(down)}"] if down else []
    if idle:
        evidence.append(f"living, and not serving by their own word: {_names(idle)}")
    evidence.append("no member says that it leads or follows; ruok proves nothing")
    return Diagnosis(
        Condition.ENSEMBLE_QUORUM_LOST,
        tuple(n.id for n in (*down, *idle)),
        tuple(evidence),
        confirmed=confirmed,
        waiting="" if confirmed else "proof that they are gone",
        families=frozenset({Family.MACHINE, Family.THEIRS}),
    )


def _names(nodes: Sequence[Standing]) -> str:
    return ", ".join(node.id for node in nodes)


def viewpoint_lost(view: ClusterView) -> Diagnosis | None:
    """Most nodes are dark together: it is more likely that we are blind."""
    if not view.viewpoint_lost:
        return None
    text = f"{len(view.dark)} of {len(view.nodes)} nodes answer on no way that we have"
    return Diagnosis(Condition.VIEWPOINT_LOST, view.dark, (text,), confirmed=True)


def mass_failure(view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """A storm opened it; it stays until fewer than the storm's nodes are dark or silent."""
    nodes = tuple(sorted(view.view.storm_nodes))
    name = f"{view.view.cluster.name}/{Condition.MASS_FAILURE.value}"
    known = memory.incident_of(name)
    sick = tuple(view.view.sick_since)
    if len(sick) < policy.storm_nodes or (view.view.storm_joined is None and known is None):
        return None
    nodes = nodes or sick
    if view.quorum is Quorum.LOST:
        return None
    text = f"{len(nodes)} of {len(view.nodes)} nodes went dark or silent together"
    return Diagnosis(Condition.MASS_FAILURE, nodes, (text,), confirmed=True)


def under_replicated(
    view: ClusterView, memory: Memory, policy: Policy, found: Mapping[str, Diagnosis]
) -> Diagnosis | None:
    """Partitions lack replicas in sync, and no trouble of a node explains it."""
    witness = view.witness
    if not witness.readable or not witness.not_whole or view.quorum is Quorum.LOST:
        return None
    missing = sorted(witness.out_of_sync)
    explained = set(found) | {incident.subject for incident in memory.incidents.values()}
    if missing and all(node in explained for node in missing):
        return None
    names = [f"{topic}-{part}" for topic, part in sorted(witness.not_whole)]
    shown = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
    evidence = [f"{len(names)} partitions are not whole: {shown}"]
    if len(missing) == 1:
        evidence.append(f"the only node missing from their ISRs is {missing[0]}")
    if witness.offline:
        evidence.append(f"{len(witness.offline)} of them have no leader")
    known = memory.incident_of(f"{view.view.cluster.name}/{Condition.UNDER_REPLICATED.value}")
    since = known.opened.mono_s if known else view.now.mono_s
    held = view.now.mono_s - since
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.UNDER_REPLICATED,
        tuple(missing),
        tuple(evidence),
        not waiting,
        waiting,
        frozenset({Family.THEIRS}),
        since + policy.confirm_s,
    )


def blind(view: ClusterView) -> Diagnosis | None:
    """No topics and no error: the healer's user may not read them."""
    if not view.witness.readable or not view.witness.blind:
        return None
    text = (
        "the brokers show no topics and no error: either there are none, or the healer's user"
        " lacks DESCRIBE on topics and is blind"
    )
    return Diagnosis(Condition.PROBE_MISCONFIGURED, (), (text,), confirmed=True)
