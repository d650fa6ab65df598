"""What the values of a file must be to each other. Each rule is a function that yields problems.

The rules see whatever the schema accepted, so that their problems come with the schema's.
"""

from __future__ import annotations

from collections.abc import Iterator

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.parts import Parts
from kafka_self_healing.config.scalars import nearest
from kafka_self_healing.config.schema import ServiceConfig
from kafka_self_healing.config.settings import (
    PLACEHOLDER,
    node_kinds,
    policy_budgets,
    policy_ladders,
)
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import Role
from kafka_self_healing.model.policy import Rung
from kafka_self_healing.model.recovery import ACT_CLASS, ActClass, act_class

_NEEDS = {
    Kind.JVM: "no node has a jmx_port",
    Kind.SERVICE: "neither the cluster nor a node has a service",
    Kind.HOST: "no node has data_dirs",
    Kind.PEERS: "no node is a broker",
    Kind.QUORUM: "no node is a controller",
}


def broken_rules(document: Document, parts: Parts) -> list[Problem]:
    """Return a problem for each contradiction between values that are well by themselves."""
    rules = (
        _node_ports,
        _unique_ids,
        _unique_endpoints,
        _voters,
        _services,
        _kinds,
        _rungs,
        _ladders_within_budgets,
        _stops_within_limits,
        _mail_login,
    )
    return [problem for rule in rules for problem in rule(document, parts)]


def _node_ports(document: Document, parts: Parts) -> Iterator[Problem]:
    wanted = (
        (Role.BROKER, "kafka_port", "9092"),
        (Role.CONTROLLER, "controller_port", "9093"),
    )
    for index, node in parts.nodes:
        for role, key, usual in wanted:
            place: Place = ("cluster", "nodes", index, key)
            given = getattr(node, key) is not None
            if role in node.roles and not given:
                message = f"is required of a {role.value}; add it (Kafka's usual one is {usual})"
                yield document.problem(place, message)
            elif given and role not in node.roles:
                message = f"is given, but the node is no {role.value}; remove it or add the role"
                yield document.problem(place, message, at_key=True)


def _unique_ids(document: Document, parts: Parts) -> Iterator[Problem]:
    first: dict[int, int] = {}
    for index, node in parts.nodes:
        if node.id in first:
            line = document.problem(("cluster", "nodes", first[node.id], "id"), "").line
            message = f"node id {node.id} is already used in line {line}; ids are unique"
            yield document.problem(("cluster", "nodes", index, "id"), message)
        first.setdefault(node.id, index)


def _unique_endpoints(document: Document, parts: Parts) -> Iterator[Problem]:
    first: dict[tuple[str, int], Place] = {}
    for index, node in parts.nodes:
        host = node.host.casefold()
        host = "127.0.0.1" if host == "localhost" else host
        for key in ("kafka_port", "controller_port", "jmx_port"):
            port = getattr(node, key)
            if port is None:
                continue
            place: Place = ("cluster", "nodes", index, key)
            if (host, port) in first:
                line = document.problem(first[host, port], "").line
                message = f"{node.host}:{port} is already used in line {line}; give each its own"
                yield document.problem(place, message)
            first.setdefault((host, port), place)


def _voters(document: Document, parts: Parts) -> Iterator[Problem]:
    led = any(Role.CONTROLLER in node.roles for _, node in parts.nodes)
    if parts.nodes_complete and parts.nodes and not led:
        message = (
            "no node has the role controller; a kraft cluster has at least one: "
            "list its controllers too"
        )
        yield document.problem(("cluster", "nodes"), message)


def _services(document: Document, parts: Parts) -> Iterator[Problem]:
    if parts.service is not None:
        yield from _placeholders(document, parts.service, ("cluster", "service"))
    for index, node in parts.nodes:
        if node.service is not None:
            place: Place = ("cluster", "nodes", index, "service")
            yield from _placeholders(document, node.service, place)


def _placeholders(document: Document, service: ServiceConfig, place: Place) -> Iterator[Problem]:
    for key in ("start", "stop", "kill", "status"):
        for position, argument in enumerate(getattr(service, key)):
            for name in PLACEHOLDER.findall(argument):
                if name in {"id", "host"}:
                    continue
                meant = nearest(name, ("id", "host"))
                hint = f"; did you mean {{{meant}}}?" if meant else ""
                message = (
                    f"{{{name}}} is no placeholder; known are {{id}} and {{host}}{hint} "
                    "(braces with a space inside are left alone)"
                )
                yield document.problem((*place, key, position), message)


