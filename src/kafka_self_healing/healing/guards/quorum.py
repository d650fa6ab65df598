"""Guards about the others: order, quorum, registration, replicas, bystanders, the controller."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from kafka_self_healing.healing.assessment import Quorum, Standing
from kafka_self_healing.healing.ensemble import quorum_words
from kafka_self_healing.healing.guards.subject import (
    PASSES,
    SEEN,
    Question,
    refuse,
    report,
    words_of_others,
)
from kafka_self_healing.healing.peers import ENOUGH
from kafka_self_healing.healing.replicas import Digest, losses
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.decision import Reason, Verdict
from kafka_self_healing.model.evidence import Kind, ProtocolFact
from kafka_self_healing.model.incident import HEALABLE, Condition
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.recovery import ActClass

SMALL_GROUP = 2
SHOWN = 5


def start_order(q: Question) -> Verdict:
    """Voters, members before brokers; where partitions are offline, their last holder first.

    A plan that a person approved has an order of its own.
    """
    plan = q.memory.plan
    if plan is not None and plan.current is not None and plan.waits(q.request.node):
        text = f"{plan.id} starts node {plan.current.node} first: {plan.current.why}"
        return refuse(Reason.PLAN_ORDER, text, lifted_by="its turn, the plan's end, or approval")
    if not q.node.config.is_broker:
        return PASSES
    if plan is not None and q.plan_step is not None:
        # Of a holder that is not part of it, whoever approved it did not know.
        return _behind(q, _holders_ahead(q, q.request.node) - {step.node for step in plan.steps})
    if not q.node.config.is_keeper:
        waiting = sorted(
            id_
            for id_ in q.view.ready - {q.request.node}
            if q.view.nodes[id_].config.is_keeper and not _holders_ahead(q, id_)
        )
        if waiting:
            kraft = q.view.view.cluster.mode is ClusterMode.KRAFT
            text = f"{'voters' if kraft else 'members'} go first: {', '.join(waiting)}"
            return refuse(Reason.VOTERS_FIRST, text, lifted_by="their start")
    return _holder_first(q)


def _holders_ahead(q: Question, own: str) -> frozenset[str]:
    """Return the last in-sync holders of offline partitions that go before this node.

    Two that wait for each other are both started; where an unclean election could choose a stale
    replica, nobody goes before the holder. A node that holds no replica waits for nobody.
    """
    if not q.view.nodes[own].config.is_broker:
        return frozenset()
    stranded = q.view.stranded
    holds = any(own in holders for holders in stranded.values())
    return frozenset(
        holder
        for topic, holders in stranded.items()
        for holder in holders
        if own not in holders
        and ((holder in q.view.ready and not holds) or topic in q.memory.unclean)
    )


def _holder_first(q: Question) -> Verdict:
    """Hold a node that is not the last in-sync holder while such a holder is down too."""
    ahead = _holders_ahead(q, q.request.node)
    if ahead:
        return _behind(q, ahead)
    if not q.memory.in_sync_known and not q.node.config.is_keeper and _cluster_is_down(q):
        text = "which broker was last in sync was never known"
        return refuse(Reason.IN_SYNC_UNKNOWN, text, lifted_by="approval")
    return PASSES


def _behind(q: Question, ahead: frozenset[str]) -> Verdict:
    if ahead:
        text = f"partitions without a leader were last in sync on {', '.join(sorted(ahead))}"
        if ahead & q.view.ready:
            lift = "the start of that node, or approval"
            return refuse(Reason.LAST_IN_SYNC_FIRST, text, lifted_by=lift)
        text += ", which is not about to be started; an unclean election would lose data"
        return refuse(Reason.LAST_IN_SYNC_DOWN, text, lifted_by="that node's return, or approval")
    return PASSES


def _cluster_is_down(q: Question) -> bool:
    return all(q.view.nodes[id_].answers is not True for id_ in q.view.view.cluster.brokers)


def quorum_is_present(q: Question) -> Verdict:
    """A pure broker is not touched while the quorum is lost; for a RESTART it must be known.

    What was lost is lost until somebody leads: that its state cannot be read says nothing else.
    """
    cluster = q.view.view.cluster
    kraft = cluster.mode is ClusterMode.KRAFT
    if q.node.config.is_keeper:
        return PASSES
    who = "a controller leader" if kraft else "an ensemble that serves"
    wide = {Condition.QUORUM_LOST, Condition.ENSEMBLE_QUORUM_LOST}
    known = any(one.condition in wide for one in q.memory.incidents.values())
    if q.view.quorum is Quorum.LOST or (known and q.view.quorum is Quorum.UNKNOWN):
        text = f"{quorum_words(cluster.mode)} is lost; a broker would only exit"
        return refuse(Reason.QUORUM_LOST, text, lifted_by=who)
    if q.request.act_class is not ActClass.START and q.view.quorum is not Quorum.LED:
        text = "no controller names a leader" if kraft else "no member says that it serves"
        return refuse(Reason.QUORUM_UNKNOWN, text, lifted_by=who)
    return PASSES


def quorum_is_safe(q: Question) -> Verdict:
    """Without this voter, or this member, a majority of all is known healthy."""
    if q.node.config.is_member:
        return _ensemble_is_safe(q)
    if not q.node.config.is_voter:
        return PASSES
    voters = q.view.view.cluster.voters
    if q.view.account is None:
        return refuse(Reason.QUORUM_UNREADABLE, "no controller names a leader",
                      lifted_by="a controller leader")  # fmt: skip
    listed = {voter.id for voter in q.view.account.voters or ()}
    if listed != set(voters):
        text = f"the leader's voters are {', '.join(sorted(listed))}, not the configured ones"
        return refuse(Reason.VOTERS_DIFFER, text, lifted_by="a configuration that matches")
    others = [q.view.nodes[id_] for id_ in voters if id_ != q.request.node]
    healthy = [node for node in others if node.voter_fresh is True]
    # What is out of the quorum already takes nothing from it: that the others hold it is enough.
    holding = [node for node in others if node.voter_stale is False and node.answers is not False]
    return _enough(q, "voters", len(holding if _is_out(q.node) else healthy), len(voters))


def _ensemble_is_safe(q: Question) -> Verdict:
    """Known healthy: a member that serves by its own word, and that the others count in."""
    ensemble = q.view.ensemble
    if ensemble.leader is None or not ensemble.led:
        return refuse(Reason.QUORUM_UNREADABLE, "no member says that it leads the ensemble",
                      lifted_by="an ensemble that serves")  # fmt: skip
    if ensemble.synced is not None and ensemble.synced >= ensemble.size:
        text = f"its leader counts {ensemble.synced} followers, {ensemble.size - 1} are configured"
        return refuse(Reason.VOTERS_DIFFER, text, lifted_by="a configuration that matches")
    others = [
        node
        for node in q.view.nodes.values()
        if node.config.is_member and node.id != q.request.node
    ]
    healthy = [node for node in others if node.ok is True]
    holding = [node for node in others if node.counted is True and node.answers is not False]
    return _enough(q, "members", len(holding if _is_out(q.node) else healthy), ensemble.size)


def _is_out(node: Standing) -> bool:
    """Whether it is silent and the others have dropped it."""
    return node.silent and node.dropped is True


def _enough(q: Question, what: str, healthy: int, size: int) -> Verdict:
    majority = size // 2 + 1
    if healthy >= majority:
        return PASSES
    text = f"without {q.request.node} {healthy} of {size} {what} are known healthy"
    text += f"; {majority} are needed"
    if size <= SMALL_GROUP:
        return refuse(Reason.SMALL_QUORUM, text, lifted_by="approval")
    return refuse(Reason.QUORUM_AT_RISK, text, lifted_by=f"more healthy {what}")


def registration_released(q: Question) -> Verdict:
    """ZooKeeper mode: the dead broker's registration is gone; a start before that only dies."""
    cluster, end = q.view.view.cluster, q.view.view.ends.get(q.request.node)
    if cluster.mode is not ClusterMode.ZOOKEEPER or not q.node.config.is_broker:
        return PASSES
    if end is None:
        return refuse(
            Reason.RELEASE_NOT_SEEN, "when its process ended is not known", lifted_by=SEEN
        )
    said = _still_listed(q, end.since)
    since, session = _session_since(q, end.since), cluster.session_timeout_s
    if any(said.values()):
        names = ", ".join(sorted(who for who, listed in said.items() if listed))
        gone = q.now - end.since
        text = f"{names} still list it, {gone:.0f} s after its end; its session is {session:g} s"
        last = since + q.policy.signs.sessions_listed * session
        if q.now >= last:
            text += ": does another process bear its id?"
            return refuse(Reason.DUPLICATE_ID, text, lifted_by="its leaving the list, or approval")
        due = since + session + 2 * cluster.tick_s
        text += f"; it ends in {due - q.now:.0f} s at the latest" if due > q.now else ""
        return refuse(Reason.STILL_REGISTERED, text, until=due if due > q.now else last,
                      lifted_by="its leaving the list, or approval")  # fmt: skip
    if said and len(said) >= _witnesses_needed(q):
        return PASSES
    return _released_in_time(q, since + session + 2 * cluster.tick_s)


