"""Which kinds of evidence a node's settings make possible."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_self_healing.config.schema import NodeSection
from kafka_self_healing.config.schema_probes import ProbeSection
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import Role


def possible_kinds(
    node: NodeSection, probes: Iterable[ProbeSection], *, canary: bool
) -> frozenset[Kind]:
    """Return the kinds of a complete node: see `inheritance.complete`."""
    broker, security = Role.BROKER in node.roles, node.security
    listeners = (
        security.kafka.tls,
        security.controller.tls,
        security.jmx.tls,
        security.zookeeper.tls,
        security.zookeeper.admin_tls,
    )
    possible = {
        Kind.LISTENER: True,
        Kind.PROTOCOL: True,
        Kind.PEERS: broker,
        Kind.QUORUM: bool({Role.CONTROLLER, Role.ENSEMBLE} & set(node.roles)),
        Kind.JVM: node.jmx_port is not None,
        Kind.SERVICE: node.service is not None,
        Kind.HOST: bool(node.data_dirs) or node.access is not None,
        Kind.LOG: node.log is not None,
        Kind.CERTIFICATE: any(tls is not None for tls in listeners),
        Kind.CANARY: canary and broker,
        Kind.CUSTOM: any(is_meant(node, probe) for probe in probes),
    }
    return frozenset(kind for kind, yes in possible.items() if yes)


def is_meant(node: NodeSection, probe: ProbeSection) -> bool:
    """Return whether an extra check is about this node."""
    if probe.nodes is not None:
        return node.id in probe.nodes
    return probe.roles is None or bool(set(probe.roles) & set(node.roles))
