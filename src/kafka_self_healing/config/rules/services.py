"""Service managers, the hosts on which they work, and where logs are."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.parts import CLUSTER, Parts, WrittenNode
from kafka_self_healing.config.rules.places import line_of, origin
from kafka_self_healing.config.scalars import is_loopback, nearest
from kafka_self_healing.config.schema_access import (
    CommandSection,
    DockerSection,
    SystemdSection,
)
from kafka_self_healing.config.section import (
    KNOWN_PLACEHOLDERS,
    PLACEHOLDER,
    texts_with_placeholders,
)
from kafka_self_healing.errors import Problem


def placeholders(document: Document, parts: Parts) -> Iterator[Problem]:
    """Only `{id}` and `{host}` can be filled in."""
    for place, section in parts.written:
        for where, text in texts_with_placeholders(section, place):
            for name in PLACEHOLDER.findall(text):
                if name in KNOWN_PLACEHOLDERS:
                    continue
                meant = nearest(name, KNOWN_PLACEHOLDERS)
                hint = f"; did you mean {{{meant}}}?" if meant else ""
                message = (
                    f"{{{name}}} is no placeholder; known are {{id}} and {{host}}{hint} "
                    "(braces with a space inside are left alone)"
                )
                yield document.problem(where, message)


def reached(document: Document, parts: Parts) -> Iterator[Problem]:
    """A manager that works on the node's host needs to know which machine that is.

    Else a unit of the healer's own machine could be restarted for a node that is elsewhere.
    """
    if "access" in parts.unread:
        return
    told: set[Place] = set()
    for node in parts.nodes:
        service = node.whole.service
        here = node.whole.access is not None or is_loopback(node.own.host)
        if here or not _on_the_host(service):
            continue
        place = (*(node.place if document.has((*node.place, "service")) else CLUSTER), "access")
        if place not in told:
            told.add(place)
            message = (
                "is required, since the service manager works on the node's host: write "
                "`access: local` if that is the healer's own machine, else `access: {ssh: …}`"
            )
            yield document.problem(place, message)


def _on_the_host(service: object) -> bool:
    match service:
        case SystemdSection():
            return True
        case DockerSection():
            return service.endpoint is None
        case _:
            return False


def one_process_each(document: Document, parts: Parts) -> Iterator[Problem]:
    """Two nodes are not started and stopped by the same words: an act would hit the wrong one."""
    first: dict[tuple[object, ...], WrittenNode] = {}
    for node in parts.nodes:
        what = _process(node)
        if what is None:
            continue
        other = first.setdefault(what, node)
        if other.own.id != node.own.id:  # else the id is wrong, and that is told
            message = (
                "starts and stops the same process as that of the node in line "
                f"{line_of(document, other.place)}: an act on one would hit the other; "
                "tell them apart, for example by {id}"
            )
            yield document.problem((*node.place, "service"), message)


def _process(node: WrittenNode) -> tuple[object, ...] | None:
    """Return what names the process that a node's manager handles; None: no manager."""
    access = node.whole.access
    ssh = access.ssh if access is not None else None
    machine = "" if ssh is None else ssh.destination or node.own.host
    match node.whole.service:
        case SystemdSection() as service:
            return (machine, service.unit.removesuffix(".service"))
        case DockerSection() as service:
            return (service.endpoint or machine, service.container)
        case CommandSection() as service:
            return (machine, *service.start)
        case _:
            return None


def log_sources(document: Document, parts: Parts) -> Iterator[Problem]:
    """Without a file the log is that of the service manager, and `command` has none."""
    if "service" in parts.unread:
        return
    told: set[Place] = set()
    for node in parts.nodes:
        log, service = node.whole.log, node.whole.service
        if log is None or log.file is not None:
            continue
        place = origin(document, node, "log")
        if not isinstance(service, SystemdSection | DockerSection) and place not in told:
            told.add(place)
            message = (
                "file is required, since only the service managers systemd and docker have a log "
                "of their own; add it, for example `file: /var/log/kafka/server.log`"
            )
            yield document.problem(place, message)