def _released_in_time(q: Question, due: float) -> Verdict:
    """With nobody to ask, the session that nobody prolongs runs out, if the ensemble serves."""
    nobody = "too few brokers can be asked whether its registration is gone"
    if q.view.ensemble.leader is None or not q.view.ensemble.led:
        text = f"{nobody}, and no member says that it leads the ensemble"
        return refuse(
            Reason.RELEASE_NOT_SEEN, text, lifted_by="a witness, the ensemble, or approval"
        )
    if q.now < due:
        text = f"{nobody}; its session ends in {due - q.now:.0f} s at the latest"
        return refuse(
            Reason.RELEASE_NOT_SEEN, text, lifted_by="a witness, time, or approval", until=due
        )
    return PASSES


def _session_since(q: Question, end: float) -> float:
    """From when its old session counts: a new leader of the ensemble gives it its whole length."""
    reign = q.view.view.reign
    return end if reign is None else max(end, reign.since)


def _still_listed(q: Question, end: float) -> dict[str, bool]:
    """Whether each of the others lists it, by looks that began after its end was seen."""
    view, target = q.view.view, q.request.node
    fresh = [look for look in q.view.witness_looks if look.started >= end]
    said: dict[str, bool] = {}
    for who, witness in view.witnesses.items():
        asked = any(look is witness.track.result for look in fresh)
        # One that does not list itself has not been told by a controller yet.
        listed = witness.digest.listed
        told = target in listed or who in listed
        if asked and told and _can_witness(q, q.view.nodes[who]):
            said[who] = target in listed
    for id_ in view.cluster.members:
        track = view.track(id_, Kind.PROTOCOL)
        fact = track.result.fact if track is not None else None
        if track is None or track.result.started < end or not q.view.nodes[id_].serves:
            continue
        if isinstance(fact, ProtocolFact) and fact.registered is not None:
            said[id_] = target in fact.registered
    return said


