"""Logins: what belongs together, and what must not cross a network in clear."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.inheritance import SECURITY_OF
from kafka_self_healing.config.parts import CLUSTER, Parts, WrittenNode
from kafka_self_healing.config.rules.places import origin, said_at
from kafka_self_healing.config.scalars import is_loopback
from kafka_self_healing.config.schema_access import (
    JmxSection,
    ListenerSection,
    SaslSection,
    TokenEndpointSection,
    ZooKeeperSection,
)
from kafka_self_healing.config.section import sections
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.access import SaslMechanism

_SOURCES = ("token", "token_file", "token_endpoint")
_BY_PASSWORD = frozenset(
    {SaslMechanism.PLAIN, SaslMechanism.SCRAM_SHA_256, SaslMechanism.SCRAM_SHA_512}
)
_IN_CLEAR = {SaslMechanism.PLAIN: "the password", SaslMechanism.OAUTHBEARER: "the token"}


def belongs_to_a_node(document: Document, parts: Parts) -> Iterator[Problem]:
    """A section about a protocol that no node speaks is a mistake."""
    for node in parts.nodes:
        for name in node.own.security.model_fields_set:
            why = _not_spoken(node, name)
            if why:
                place: Place = (*node.place, "security", name)
                yield document.problem(place, f"is given, but {why}; remove it", at_key=True)
    if not parts.nodes or not parts.nodes_complete or "jmx_port" in parts.unread:
        return
    for name in parts.defaults.security.model_fields_set:
        if all(_not_spoken(node, name) for node in parts.nodes):
            role = SECURITY_OF.get(name)
            why = f"no node is a {role.value}" if role else "no node has a jmx_port"
            place = (*CLUSTER, "security", name)
            yield document.problem(place, f"is given, but {why}; remove it", at_key=True)


def _not_spoken(node: WrittenNode, name: str) -> str:
    role = SECURITY_OF.get(name)
    if role is None:
        return "" if node.whole.jmx_port is not None else "the node has no jmx_port"
    return "" if role in node.own.roles else f"the node is no {role.value}"


def of_listeners(document: Document, parts: Parts) -> Iterator[Problem]:
    """Each mechanism has what it needs, and nothing that it does not use."""
    for place, section in parts.written:
        for where, sasl in sections(SaslSection, section, place):
            yield from _sasl(document, sasl, where)


def _sasl(document: Document, sasl: SaslSection, place: Place) -> Iterator[Problem]:
    mechanism = sasl.mechanism
    given = [name for name in _SOURCES if getattr(sasl, name) is not None]
    needed = ("username", "password") if mechanism in _BY_PASSWORD else ()
    for name in ("username", "password"):
        has = getattr(sasl, name) is not None
        if name in needed and not has:
            message = f"is required by {mechanism.value}; add it"
            yield document.problem((*place, name), message)
        elif has and name not in needed:
            message = f"is not used by {mechanism.value}; remove it, or change the mechanism"
            yield document.problem((*place, name), message, at_key=True)
    if mechanism is SaslMechanism.OAUTHBEARER and not given:
        message = f"OAUTHBEARER needs a token; add one of: {', '.join(_SOURCES)}"
        yield document.problem((*place, "mechanism"), message)
    for name in given[1:] if mechanism is SaslMechanism.OAUTHBEARER else given:
        why = f"{given[0]} is there too; keep one of them"
        if mechanism is not SaslMechanism.OAUTHBEARER:
            why = f"it is not used by {mechanism.value}; remove it, or change the mechanism"
        yield document.problem((*place, name), f"is given, but {why}", at_key=True)
    if document.has((*place, "service_name")) and mechanism is not SaslMechanism.GSSAPI:
        message = f"is used by GSSAPI, not by {mechanism.value}; remove it"
        yield document.problem((*place, "service_name"), message, at_key=True)


def in_clear(document: Document, parts: Parts) -> Iterator[Problem]:
    """A password or a token crosses no network without TLS."""
    told: set[Place] = set()
    for node in parts.nodes:
        if is_loopback(node.own.host):
            continue
        for name in ("kafka", "controller"):
            listener: ListenerSection = getattr(node.whole.security, name)
            sasl = listener.sasl
            place = origin(document, node, "security", name, "sasl", "mechanism")
            if sasl is None or listener.tls is not None or sasl.allow_plaintext_password:
                continue
            if sasl.mechanism in _IN_CLEAR and place not in told:
                told.add(place)
                host = said_at(document, (*node.place, "host"), node.own.host)
                message = (
                    f"{_IN_CLEAR[sasl.mechanism]} would cross the network to {host} in clear; add "
                    "tls to this section, or SCRAM instead; if you accept that: "
                    "allow_plaintext_password: true"
                )
                yield document.problem(place, message)
    for place, section in parts.written:
        for where, endpoint in sections(TokenEndpointSection, section, place):
            parsed = urlsplit(endpoint.url)
            if parsed.scheme != "https" and not is_loopback(parsed.hostname or ""):
                message = "the client_secret would cross the network in clear; use https"
                yield document.problem((*where, "url"), message)


def of_others(document: Document, parts: Parts) -> Iterator[Problem]:
    """The logins of JMX, ZooKeeper and URLs are whole, and nothing there is without effect."""
    for place, section in parts.written:
        for where, jmx in sections(JmxSection, section, place):
            yield from _both(document, jmx, where)
            if document.has((*where, "registry_tls")) and jmx.tls is None:
                message = "counts only together with tls; add that, or remove this"
                yield document.problem((*where, "registry_tls"), message, at_key=True)
        for where, zookeeper in sections(ZooKeeperSection, section, place):
            yield from _both(document, zookeeper, where)
            if zookeeper.admin_tls is not None and zookeeper.admin_port is None:
                message = "needs an admin_port; add it (ZooKeeper's usual one is 8080)"
                yield document.problem((*where, "admin_tls"), message, at_key=True)
        for where, endpoint in sections(TokenEndpointSection, section, place):
            if endpoint.tls is not None and not endpoint.url.startswith("https:"):
                message = "is given, but the url is not https; change one of them"
                yield document.problem((*where, "tls"), message, at_key=True)
    for place, probe in parts.http:
        yield from _both(document, probe, place)
        if probe.bearer is not None and probe.username is not None:
            message = "is given together with username; keep one of them"
            yield document.problem((*place, "bearer"), message, at_key=True)
        if probe.tls is not None and not probe.url.startswith("https:"):
            message = "is given, but the url is not https; change one of them"
            yield document.problem((*place, "tls"), message, at_key=True)


def _both(document: Document, login: object, place: Place) -> Iterator[Problem]:
    """A user and a password belong together."""
    username, password = getattr(login, "username", None), getattr(login, "password", None)
    if (username is None) != (password is None):
        missing = "password" if password is None else "username"
        message = f"username and password belong together; add {missing}, or remove the other"
        yield document.problem((*place, missing), message)


def of_mail(document: Document, parts: Parts) -> Iterator[Problem]:
    """The mail server's login is whole and crosses no network in clear."""
    email = parts.email
    if email is None:
        return
    place: Place = ("notifications", "email")
    yield from _both(document, email, place)
    if email.password is not None and not email.starttls and not is_loopback(email.host):
        host = said_at(document, (*place, "host"), email.host)
        message = f"the password would cross the network to {host} in clear; set it to true"
        yield document.problem((*place, "starttls"), message)
