"""What is looked at: kinds that are possible, targets that exist, answers that can be judged."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.kinds import possible_kinds
from kafka_self_healing.config.parts import Parts
from kafka_self_healing.config.rules.places import line_of, said_at
from kafka_self_healing.config.scalars import nearest
from kafka_self_healing.config.schema import NodeSection
from kafka_self_healing.config.schema_probes import HttpSection
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import Role

_NEEDS = {
    Kind.JVM: "no node has a jmx_port",
    Kind.SERVICE: "neither the cluster nor a node has a service",
    Kind.HOST: "no node has data_dirs or access",
    Kind.PEERS: "no node is a broker",
    Kind.QUORUM: "no node is a controller or a ZooKeeper server",
    Kind.LOG: "no node has a log",
    Kind.CERTIFICATE: "no node has tls in its security",
    Kind.CANARY: "checks.canary is not written, or no node is a broker",
    Kind.CUSTOM: "neither checks.http nor checks.commands asks anything of any node",
}
_COMPARISONS = ("equals", "at_least", "at_most")


def kinds(document: Document, parts: Parts) -> Iterator[Problem]:
    """A kind that is asked for is possible somewhere."""
    if not parts.nodes_complete or parts.unread:
        return
    possible = {kind for node in parts.nodes for kind in _of(node.whole, parts)}
    for position, kind in parts.kinds:
        if kind in _NEEDS and kind not in possible:
            place: Place = ("checks", "kinds", position)
            message = f"{kind.value} is not possible: {_NEEDS[kind]}; add it, or remove the kind"
            yield document.problem(place, message)


def _of(node: NodeSection, parts: Parts) -> frozenset[Kind]:
    probes = [probe for _, probe in parts.probes]
    return possible_kinds(node, probes, canary=parts.canary is not None)


def targets(document: Document, parts: Parts) -> Iterator[Problem]:
    """An extra check has a name of its own, and nodes that exist."""
    first: dict[str, Place] = {}
    ids = [node.own.id for node in parts.nodes]
    roles = {role for node in parts.nodes for role in node.own.roles}
    for place, probe in parts.probes:
        if probe.name in first:
            line = line_of(document, first[probe.name])
            message = f"is already used in line {line}; give each check its own name"
            yield document.problem((*place, "name"), message)
        first.setdefault(probe.name, (*place, "name"))
        if probe.nodes is not None and probe.roles is not None:
            message = "is given together with nodes; keep one of them"
            yield document.problem((*place, "roles"), message, at_key=True)
        if not parts.nodes_complete:
            continue
        for index, id_ in enumerate(probe.nodes or ()):
            spot: Place = (*place, "nodes", index)
            if id_ not in ids:
                meant = nearest(id_, ids)
                hint = f"; did you mean {meant}?" if meant else "; remove it, or add the node"
                shown = said_at(document, spot, id_)
                yield document.problem(spot, f"there is no node {shown}{hint}")
        for index, role in enumerate(probe.roles or ()):
            if role not in roles:
                message = f"no node has the role {role.value}; remove it"
                yield document.problem((*place, "roles", index), message)


def answers(document: Document, parts: Parts) -> Iterator[Problem]:
    """What a URL answers can be held against something, in one way."""
    for place, probe in parts.http:
        yield from _comparison(document, probe, place)
    for place, command in parts.commands:
        if command.timeout_s > command.interval_s:
            message = (
                f"a run may take {command.timeout_s:g} s, but the next one is due after "
                f"{command.interval_s:g} s; lower it or raise interval_s"
            )
            key = "timeout_s" if document.has((*place, "timeout_s")) else "interval_s"
            yield document.problem((*place, key), message)


def _comparison(document: Document, probe: HttpSection, place: Place) -> Iterator[Problem]:
    given = [key for key in _COMPARISONS if getattr(probe, key) is not None]
    value = next((key for key in ("pointer", "metric") if getattr(probe, key) is not None), None)
    if probe.pointer is not None and probe.metric is not None:
        message = "is given together with pointer; make two checks of it"
        yield document.problem((*place, "metric"), message, at_key=True)
    if given and value is None:
        message = "needs something to compare: add pointer (JSON) or metric (Prometheus)"
        yield document.problem((*place, given[0]), message, at_key=True)
    if value is not None and not given:
        message = f"is held against nothing; add one of: {', '.join(_COMPARISONS)}"
        yield document.problem((*place, value), message, at_key=True)
    if "equals" in given and len(given) > 1:
        message = f"is given together with {given[1]}; keep one of them"
        yield document.problem((*place, "equals"), message, at_key=True)
    if value == "metric" and isinstance(probe.equals, str | bool):
        message = "must be a number (without quotes), since a metric is one"
        yield document.problem((*place, "equals"), message)
    low, high = probe.at_least, probe.at_most
    if low is not None and high is not None and low > high:
        message = f"is more than at_most ({high:g}), so nothing can be good"
        yield document.problem((*place, "at_least"), message)


def canary(document: Document, parts: Parts) -> Iterator[Problem]:
    """The canary's records go through brokers, and live until they are read."""
    if parts.canary is None:
        return
    place: Place = ("checks", "canary")
    brokers = any(Role.BROKER in node.own.roles for node in parts.nodes)
    if parts.nodes and parts.nodes_complete and not brokers:
        yield document.problem(place, "is given, but no node is a broker; remove it", at_key=True)
    if parts.canary.retention_s < parts.canary.interval_s:
        key = "retention_s" if document.has((*place, "retention_s")) else "interval_s"
        message = (
            f"retention_s ({parts.canary.retention_s:g}) is less than interval_s "
            f"({parts.canary.interval_s:g}); raise it or lower interval_s"
        )
        yield document.problem((*place, key), message)