def _can_witness(q: Question, node: Standing) -> bool:
    """Another living broker that the others have not dropped: what that one sees is a memory."""
    other = node.id != q.request.node and node.config.is_broker
    return other and node.answers is True and node.counted is not False


def _witnesses_needed(q: Question) -> int:
    """Two, or as many as there are."""
    return len(list(islice((n for n in q.view.nodes.values() if _can_witness(q, n)), ENOUGH)))


def replicas_are_safe(q: Question) -> Verdict:
    """Stopping it takes no partition under its min ISR and loses no last copy."""
    node, heard, least = q.node, words_of_others(q), _witnesses_needed(q)
    if not node.config.is_broker or (_is_out(node) and not _shared_by(node.id, heard)):
        return PASSES
    doubtful = frozenset(
        id_
        for id_ in q.view.uneasy
        if q.view.nodes[id_].config.is_broker and q.view.nodes[id_].ok is not True
    )
    if not heard or len(heard) < least:
        text = f"{len(heard)} other brokers told of its partitions; {max(1, least)} are needed"
        return refuse(Reason.REPLICAS_AT_RISK, text, lifted_by="a look at them, or approval")
    # They need not have heard the same news; whoever shows a partition in danger is believed.
    lost = list(dict.fromkeys(
        loss for read in heard for loss in losses(read, q.request.node, doubtful - {node.id})
    ))  # fmt: skip
    exempt = [x for x in lost if x.exemptable and x.topic in q.policy.exempt_topics]
    bad = [x for x in lost if x not in exempt]
    if bad:
        topics = sorted({x.topic for x in bad if x.exemptable})
        line = (
            f"; if that is meant: replicas.exempt_topics: [{', '.join(topics)}]" if topics else ""
        )
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        text = "; ".join(x.text for x in bad[:SHOWN]) + more + line
        return refuse(Reason.REPLICAS_AT_RISK, text, lifted_by="replicas in sync, or approval")
    if exempt:
        return report(Reason.EXEMPT_TOPICS, "; ".join(x.text for x in exempt[:SHOWN]))
    return PASSES


