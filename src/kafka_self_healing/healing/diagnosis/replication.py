"""Rules about replicas: missing, without a leader, being moved; and who serves none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import all_looks
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.peers import RUNNING_STATE
from kafka_self_healing.healing.replicas import NOBODY
from kafka_self_healing.model.evidence import MISCONFIGURED, Family, Kind, LogFact, Outcome
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy

SHOWN = 8
ZOMBIE = Condition.COUNTED_NOT_SERVING

LOGIN_WORDS = (
    "SaslAuthenticationException",
    "SslAuthenticationException",
    "SSLHandshakeException",
    "SSL handshake failed",
)
"""What a broker logs that cannot log in at the others."""

NOT_ITS_FAULT = MISCONFIGURED | {Outcome.NOT_ASKED}
"""Outcomes of a canary that say nothing of the broker."""

ROWS = (
    Row(
        Condition.UNDER_REPLICATED,
        needs=frozenset({Kind.PEERS}),
        seen="the witnesses show partitions that lack replicas in sync, and no trouble of a node"
        " explains it",
        contradicted_by="an incident of every node that is missing from the ISRs: it is told there",
        holds="30 s",
        done="nothing; told, and a person is called after 300 s",
        you="look at the node that is missing from the ISRs, and at disks and network",
    ),
    Row(
        Condition.PARTITIONS_OFFLINE,
        needs=frozenset({Kind.PEERS}),
        seen="the witnesses show partitions without a leader: nobody can write or read them",
        contradicted_by="a quorum that is lost: then nobody knows, and that is told",
        holds="30 s",
        done="whoever was last in sync is started first, if its process has ended"
        " ([`start_order`](guards.md)). Told, and a person is called after another 60 s",
        you="bring back the node named as last in sync. Never elect a stale replica (unclean"
        " election) before you have given that one up: what it alone has would be lost",
    ),
    Row(
        Condition.COUNTED_NOT_SERVING,
        needs=frozenset({Kind.PROTOCOL, Kind.SERVICE, Kind.CANARY, Kind.PEERS}),
        seen="the others list the broker and it answers ApiVersions, but canary records to the"
        " partitions that it leads are lost, and followers that are in sync with everybody else"
        " have dropped out of the ISRs of its partitions, while it is in theirs",
        contradicted_by="canaries lost at other brokers too; followers that lag behind others as"
        " well; a canary that is refused for its credentials; a broker that is in no ISR of"
        " another leader: that may be the network between them (UNDIAGNOSED)",
        holds="three lost records, at least 30 s and two sessions",
        done="`service:restart`, an orderly one, once an hour, if no partition suffers. Often one"
        " would: it leads partitions that nobody else has in sync; then a person is called",
        you="look at its disk and its log. Where it alone has the newest records, wait until the"
        " followers are back or `approve` the restart, which costs availability meanwhile",
    ),
    Row(
        Condition.INTER_BROKER_AUTH_BROKEN,
        needs=frozenset({Kind.PROTOCOL, Kind.SERVICE, Kind.PEERS, Kind.LOG}),
        seen="everything of the broker's own is well (process, answers, BrokerState 3), the others"
        " list it, but it is in no ISR but those of its own partitions, and its log has"
        " SaslAuthenticationException or failed TLS handshakes",
        contradicted_by="an ISR of another leader's that it is in",
        holds="30 s",
        done="nothing: a restart would take it out of the cluster for good",
        you="repair its inter-broker login or certificates: of the listener that"
        " `inter.broker.listener.name` names, its password or keystore, and the truststores",
    ),
    Row(
        Condition.REASSIGNMENT_RUNNING,
        needs=frozenset({Kind.PEERS}),
        seen="the witnesses show partitions whose replicas are being moved",
        contradicted_by="nothing",
        holds="one look",
        done="nothing but a note. RESTARTs wait until it is over, unless their target is silent and"
        " dropped ([`no_foreign_work`](guards.md))",
        you="nothing. One that never ends: `kafka-reassign-partitions --cancel`",
    ),
)


def under_replicated(
    view: ClusterView, memory: Memory, policy: Policy, found: Mapping[str, Diagnosis]
) -> Diagnosis | None:
    """Partitions lack replicas in sync, and no trouble of a node explains it."""
    witness = view.witness
    if not witness.readable or not witness.not_whole or view.quorum is Quorum.LOST:
        return None
    missing = sorted(witness.out_of_sync)
    explained = set(found) | {incident.subject for incident in memory.incidents.values()}
    zombies = {id_ for id_, one in found.items() if one.condition is ZOMBIE}
    explained |= {id_ for id_, leaders in witness.out_of_sync.items() if leaders <= zombies}
    if missing and all(node in explained for node in missing):
        return None
    names = [f"{topic}-{part}" for topic, part in sorted(witness.not_whole)]
    evidence = [f"{len(names)} partitions are not whole: {_shown(names)}"]
    if len(missing) == 1:
        evidence.append(f"the only node missing from their ISRs is {missing[0]}")
    fled = {id_ for leaders in witness.out_of_sync.values() for id_ in leaders}
    if len(fled) == 1 and len(missing) > 1:
        evidence.append(f"all of them are led by {min(fled)}: look there")
    if witness.offline:
        evidence.append(f"{len(witness.offline)} of them have no leader")
    known = memory.incident_of(f"{view.view.cluster.name}/{Condition.UNDER_REPLICATED.value}")
    since = known.opened.mono_s if known else view.now.mono_s
    held = view.now.mono_s - since
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.UNDER_REPLICATED,
        tuple(missing),
        tuple(evidence),
        not waiting,
        waiting,
        frozenset({Family.THEIRS}),
        since + policy.confirm_s,
    )


def partitions_offline(view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """Partitions have no leader. Who was last in sync is what matters then."""
    witness = view.witness
    if not witness.readable or not witness.offline or view.quorum is Quorum.LOST:
        return None
    names = [f"{topic}-{part}" for topic, part in sorted(witness.offline)]
    evidence = [f"{len(names)} partitions have no leader: {_shown(names)}"]
    last = {id_ for name in names for id_ in memory.not_whole.get(name, ())}
    holders = sorted(id_ for id_ in last if id_ in view.nodes)
    if holders:
        evidence.append(f"last in sync, to be brought back first: {', '.join(holders)}")
    known = memory.incident_of(f"{view.view.cluster.name}/{Condition.PARTITIONS_OFFLINE.value}")
    held = view.now.since(known.opened) if known else 0.0
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.PARTITIONS_OFFLINE,
        tuple(holders),
        tuple(evidence),
        not waiting,
        waiting,
        frozenset({Family.THEIRS}),
        view.now.mono_s + policy.confirm_s - held,
    )


def reassignment_running(view: ClusterView) -> Diagnosis | None:
    """Somebody moves replicas."""
    moving = view.witness.moving
    if not moving:
        return None
    text = f"{len(moving)} partitions are being moved: {_shown(moving)}"
    return Diagnosis(
        Condition.REASSIGNMENT_RUNNING,
        (),
        (text,),
        confirmed=True,
        families=frozenset({Family.THEIRS}),
    )


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (" …" if len(listed) > SHOWN else "")


def counted_not_serving(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """The others list it, but its partitions take no record, and their followers drop out."""
    track = view.view.track(node.id, Kind.CANARY) if node.config.is_broker else None
    if track is None or track.good or track.result.outcome in NOT_ITS_FAULT:
        return None
    if node.process is not Process.RUNNING or not node.answers or node.counted is not True:
        return None
    if view.now.mono_s - track.result.ended > policy.fresh_cap_s:
        return None
    # Whoever is out of other leaders' ISRs too is behind by its own fault.
    fled = sorted(
        id_
        for id_, leaders in view.witness.out_of_sync.items()
        if leaders == {node.id} and id_ in view.nodes and view.nodes[id_].ok is True
    )
    elsewhere = _canary_lost_elsewhere(node, view)
    if elsewhere and not fled:
        return None
    held = view.now.mono_s - track.since
    need = max(policy.confirm_s, 2 * view.view.cluster.session_timeout_s)
    waiting = ""
    if track.streak < policy.signs.out_looks:
        waiting = f"{track.streak} of {policy.signs.out_looks} lost records"
    elif held < need:
        waiting = f"{need:g} s of it"
    condition = Condition.COUNTED_NOT_SERVING
    evidence = [*all_looks(node, view), "the others list it"]
    doubt = _doubt(node, view, elsewhere=elsewhere, fled=bool(fled))
    if not waiting and doubt:
        condition = Condition.UNDIAGNOSED
        evidence.append(doubt)
    if fled:
        evidence.append(f"out of the ISRs of its partitions, and of no others: {', '.join(fled)}")
    families = {Family.OURS} | ({Family.THEIRS} if fled else set())
    return Diagnosis(
        condition,
        (node.id,),
        tuple(evidence),
        not waiting,
        waiting,
        frozenset(families),
        track.since + need,
    )


def _doubt(node: Standing, view: ClusterView, *, elsewhere: bool, fled: bool) -> str:
    """Say what keeps lost records from being proof that this broker serves nobody; "": nothing."""
    if not fled:
        return "no follower shows it: none has dropped out of its partitions' ISRs alone"
    if elsewhere:
        return "records to other brokers are lost, too"
    if not follows(node, view):
        return "it is in no ISR of another leader: it may be the network between them"
    return ""


def follows(node: Standing, view: ClusterView) -> bool:
    """Whether its own fetches go through: it is in sync with other leaders, and there are some."""
    if node.in_sync is not True:
        return False
    parts = (part for topic in view.witness.topics or () for part in topic.partitions or ())
    return any(node.id in (part.isr or ()) and part.leader != node.id for part in parts)


def _canary_lost_elsewhere(node: Standing, view: ClusterView) -> bool:
    others = (id_ for id_ in view.view.cluster.brokers if id_ != node.id)
    tracks = (view.view.track(id_, Kind.CANARY) for id_ in others)
    # A broker that does not answer at all loses its records for reasons of its own.
    return any(
        track is not None and not track.good and view.nodes[track.result.subject].answers is True
        for track in tracks
    )


def inter_broker_auth_broken(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """All of its own is well, it is in nobody's ISR, and its log says that it is refused."""
    if node.in_sync is not False or node.counted is not True or node.answers is not True:
        return None
    state = node.jvm.broker_state if node.jvm is not None else RUNNING_STATE
    if node.process is not Process.RUNNING or state != RUNNING_STATE:
        return None
    words = _refused_logins(node, view, policy)
    if not words or not _out_everywhere(node.id, view):
        return None
    track = view.view.catching_up.get(node.id)
    held = view.now.mono_s - track.fell_at if track is not None else 0.0
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.INTER_BROKER_AUTH_BROKEN,
        (node.id,),
        ("it is in no ISR but those of its own partitions", f"its log: {words}"),
        not waiting,
        waiting,
        frozenset({Family.THEIRS, Family.MACHINE}),
        view.now.mono_s + policy.confirm_s - held,
    )


def _refused_logins(node: Standing, view: ClusterView, policy: Policy) -> str:
    track = view.view.track(node.id, Kind.LOG)
    fact = track.result.fact if track is not None and track.good else None
    if track is None or not isinstance(fact, LogFact):
        return ""
    if view.now.mono_s - track.result.ended > policy.fresh_cap_s:
        return ""
    lines = [line for line in fact.tail or () if any(word in line for word in LOGIN_WORDS)]
    return lines[-1][:200] if lines else ""


def _out_everywhere(id_: str, view: ClusterView) -> bool:
    """Whether every partition that it holds and another one leads is without it."""
    held = [
        part
        for topic in view.witness.topics or ()
        for part in topic.partitions or ()
        if id_ in (part.replicas or ()) and part.leader not in {None, NOBODY, id_}
    ]
    return bool(held) and all(part.isr is not None and id_ not in part.isr for part in held)
