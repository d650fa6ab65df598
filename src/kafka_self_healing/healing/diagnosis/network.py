"""Rules about hosts and the ways to them: host down, host frozen, node partitioned."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.diagnosis.process import dropped_words
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import all_looks, dark_since
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.reach import reach_words, reaches_quorum
from kafka_self_healing.healing.windows import counted_out
from kafka_self_healing.model.evidence import Family, HostFact, Kind
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy

SEEKING = frozenset({"CONNECTING", "NOT_CONNECTED"})
"""SessionStates of a broker that tries to reach the ensemble and does not."""

ROWS = (
    Row(
        Condition.HOST_DOWN,
        needs=frozenset({Kind.PROTOCOL, Kind.HOST, Kind.PEERS}),
        seen="none of our ways to the node is answered, a ping neither where one was tried, and"
        " the others have dropped it (of a controller or member: the quorum's leader, QUORUM)",
        contradicted_by="a ping that is answered (HOST_FROZEN); others that still count it in"
        " (VIEWPOINT_LOST); most of the cluster dark with it (VIEWPOINT_LOST of the cluster)",
        holds="two looks on every way, and Kafka's own session: the others have dropped it",
        done="nothing: there is no way to act. Other nodes are not touched for it",
        you="look at power, hypervisor and network of the host. Once it boots, a node that its"
        " manager does not start is started after 60 s",
    ),
    Row(
        Condition.HOST_FROZEN,
        needs=frozenset({Kind.PROTOCOL, Kind.HOST, Kind.PEERS}),
        seen="the host's kernel answers (ping, or connections open), but no process does: not"
        " Kafka, not sshd; and the others have dropped the node",
        contradicted_by="a host that can be asked (then PROCESS_HUNG or STORAGE_HUNG); others that"
        " still count it in",
        holds="three silent looks, and Kafka's own session: the others have dropped it",
        done="nothing: no order would be heard",
        you="look at the hypervisor (paused, out of memory, storage stalled); whether to reset the"
        " host is for you to decide",
    ),
    Row(
        Condition.PARTITIONED,
        needs=frozenset({Kind.PROTOCOL, Kind.SERVICE, Kind.PEERS}),
        seen="the process runs and answers us, the others do not count it in, and from its host"
        " the quorum is not reached (TCP from there; in ZooKeeper mode also a SessionState that"
        " stays CONNECTING while the ensemble serves the others)",
        contradicted_by="a host that reaches the quorum (SERVING_NOT_COUNTED, SESSION_LOST,"
        " CONTROLLER_WEDGED); where it is not known what it reaches: UNDIAGNOSED",
        holds="30 s",
        done="nothing: a healthy process is never restarted for its network",
        you="repair the network between this host and the others: routes, firewall, names. The node"
        " comes back by itself",
    ),
)


def host_fact(node: Standing, view: ClusterView) -> HostFact | None:
    """Return what the newest look at its host brought, fresh or not."""
    track = view.view.track(node.id, Kind.HOST)
    fact = track.result.fact if track is not None else None
    return fact if isinstance(fact, HostFact) else None


def host_down(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Nothing on the host answers, and the others have dropped the node."""
    if not node.dark or Kind.HOST not in node.config.kinds:
        return None
    fact = host_fact(node, view)
    if fact is not None and fact.ping is True:
        return None
    held = view.now.mono_s - dark_since(node, view)
    waiting = ""
    if view.viewpoint_lost:
        waiting = "most nodes are dark with it: it may be we who are blind"
    elif node.dropped is None and held >= policy.confirm_s:
        return None  # nobody can say whether it is the host or our way to it
    elif node.dropped is not True:
        waiting = dropped_words(node)
    ping = ("a ping is not answered either",) if fact is not None and fact.ping is False else ()
    return Diagnosis(
        Condition.HOST_DOWN,
        (node.id,),
        (*all_looks(node, view), *ping, dropped_words(node)),
        not waiting,
        waiting,
        frozenset({Family.OURS, Family.MACHINE, Family.THEIRS}),
        view.now.mono_s + policy.confirm_s - held,
    )


def host_frozen(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """The host's kernel answers, and none of its processes does."""
    fact = host_fact(node, view)
    if fact is None or fact.reachable is not False or node.process is not Process.UNKNOWN:
        return None
    door = view.view.track(node.id, Kind.LISTENER)
    kernel = fact.ping is True or (door is not None and door.good)
    if not kernel or node.refused or node.silent_looks < 2 or node.jvm_silent is False:
        return None
    silence = view.view.track(node.id, Kind.PROTOCOL)
    held = view.now.mono_s - silence.since if silence is not None else 0.0
    if node.dropped is False or (node.dropped is None and held >= policy.confirm_s):
        return None  # counted in, or nobody can say
    waiting = ""
    if node.silent_looks < policy.silent_looks:
        waiting = f"{node.silent_looks} of {policy.silent_looks} silent looks"
    elif node.dropped is not True:
        waiting = dropped_words(node)
    ping = ("a ping is answered",) if fact.ping is True else ()
    return Diagnosis(
        Condition.HOST_FROZEN,
        (node.id,),
        (*all_looks(node, view), *ping, dropped_words(node)),
        not waiting,
        waiting,
        frozenset({Family.OURS, Family.MACHINE, Family.THEIRS}),
    )


def partitioned(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It is well, but out of reach of the quorum, and the others have dropped it."""
    out = view.view.outcasts.get(node.id)
    if out is None or counted_out(node) is not True or view.quorum is not Quorum.LED:
        return None
    reaches = reaches_quorum(node, view, policy)
    session = node.jvm.session if node.jvm is not None else None
    zookeeper = view.view.cluster.mode is ClusterMode.ZOOKEEPER
    seeking = zookeeper and node.config.is_broker and session in SEEKING
    if reaches is True or (reaches is None and not seeking):
        return None
    held = view.now.mono_s - out.since
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    evidence = [*all_looks(node, view), "the others do not count it in"]
    evidence.append(reach_words(node, view, policy))
    if seeking:
        evidence.append(f"its session with the ensemble: {session}")
    return Diagnosis(
        Condition.PARTITIONED,
        (node.id,),
        tuple(evidence),
        not waiting,
        waiting,
        frozenset({Family.THEIRS, Family.MACHINE}),
        out.since + policy.confirm_s,
    )