def _shared_by(id_: str, heard: Iterable[Digest]) -> bool:
    """Whether somebody shows it in sync beside others: whom they drop leaves those ISRs at once."""
    return any(
        id_ in part.isr and len(part.isr) > 1
        for read in heard
        for topic in read.topics or ()
        for part in topic.partitions or ()
        if part.isr
    )


def others_are_well(q: Question) -> Verdict:
    """All other members of its groups are known healthy, but those acknowledged as down."""
    target = q.node.config
    cluster = q.view.view.cluster
    sick: list[str] = []
    for id_ in q.view.in_place(_maybe_sick(q) - {q.request.node}):
        other = q.view.nodes[id_]
        brokers = target.is_broker and other.config.is_broker
        keepers = target.is_keeper and other.config.is_keeper
        if not brokers and not keepers:
            continue
        if not _healthy(q, other, brokers=brokers) and not _excused(q, id_):
            sick.append(id_)
    if sick:
        text = f"not known healthy: {', '.join(sick)}"
        return refuse(
            Reason.OTHERS_SICK, text, lifted_by="their health, their acknowledgement, or approval"
        )
    groups = ((target.is_broker, cluster.brokers), (target.is_keeper, cluster.keepers))
    size = min(len(group) for mine, group in groups if mine)
    if size <= SMALL_GROUP:
        return refuse(Reason.SMALL_GROUP, f"its group has {size} members", lifted_by="approval")
    return PASSES


def _maybe_sick(q: Question) -> frozenset[str]:
    """Who may not be healthy: all others are well, have been for long, and have no incident."""
    view = q.view.view
    young = q.now - q.policy.stable_window_s(view.cluster.session_timeout_s)
    maybe = {incident.subject for incident in q.memory.incidents.values()}
    if max(view.ok_since.values(), default=young) > young:
        maybe.update(id_ for id_, since in view.ok_since.items() if since > young)
    return q.view.uneasy.union(maybe & q.view.nodes.keys())


def _healthy(q: Question, other: Standing, *, brokers: bool) -> bool:
    if other.ok is not True:
        return False
    incident = q.memory.incident_of(other.id)
    if incident is not None and incident.condition in HEALABLE:
        return False
    stable = q.policy.stable_window_s(q.view.view.cluster.session_timeout_s)
    return not brokers or q.view.ok_s(other.id) >= stable


def _excused(q: Question, node: str) -> bool:
    incident = q.memory.incident_of(node)
    if incident is not None and incident.acknowledged_by:
        return True
    return any(
        s.order is Order.MAINTENANCE and s.target == node and s.holds(q.view.now)
        for s in q.memory.switches
    )


def controller_last(q: Question) -> Verdict:
    """The active controller is restarted last, among those that could be acted on now."""
    others = sorted(q.view.ready - {q.request.node})
    if q.request.node in q.view.leaders and others:
        return refuse(Reason.CONTROLLER_LAST, f"it leads the quorum; first {', '.join(others)}",
                      lifted_by="the others' healing")  # fmt: skip
    return PASSES


def rank(node: Standing, *, leads: bool, holds: bool) -> tuple[bool, bool, bool, bool, str]:
    """Return the order of acts: voters, holders of offline partitions, active controller last."""
    return (leads, not node.config.is_keeper, not holds, node.ok is True, node.id)
