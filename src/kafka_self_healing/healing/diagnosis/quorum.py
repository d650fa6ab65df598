"""Rules about the quorum: lost, without a controller, slow; and who is not counted in by it."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_self_healing.healing.assessment import (
    ClusterView,
    Process,
    Quorum,
    Standing,
    fresh_bound_s,
)
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import all_looks
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.peers import RUNNING_STATE
from kafka_self_healing.healing.reach import reach_words, reaches_quorum
from kafka_self_healing.healing.windows import counted_out
from kafka_self_healing.model.evidence import Family, Kind, Outcome, ProtocolFact
from kafka_self_healing.model.incident import Condition, Diagnosis, beside
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy

TAKING_PART = frozenset({"leader", "follower", "observer"})
"""Raft states of a controller that is not wedged."""

SESSION_GONE = frozenset({"CONNECTING", "CLOSED", "NOT_CONNECTED", "ASSOCIATING"})
"""SessionStates of a broker without a session; AUTH_FAILED is one that no restart mends."""

ALL = frozenset(Family)

ROWS = (
    Row(
        Condition.QUORUM_LOST,
        needs=frozenset({Kind.SERVICE, Kind.PROTOCOL, Kind.QUORUM}),
        seen="voters proven down by their machines (gone or silent), too few left for a majority,"
        " and no controller listener names a leader. Metadata, ISR and BrokerState of the survivor"
        " go on saying that all is well",
        contradicted_by="any controller that answers as the leader of a quorum",
        holds="as long as proof takes: two looks of an ended process, three of a silent one",
        done="the dead voters are started, one by one, each by its own PROCESS_GONE. Living voters"
        " and pure brokers are not touched. It is over only when somebody leads",
        you="nothing, unless a voter cannot be started; its own incident says why",
    ),
    Row(
        Condition.ENSEMBLE_QUORUM_LOST,
        needs=frozenset({Kind.SERVICE, Kind.PROTOCOL}),
        seen="in ZooKeeper mode too few members of the ensemble serve. The dead ones are proven"
        " down by their machines; the living say themselves that they are not serving, for longer"
        " than an election takes. `ruok` is no proof of anything: a member answers `imok` that"
        " serves nobody",
        contradicted_by="a member that leads, with followers that make a majority",
        holds="5 s of not serving, by a member's own word; of a dead one two looks",
        done="the dead members are started, one by one, each by its own PROCESS_GONE. Living"
        " members are not touched, and no broker is started or restarted: without an ensemble it"
        " could not register. Brokers that run go on serving. It is over only when a majority"
        " serves again",
        you="nothing, unless a member cannot be started. If none is dead and none serves, look at"
        " the network between them and at their logs: a person is called at once",
    ),
    Row(
        Condition.CONTROLLER_MISSING,
        needs=frozenset({Kind.JVM, Kind.QUORUM}),
        seen="in ZooKeeper mode the ActiveControllerCount of the brokers does not add up to one,"
        " though the ensemble serves",
        contradicted_by="a broker whose count cannot be read: it may be the controller",
        holds="two sessions of the broker, at least 30 s: a new controller is elected meanwhile",
        done="nothing; told, and a person is called after another 60 s",
        you="read the controllers' logs. With two controllers, restart the one that"
        " `zookeeper-shell ... get /controller` does not name; with none, look at the ensemble",
    ),
    Row(
        Condition.CONTROLLER_WEDGED,
        needs=frozenset({Kind.PROTOCOL, Kind.JVM, Kind.QUORUM, Kind.HOST, Kind.SERVICE}),
        seen="a controller lives and answers, its raft state is neither leader nor follower, the"
        " leader of the others has not heard from it, and from its host the leader and a majority"
        " of them are reached by TCP",
        contradicted_by="a leader that hears from it; a host that does not reach the others"
        " (PARTITIONED)",
        holds="three sessions of a broker, at least 30 s, and three accounts of the leader; all of"
        " it while its host reaches them",
        done="`service:restart`, an orderly one, once an hour, if a majority is healthy without it",
        you="nothing; keep its log: such a state is a bug of Kafka",
    ),
    Row(
        Condition.SESSION_LOST,
        needs=frozenset(
            {Kind.PROTOCOL, Kind.JVM, Kind.PEERS, Kind.QUORUM, Kind.HOST, Kind.SERVICE}
        ),
        seen="in ZooKeeper mode a broker lives and answers, its id is absent from the others'"
        " metadata, its SessionState is not CONNECTED, the ensemble serves, and from its host a"
        " majority of the members is reached by TCP",
        contradicted_by="a host that does not reach the ensemble (PARTITIONED); a SessionState"
        " CONNECTED or not readable (UNDIAGNOSED)",
        holds="three sessions while its host reaches the ensemble, and three looks of the"
        " witnesses",
        done="`service:restart`, an orderly one, once an hour, if no partition suffers",
        you="nothing; keep its log. If it comes again: long pauses of its JVM, or the ensemble",
    ),
    Row(
        Condition.SERVING_NOT_COUNTED,
        needs=frozenset({Kind.PROTOCOL, Kind.JVM, Kind.PEERS, Kind.HOST, Kind.SERVICE}),
        seen="in KRaft a broker lives and answers with BrokerState 3, the others list it as fenced"
        " or not at all, its own metadata, which lag by less than 5 s, say so too, and from its"
        " host the leader and a majority of the controllers are reached by TCP",
        contradicted_by="a host that does not reach the controllers (PARTITIONED); its own metadata"
        " that still list it, or lag (UNDIAGNOSED)",
        holds="three sessions, at least 30 s, while its host reaches the controllers, and three"
        " looks of the witnesses",
        done="`service:restart`, an orderly one, once an hour, if no partition suffers",
        you="nothing; keep its log: such a state is a bug of Kafka",
    ),
    Row(
        Condition.ENSEMBLE_DEGRADED,
        needs=frozenset({Kind.PROTOCOL}),
        seen="a member of the ensemble serves, but slowly: average latency 500 ms, 500 requests"
        " outstanding, an fsync of 1 s, or 90 % of its file descriptors open (`mntr`)",
        contradicted_by="nothing; what `mntr` does not say is not known",
        holds="30 s",
        done="nothing: a restart would move the load to the others",
        you="look at its disk (a transaction log wants one of its own), at the number of its"
        " clients and at the descriptor limit of its unit",
    ),
)


def quorum_lost(view: ClusterView) -> Diagnosis | None:
    """Too few voters live for a leader, proven by their machines, and nobody leads."""
    if view.quorum is not Quorum.LOST or view.view.cluster.mode is not ClusterMode.KRAFT:
        return None
    voters = [node for node in view.nodes.values() if node.config.is_voter]
    dead = [n for n in voters if n.process is Process.ENDED or n.silent or n.dark]
    proven = [n for n in voters if n.gone or n.silent]
    confirmed = len(voters) - len(proven) < len(voters) // 2 + 1
    evidence = (
        f"{len(dead)} of {len(voters)} voters are down: {', '.join(n.id for n in dead)}",
        "no controller listener names a leader",
    )
    return Diagnosis(
        Condition.QUORUM_LOST,
        tuple(n.id for n in dead),
        evidence,
        confirmed=confirmed,
        waiting="" if confirmed else "proof that they are gone",
        families=frozenset({Family.MACHINE, Family.THEIRS}),
    )


def ensemble_lost(view: ClusterView) -> Diagnosis | None:
    """Too few members serve: the living say so themselves, or the others are proven down."""
    if view.quorum is not Quorum.LOST or view.view.cluster.mode is ClusterMode.KRAFT:
        return None
    members = [node for node in view.nodes.values() if node.config.is_member]
    down = [n for n in members if n.process is Process.ENDED or n.silent or n.dark]
    idle = [n for n in members if n.serves is False and n not in down]
    proven = [n for n in members if n.gone or n.silent] + idle
    confirmed = len(members) - len(proven) < view.ensemble.majority
    evidence = [f"{len(down)} of {len(members)} members are down: {_names(down)}"] if down else []
    if idle:
        evidence.append(f"living, and not serving by their own word: {_names(idle)}")
    evidence.append("no member says that it leads or follows; ruok proves nothing")
    return Diagnosis(
        Condition.ENSEMBLE_QUORUM_LOST,
        tuple(n.id for n in (*down, *idle)),
        tuple(evidence),
        confirmed=confirmed,
        waiting="" if confirmed else "proof that they are gone",
        families=frozenset({Family.MACHINE, Family.THEIRS}),
    )


def _names(nodes: Sequence[Standing]) -> str:
    return ", ".join(node.id for node in nodes)


def controller_missing(view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """In ZooKeeper mode not exactly one broker says that it is the active controller."""
    cluster = view.view.cluster
    if cluster.mode is not ClusterMode.ZOOKEEPER or view.quorum is not Quorum.LED:
        return None
    brokers = [node for node in view.nodes.values() if node.config.is_broker]
    living = [node for node in brokers if node.process is not Process.ENDED]
    said = {n.id: n.jvm.active_controller if n.jvm is not None else None for n in living}
    if not living or None in said.values():
        return None
    active = [id_ for id_, is_it in said.items() if is_it]
    if len(active) == 1:
        return None
    text = f"{len(active)} of {len(living)} living brokers say that they are the active controller"
    text += f": {', '.join(active)}" if active else ""
    known = memory.incident_of(f"{cluster.name}/{Condition.CONTROLLER_MISSING.value}")
    held = view.now.since(known.opened) if known else 0.0
    need = max(policy.confirm_s, 2 * cluster.session_timeout_s)
    waiting = "" if held >= need else f"{need:g} s of it"
    return Diagnosis(
        Condition.CONTROLLER_MISSING,
        tuple(active),
        (text,),
        not waiting,
        waiting,
        frozenset({Family.OURS}),
        view.now.mono_s + need - held,
    )


def controller_wedged(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A controller lives outside of the quorum that it reaches."""
    state = node.jvm.raft_state if node.jvm is not None else None
    leads = view.account is None or view.leader == node.id
    if not node.config.is_voter or state is None or state in TAKING_PART or leads:
        return None
    if node.voter_stale is not True:
        return None
    evidence = (
        f"its raft state is {state}, while {view.leader} leads the others",
        "the leader has not heard from it",
    )
    return _of_outcast(Condition.CONTROLLER_WEDGED, node, view, policy, evidence, [])


