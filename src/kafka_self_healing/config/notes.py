"""What is allowed but unusual, or weaker than it looks: a sentence each for `check-config`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from kafka_self_healing.config.scalars import is_loopback
from kafka_self_healing.config.schema import ChecksConfig
from kafka_self_healing.model.access import HttpProbe, SaslMechanism, TlsConfig
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig

_SENT_IN_CLEAR = frozenset({SaslMechanism.PLAIN, SaslMechanism.OAUTHBEARER})


def notes_of(cluster: Cluster, checks: ChecksConfig) -> tuple[str, ...]:
    """Return the notes about a cluster, each with the nodes that it concerns."""
    return (*_members(cluster), *_security(cluster), *_left_out(cluster, checks))


def _members(cluster: Cluster) -> Iterator[str]:
    if cluster.mode is ClusterMode.KRAFT:
        yield from _count(len(cluster.voters), "controller", "the cluster has no quorum")
    elif not cluster.members:
        yield (
            "No node has the role zookeeper: the ensemble's quorum is not seen, and its servers "
            "are neither watched nor healed."
        )
    else:
        yield from _count(len(cluster.members), "ZooKeeper server", "there is no ensemble")
    if not cluster.brokers:
        kept = "controllers" if cluster.mode is ClusterMode.KRAFT else "ZooKeeper servers"
        yield f"No node is a broker: only the {kept} are watched."


def _count(number: int, noun: str, lost: str) -> Iterator[str]:
    if number > 1 and number % 2 == 0:
        yield (
            f"{number} {noun}s are an even number: they survive no more losses than "
            f"{number - 1} would, and one more can fail."
        )
    if number == 1:
        yield f"There is one {noun}: when it is down, {lost}."


def _security(cluster: Cluster) -> Iterator[str]:
    said: tuple[tuple[Callable[[NodeConfig], bool], str], ...] = (
        (
            _jmx_in_clear,
            "The JMX password crosses the network in clear (no tls in security.jmx)",
        ),
        (
            _sasl_in_clear,
            "A Kafka password or token crosses the network in clear (allow_plaintext_password)",
        ),
        (
            _http_in_clear,
            "The credentials of a check in checks.http cross the network in clear (http://)",
        ),
        (
            lambda node: any(tls is not None and not tls.verify for tls in _tls(node)),
            "Certificates are not verified (verify: false): whoever answers is trusted",
        ),
        (
            lambda node: node.is_voter and node.is_broker and _half_secured(node),
            "The controller listener is spoken to without TLS (no security.controller)",
        ),
    )
    for holds, sentence in said:
        ids = [id_ for id_, node in cluster.nodes.items() if holds(node)]
        if ids:
            whom = "every node" if len(ids) == len(cluster.nodes) else f"node {', '.join(ids)}"
            yield f"{sentence}: {whom}."


def _half_secured(node: NodeConfig) -> bool:
    return node.kafka.tls is not None and node.controller.tls is None


def _jmx_in_clear(node: NodeConfig) -> bool:
    return node.jmx.password is not None and node.jmx.tls is None and not is_loopback(node.host)


def _sasl_in_clear(node: NodeConfig) -> bool:
    return not is_loopback(node.host) and any(
        listener.sasl is not None
        and listener.sasl.mechanism in _SENT_IN_CLEAR
        and listener.tls is None
        for listener in (node.kafka, node.controller)
    )


def _http_in_clear(node: NodeConfig) -> bool:
    def in_clear(probe: HttpProbe) -> bool:
        parts = urlsplit(probe.url)
        login = probe.password or probe.bearer or probe.secret_headers
        return bool(login) and parts.scheme == "http" and not is_loopback(parts.hostname or "")

    return any(in_clear(probe) for probe in node.http)


def _tls(node: NodeConfig) -> list[TlsConfig | None]:
    sasl = (node.kafka.sasl, node.controller.sasl)
    endpoints = [login.token_endpoint for login in sasl if login is not None]
    return [
        node.kafka.tls,
        node.controller.tls,
        node.jmx.tls,
        node.zookeeper.tls,
        node.zookeeper.admin_tls,
        *(endpoint.tls for endpoint in endpoints if endpoint is not None),
        *(probe.tls for probe in node.http),
    ]


def _left_out(cluster: Cluster, checks: ChecksConfig) -> Iterator[str]:
    """What is configured but not looked at, since `checks.kinds` does not list it."""
    if checks.kinds is None:
        return
    nodes = cluster.nodes.values()
    written = {
        Kind.LOG: ("log", any(node.log is not None for node in nodes)),
        Kind.CANARY: ("checks.canary", cluster.canary is not None),
        Kind.CUSTOM: ("checks.http and checks.commands", any(n.http or n.commands for n in nodes)),
    }
    for kind, (what, is_there) in written.items():
        if is_there and kind not in checks.kinds:
            yield f"{what} has no effect: checks.kinds does not list {kind.value}."
