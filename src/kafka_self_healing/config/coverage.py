"""Which conditions a configuration cannot heal, or not even see, and why: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kafka_self_healing.config.scalars import is_loopback
from kafka_self_healing.config.settings import Settings
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition, Reply, reply
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig
from kafka_self_healing.model.policy import Mode

SMALL_GROUP = 2
"""A group of at most so many members is never restarted without a person's approval."""

_GONE = tuple(condition for condition in Condition if reply(condition) is Reply.START)
_HUNG = (Condition.PROCESS_HUNG,)


@dataclass(frozen=True, slots=True)
class _Gap:
    """What one node lacks: the conditions that this takes away, and why."""

    conditions: tuple[Condition, ...]
    verb: str
    why: str


def unhealable(settings: Settings) -> tuple[str, ...]:
    """Return a sentence for each gap, with the nodes that it concerns; none: all can be healed."""
    nodes_of: dict[_Gap, list[str]] = {}
    for node in settings.cluster.nodes.values():
        for gap in _gaps(node, settings):
            nodes_of.setdefault(gap, []).append(node.id)
    everyone = len(settings.cluster.nodes)
    return (*_mode(settings.mode), *(_say(gap, ids, everyone) for gap, ids in nodes_of.items()))


def _say(gap: _Gap, ids: list[str], everyone: int) -> str:
    *first, last = (condition.value for condition in gap.conditions)
    names = f"{', '.join(first)} and {last}" if first else last
    whom = "any node" if len(ids) == everyone else f"node {', '.join(ids)}"
    verb = gap.verb
    if verb.startswith("not "):
        verb = f"{'are' if first else 'is'} {verb}"
    return f"{names} {verb} on {whom}: {gap.why}."


def _mode(mode: Mode) -> tuple[str, ...]:
    match mode:
        case Mode.OBSERVE:
            return ("Nothing is healed: the mode is observe, which only says what it would do.",)
        case Mode.APPROVE:
            return ("Nothing is healed by itself: in mode approve each act waits for a person.",)
        case Mode.AUTO:
            return ()


def _gaps(node: NodeConfig, settings: Settings) -> Iterator[_Gap]:
    yield from _service_gaps(node, settings.cluster)
    yield from _host_gaps(node, settings)
    yield from _witness_gaps(node, settings.cluster)
    yield from _small_groups(node, settings.cluster)
    if Kind.CERTIFICATE not in node.kinds and (node.listener.tls or node.zookeeper.tls):
        why = (
            "without CERTIFICATE evidence nobody reads the certificates that it serves, and with "
            "an expired one a new process would end at once"
        )
        yield _Gap(_restarted(node, settings.cluster), "not healed without a person", why)
    for kind, conditions in _seen_by(node, settings.cluster).items():
        if conditions and kind not in node.kinds:
            yield _Gap(tuple(conditions), "cannot be seen", _UNSEEN[kind])


_UNSEEN = {
    Kind.JVM: (
        "without JVM evidence (jmx_port) its state and progress are not seen, and a long start "
        "cannot be told from one that is stuck"
    ),
    Kind.HOST: (
        "without HOST evidence (data_dirs, access) nobody looks at its disks, nor asks its host "
        "what it reaches"
    ),
    Kind.LOG: (
        "without LOG evidence (log) its last words are not read, so that an end has no cause, and "
        "is answered like any other"
    ),
    Kind.CANARY: (
        "without CANARY evidence (checks.canary) no record is really written to it and read"
    ),
}
"""What is lost without a kind of evidence that only helps to tell one trouble from another."""


def _seen_by(node: NodeConfig, cluster: Cluster) -> dict[Kind, list[Condition]]:
    """Return what of such a node is seen only with a kind of evidence."""
    kraft = cluster.mode is ClusterMode.KRAFT
    outcast = {
        Condition.SESSION_LOST: node.is_broker and not kraft,
        Condition.SERVING_NOT_COUNTED: node.is_broker and kraft,
        Condition.CONTROLLER_WEDGED: node.is_voter,
    }
    cast_out = [condition for condition, has in outcast.items() if has]
    kafka = not node.is_member
    jvm = {
        Condition.RECOVERING_LOGS: kafka,
        Condition.LOG_DIR_FAILED: node.is_broker,
        Condition.OVERLOADED: node.is_broker,
        Condition.DESCRIPTORS_EXHAUSTED: kafka,
        Condition.METADATA_ERRORS: kafka and kraft,
        Condition.CONTROLLER_MISSING: node.is_broker and not kraft,
    }
    log = {
        Condition.CONFIG_BROKEN: True,
        Condition.PORT_TAKEN: True,
        Condition.WRONG_IDENTITY: kafka,
        Condition.HEAP_EXHAUSTED: kafka,
        Condition.INTER_BROKER_AUTH_BROKEN: node.is_broker,
    }
    host = [
        Condition.STORAGE_MISSING,
        Condition.STORAGE_LOST,
        Condition.DISK_FULL,
        Condition.DISK_FILLING,
        Condition.HOST_DOWN,
        Condition.HOST_FROZEN,
    ]
    return {
        Kind.JVM: [*(one for one, has in jvm.items() if has), *cast_out],
        Kind.HOST: [*host, *cast_out],
        Kind.LOG: [one for one, has in log.items() if has],
        Kind.CANARY: [Condition.COUNTED_NOT_SERVING] if node.is_broker else [],
    }