def _kinds(document: Document, parts: Parts) -> Iterator[Problem]:
    possible = {kind for _, node in parts.nodes for kind in node_kinds(node, parts.service)}
    for position, kind in parts.kinds:
        place: Place = ("checks", "kinds", position)
        if parts.nodes_complete and kind in _NEEDS and kind not in possible:
            message = f"{kind.value} is not possible: {_NEEDS[kind]}; add it, or remove the kind"
            yield document.problem(place, message)


def _rungs(document: Document, parts: Parts) -> Iterator[Problem]:
    for condition, rungs in parts.ladders.items():
        for position, rung in enumerate(rungs):
            place: Place = ("ladders", condition.value, position)
            message = _wrong_action(condition, rung.action)
            if message:
                yield document.problem((*place, "action"), message)
            if rung.cap_s < rung.base_s:
                message = f"cap_s ({rung.cap_s:g}) is less than base_s ({rung.base_s:g})"
                key = "cap_s" if document.has((*place, "cap_s")) else "base_s"
                yield document.problem((*place, key), f"{message}; raise it or lower base_s")


def _wrong_action(condition: Condition, action: str) -> str:
    if action not in ACT_CLASS:
        meant = nearest(action, ACT_CLASS)
        hint = f"; did you mean `{meant}`?" if meant else ""
        return f"`{action}` is no action; known: {', '.join(ACT_CLASS)}{hint}"
    hung = condition is Condition.PROCESS_HUNG
    if not hung and act_class(action) is ActClass.RESTART:
        return "a process that has ended is started, not restarted; use service:start"
    if hung and act_class(action) is ActClass.START:
        return "starting a process that still runs does nothing; use service:restart"
    return ""


def _ladders_within_budgets(document: Document, parts: Parts) -> Iterator[Problem]:
    needed = {
        condition: _acts_needed(rungs)
        for condition, rungs in policy_ladders(parts.ladders).items()
        if not any(_wrong_action(condition, rung.action) for rung in rungs)
    }
    for name, budget in policy_budgets(parts.budgets).items():
        needs = sorted(needed, key=lambda condition: needed[condition][name], reverse=True)
        if not needs or needed[needs[0]][name] <= budget.acts:
            continue
        place: Place = ("budgets", name, "acts")
        if not document.has(place):
            place = ("ladders", needs[0].value)
        message = (
            f"the ladder of {needs[0].value} may need {needed[needs[0]][name]} acts on one node, "
            f"but budgets.{name} permits {budget.acts}; raise the budget or lower the attempts"
        )
        yield document.problem(place, message)


def _acts_needed(rungs: tuple[Rung, ...]) -> dict[str, int]:
    starts = sum(r.retry.attempts for r in rungs if act_class(r.action) is ActClass.START)
    total = sum(rung.retry.attempts for rung in rungs)
    return {
        "node": total,
        "cluster_start": starts,
        "cluster_restart": total - starts,
        "fleet": total,
    }


def _stops_within_limits(document: Document, parts: Parts) -> Iterator[Problem]:
    limits = [
        rung.limit_s
        for rungs in policy_ladders(parts.ladders).values()
        for rung in rungs
        if act_class(rung.action) is ActClass.RESTART
    ]
    if not limits:
        return
    services: list[tuple[Place, ServiceConfig]] = []
    if parts.service is not None:
        services.append((("cluster", "service"), parts.service))
    for index, node in parts.nodes:
        if node.service is not None:
            services.append((("cluster", "nodes", index, "service"), node.service))
    for place, service in services:
        if service.stop_timeout_s >= min(limits):
            message = (
                f"a stop may take {service.stop_timeout_s:g} s, but a step of service:restart is "
                f"cut off after {min(limits):g} s; raise limit_s of the rung or lower this"
            )
            yield document.problem((*place, "stop_timeout_s"), message)


def _mail_login(document: Document, parts: Parts) -> Iterator[Problem]:
    email = parts.email
    if email is None:
        return
    place: Place = ("notifications", "email")
    if (email.username is None) != (email.password is None):
        missing = "password" if email.password is None else "username"
        message = f"username and password belong together; add {missing}, or remove the other"
        yield document.problem((*place, missing), message)
    loopback = email.host in {"localhost", "::1"} or email.host.startswith("127.")
    if email.password is not None and not email.starttls and not loopback:
        message = f"the password would cross the network to {email.host} in clear; set it to true"
        yield document.problem((*place, "starttls"), message)
