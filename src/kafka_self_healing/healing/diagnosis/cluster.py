"""Rules about the whole cluster, in their order; here: mass failure, viewpoint lost, blind."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_self_healing.healing.assessment import ClusterView, Quorum
from kafka_self_healing.healing.diagnosis import quorum, replication
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import blindness
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy

ROWS = (
    Row(
        Condition.MASS_FAILURE,
        needs=frozenset({Kind.PROTOCOL}),
        seen="at least two nodes and 34 % of the cluster, or a whole rack, newly dark or silent"
        " within 60 s. Crashes and stops do not count: they are proven one by one",
        contradicted_by="a quorum that is lost: QUORUM_LOST goes first, for its voters are started",
        holds="until fewer than two nodes are dark or silent",
        done="no RESTART and no script; crashes are still healed by START. One notice for all",
        you="look for what they share: network, storage, hypervisor. `approve` single restarts",
    ),
)


def diagnose(
    view: ClusterView, memory: Memory, policy: Policy, found: Mapping[str, Diagnosis]
) -> list[tuple[str, Diagnosis]]:
    """Return the cluster-wide conditions; each is kept under a subject of its own."""
    name = view.view.cluster.name
    rules = (
        quorum.quorum_lost(view),
        quorum.ensemble_lost(view),
        viewpoint_lost(view),
        mass_failure(view, memory, policy),
        quorum.controller_missing(view, memory, policy),
        replication.partitions_offline(view, memory, policy),
        replication.under_replicated(view, memory, policy, found),
        replication.reassignment_running(view),
        blind(view),
    )
    return [(f"{name}/{d.condition.value}", d) for d in rules if d is not None]


def viewpoint_lost(view: ClusterView) -> Diagnosis | None:
    """Most nodes are dark together, or no reference host is reached: more likely we are blind."""
    if not view.viewpoint_lost:
        return None
    track = view.view.reference
    sure = not view.cut_off or (track is not None and track.streak > 1)
    waiting = "" if sure else "1 of 2 looks"
    return Diagnosis(Condition.VIEWPOINT_LOST, view.dark, (blindness(view),), sure, waiting)


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


def blind(view: ClusterView) -> Diagnosis | None:
    """No topics and no error: the healer's user may not read them."""
    if not view.witness.readable or not view.witness.blind:
        return None
    text = (
        "the brokers show no topics and no error: either there are none, or the healer's user"
        " lacks DESCRIBE on topics and is blind"
    )
    return Diagnosis(Condition.PROBE_MISCONFIGURED, (), (text,), confirmed=True)