def session_lost(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A broker serves without a session at the ensemble that it reaches."""
    cluster = view.view.cluster
    if cluster.mode is not ClusterMode.ZOOKEEPER or not node.config.is_broker:
        return None
    session = node.jvm.session if node.jvm is not None else None
    missing = []
    if session not in SESSION_GONE:
        missing.append(f"a SessionState that says so (it is {session or 'not readable'})")
    evidence = (f"its SessionState is {session or 'not readable'}", "the others do not list it")
    return _of_outcast(Condition.SESSION_LOST, node, view, policy, evidence, missing)


def serving_not_counted(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A broker serves, and the controllers that it reaches keep it fenced."""
    if view.view.cluster.mode is not ClusterMode.KRAFT or node.counted is not False:
        return None
    state = node.jvm.broker_state if node.jvm is not None else None
    lag = node.jvm.applied_lag_ms if node.jvm is not None else None
    listed = own_word(node, view, policy)
    missing = []
    if state != RUNNING_STATE:
        missing.append(f"BrokerState 3 (it is {'not readable' if state is None else state})")
    if lag is None or lag >= policy.signs.applied_lag_ms:
        said = "not readable" if lag is None else f"{lag:.0f} ms"
        missing.append(f"metadata that it applies without lag (the lag is {said})")
    if listed is not False:
        missing.append("its own metadata, saying the same")
    evidence = ["the others list it as fenced or not at all"]
    evidence += ["its own metadata say so too"] if listed is False else []
    return _of_outcast(Condition.SERVING_NOT_COUNTED, node, view, policy, evidence, missing)


def own_word(node: Standing, view: ClusterView, policy: Policy) -> bool | None:
    """Whether its own metadata, which no other node touches, list it; None: not known."""
    own = view.view.witnesses.get(node.id)
    if own is None or not own.track.good or not own.digest.readable:
        return None
    old = view.now.mono_s - own.track.result.ended
    fresh = old <= fresh_bound_s(Kind.PEERS, own.track, policy)
    return node.id in own.digest.counted if fresh else None


def not_counted(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A controller or a member lives, and the others do not count it in: nothing says why."""
    if not node.config.is_keeper:
        return None
    evidence = ("the others do not count it in",)
    return _of_outcast(Condition.UNDIAGNOSED, node, view, policy, evidence, [])


def _of_outcast(
    condition: Condition,
    node: Standing,
    view: ClusterView,
    policy: Policy,
    evidence: Sequence[str],
    missing: list[str],
) -> Diagnosis | None:
    """Judge a process that lives and is not counted in; what is not known confirms nothing.

    Its time counts from when its host was first known to reach the quorum: what was cut off until
    a moment ago comes back by itself.
    """
    out = view.view.outcasts.get(node.id)
    if out is None or counted_out(node) is not True or view.quorum is not Quorum.LED:
        return None
    since = out.since
    if reaches_quorum(node, view, policy) is not True:
        missing = [*missing, "proof that its host reaches the quorum"]
    elif out.reaches_since is not None:
        since = max(since, out.reaches_since)
    session = view.view.cluster.session_timeout_s
    held = view.now.mono_s - since
    need = max(policy.confirm_s, policy.signs.out_sessions * session)
    looks = [*all_looks(node, view), *evidence, reach_words(node, view, policy)]
    waiting = ""
    if held < need:
        waiting = f"{need:g} s of it"
    elif out.looks < policy.signs.out_looks:
        waiting = f"{out.looks} of {policy.signs.out_looks} looks of the others"
    elif missing:
        condition = Condition.UNDIAGNOSED
        looks.append(f"what it is cannot be told without {'; '.join(missing)}")
    return Diagnosis(condition, (node.id,), tuple(looks), not waiting, waiting, ALL, since + need)


def ensemble_degraded(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A member serves, but slowly, or is about to run out of descriptors."""
    track = view.view.track(node.id, Kind.PROTOCOL) if node.config.is_member else None
    if track is None or track.result.outcome is not Outcome.ANSWERED:
        return None
    fact = track.result.fact
    found = _slow_words(fact, policy) if isinstance(fact, ProtocolFact) else []
    if not found:
        return None
    known = memory.incident_of(beside(node.id, Condition.ENSEMBLE_DEGRADED))
    held = view.now.since(known.opened) if known else 0.0
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.ENSEMBLE_DEGRADED,
        (node.id,),
        tuple(found),
        not waiting,
        waiting,
        frozenset({Family.OURS}),
        view.now.mono_s + policy.confirm_s - held,
    )


def _slow_words(fact: ProtocolFact, policy: Policy) -> list[str]:
    found = []
    if fact.latency_ms is not None and fact.latency_ms >= policy.signs.latency_ms:
        found.append(f"a request takes {fact.latency_ms:.0f} ms on the average")
    if fact.outstanding is not None and fact.outstanding >= policy.signs.outstanding:
        found.append(f"{fact.outstanding} requests are outstanding")
    if fact.fsync_ms is not None and fact.fsync_ms >= policy.signs.fsync_ms:
        found.append(f"an fsync takes {fact.fsync_ms:.0f} ms")
    share = fact.open_files / fact.max_files if fact.open_files and fact.max_files else 0.0
    if share >= policy.signs.descriptors:
        found.append(f"{fact.open_files} of {fact.max_files} file descriptors are open")
    return found