def _restarted(node: NodeConfig, cluster: Cluster) -> tuple[Condition, ...]:
    """Return the conditions of such a node that a restart answers."""
    kraft = cluster.mode is ClusterMode.KRAFT
    has = {
        Condition.SESSION_LOST: node.is_broker and not kraft,
        Condition.SERVING_NOT_COUNTED: node.is_broker and kraft,
        Condition.COUNTED_NOT_SERVING: node.is_broker,
        Condition.CONTROLLER_WEDGED: node.is_voter,
        Condition.HEAP_EXHAUSTED: not node.is_member,
    }
    answered = (condition for condition in Condition if reply(condition) is Reply.RESTART)
    return tuple(condition for condition in answered if has.get(condition, True))


def _service_gaps(node: NodeConfig, cluster: Cluster) -> Iterator[_Gap]:
    cannot = "cannot be healed"
    if Kind.SERVICE not in node.kinds:
        why = (
            "without SERVICE evidence (a service) nothing proves that its process ended or runs, "
            "and nothing can start it"
        )
        yield _Gap((*_GONE, *_restarted(node, cluster)), cannot, why)
        unseen = (Condition.STOPPED_BY_OPERATOR, Condition.STORAGE_HUNG)
        yield _Gap(unseen, "cannot be seen", "they are known from SERVICE evidence alone")
        return
    if not node.data_dirs:
        why = (
            "without data_dirs nobody can read who holds the lock of its log directory, so a "
            "process that was started by hand could not be told from one that is gone"
        )
        yield _Gap(_GONE, cannot, why)
    if not node.kinds & {Kind.LISTENER, Kind.PROTOCOL}:
        yield _Gap(_GONE, cannot, "neither LISTENER nor PROTOCOL looks at its port")
    if Kind.PROTOCOL not in node.kinds:
        yield _Gap(_HUNG, cannot, "without PROTOCOL evidence its silence is not noticed")


def _host_gaps(node: NodeConfig, settings: Settings) -> Iterator[_Gap]:
    """A host that nobody says how to ask is asked only if it turns out to be this machine."""
    known = node.access is not None or node.id in settings.here or is_loopback(node.host)
    if known or Kind.SERVICE not in node.kinds:
        return
    why = (
        "no access says how its host is asked, so the state of its process and the lock of its "
        "log directory are not read, unless it is the healer's own machine"
    )
    yield _Gap(_GONE, "may not be healed", why)
    yield _Gap((Condition.STORAGE_HUNG,), "may not be seen", why)


def _witness_gaps(node: NodeConfig, cluster: Cluster) -> Iterator[_Gap]:
    others = [other for other in cluster.nodes.values() if other.id != node.id]
    for role, of_it, kind, asked, group in (
        (node.is_broker, "broker", Kind.PEERS, "PEERS", "the cluster"),
        (node.is_voter, "controller", Kind.QUORUM, "QUORUM", "the quorum"),
        (node.is_member, "ZooKeeper server", Kind.QUORUM, "QUORUM", "the ensemble"),
    ):
        if role and not any(kind in other.kinds for other in others):
            why = f"no other {of_it} is asked ({asked}), so nobody can say that {group} dropped it"
            yield _Gap(_HUNG, "cannot be healed", why)
    if not any(Kind.QUORUM in each.kinds for each in cluster.nodes.values()):
        if node.is_voter:
            lost = Condition.QUORUM_LOST
            yield _Gap((lost,), "cannot be seen", "no controller is asked (QUORUM)")
        elif cluster.mode is ClusterMode.ZOOKEEPER:
            lost = Condition.ENSEMBLE_QUORUM_LOST
            yield _Gap((lost,), "cannot be seen", "no ZooKeeper server is asked (QUORUM)")
    if node.is_broker and not any(Kind.PEERS in each.kinds for each in cluster.nodes.values()):
        why = "no broker is asked about replicas (PEERS)"
        yield _Gap((Condition.UNDER_REPLICATED,), "cannot be seen", why)


def _small_groups(node: NodeConfig, cluster: Cluster) -> Iterator[_Gap]:
    groups = (
        ("controllers", node.is_voter, cluster.voters),
        ("brokers", node.is_broker, cluster.brokers),
        ("ZooKeeper servers", node.is_member, cluster.members),
    )
    for name, member, group in groups:
        if member and len(group) <= SMALL_GROUP:
            why = (
                f"a restart needs a person's approval where there are {SMALL_GROUP} {name} or fewer"
            )
            yield _Gap(_restarted(node, cluster), "not healed without a person", why)
