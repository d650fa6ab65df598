"""What is wrong with each node and with the cluster: a table of rules, asked in this order.

The first rule that speaks names a node's condition; what ranks above explains what is below.
Cluster-wide conditions are found beside them.
"""

from __future__ import annotations

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.diagnosis import (
    causes,
    certificates,
    cluster,
    network,
    probe,
    process,
    quorum,
    replication,
    resources,
    starting,
    storage,
)
from kafka_self_healing.healing.diagnosis.rule import NodeRule
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.incident import Diagnosis, beside
from kafka_self_healing.model.policy import Policy

NODE_RULES: tuple[NodeRule, ...] = (
    causes.unit_absent,
    process.stopped,
    causes.not_commissioned,
    causes.duplicate_id,
    storage.full,
    storage.missing,
    storage.lost,
    causes.wrong_identity,
    causes.port_taken,
    causes.config_broken,
    causes.no_quorum_yet,
    process.ended,
    process.shutting_down,
    probe.viewpoint_lost,
    network.host_down,
    network.host_frozen,
    process.hung,
    causes.crash_loop,
    starting.starting,
    resources.heap_exhausted,
    network.partitioned,
    quorum.controller_wedged,
    quorum.session_lost,
    quorum.serving_not_counted,
    replication.counted_not_serving,
    replication.inter_broker_auth_broken,
    probe.not_serving,
    quorum.not_counted,
    probe.undiagnosed,
    probe.flapping,
)
"""What a node has: the first that speaks counts. Not asked of a node that is wholly well."""

BESIDE_RULES: tuple[NodeRule, ...] = (
    probe.misconfigured,
    quorum.ensemble_degraded,
    storage.filling,
    storage.log_dir_failed,
    resources.overloaded,
    resources.descriptors_exhausted,
    resources.metadata_errors,
    resources.jmx_unreachable,
)
"""What a node may have beside that: all are asked, of a well node too. They must cost little."""


def diagnose_node(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Return the first condition that holds, or is suspected, of one node."""
    if node.well is True and node.id not in view.view.sick_since:
        zombie = replication.counted_not_serving(node, view, memory, policy)
        # Half dead is well at every second look.
        half = zombie or resources.heap_exhausted(node, view, memory, policy)
        flaps = half or probe.flapping(node, view, memory, policy)
        return flaps or storage.full(node, view, memory, policy)
    for rule in NODE_RULES:
        found = rule(node, view, memory, policy)
        if found is not None:
            return found
    return None


def diagnose(view: ClusterView, memory: Memory, policy: Policy) -> list[tuple[str, Diagnosis]]:
    """Return all that is wrong: pairs of subject (a node, or the cluster's name) and diagnosis.

    Of a node that is wholly well and of which nothing was wrong at the last turn, the rules are
    asked when something of it is new; none of them may speak because time has passed, alone.
    """
    found: list[tuple[str, Diagnosis]] = []
    asked = view.restless.union(view.view.sick_since, view.view.noted & view.nodes.keys())
    for id_ in view.in_place(asked):
        node = view.nodes[id_]
        own = diagnose_node(node, view, memory, policy)
        if own is not None:
            found.append((id_, own))
        for rule in BESIDE_RULES:
            more = rule(node, view, memory, policy)
            if more is not None:
                found.append((beside(id_, more.condition), more))
        found.extend(probe.checks_failed(node, view, policy))
        if id_ in view.view.certificates:
            found.extend(certificates.certificates(node, view, policy))
    found.extend(certificates.own_certificates(view, policy))
    found.extend(cluster.diagnose(view, memory, policy, dict(found)))
    return found
