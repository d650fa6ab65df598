"""Guards about the others: order, quorum, replicas, bystanders, the controller."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import Quorum, Standing
from kafka_self_healing.healing.guards.subject import PASSES, Question, refuse, report
from kafka_self_healing.healing.replicas import losses
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.decision import Verdict
from kafka_self_healing.model.incident import EXPECTED, Condition
from kafka_self_healing.model.recovery import ActClass

SMALL_GROUP = 2
SHOWN = 5


def start_order(q: Question) -> Verdict:
    """Voters before brokers; where partitions are offline, their last in-sync holder first."""
    if not q.node.config.is_broker:
        return PASSES
    if not q.node.config.is_voter:
        waiting = sorted(
            id_
            for id_ in q.view.ready - {q.request.node}
            if q.view.nodes[id_].config.is_voter and not _holders_ahead(q, id_)
        )
        if waiting:
            return refuse("voters_first", f"voters go first: {', '.join(waiting)}",
                          lifted_by="their start")  # fmt: skip
    return _holder_first(q)


def _holders_ahead(q: Question, own: str) -> frozenset[str]:
    """Return the last in-sync holders of offline partitions that go before this node.

    Two that wait for each other are both started; where an unclean election could choose a stale
    replica, nobody goes before the holder. A node that holds no replica waits for nobody.
    """
    if not q.view.nodes[own].config.is_broker:
        return frozenset()
    stranded = offline_holders(q)
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
        text = f"partitions without a leader were last in sync on {', '.join(sorted(ahead))}"
        if ahead & q.view.ready:
            lift = "the start of that node, or approval"
            return refuse("last_in_sync_first", text, lifted_by=lift)
        text += ", which is not about to be started; an unclean election would lose data"
        return refuse("last_in_sync_down", text, lifted_by="that node's return, or approval")
    if not q.memory.in_sync_known and not q.node.config.is_voter and _cluster_is_down(q):
        text = "which broker was last in sync was never known"
        return refuse("in_sync_unknown", text, lifted_by="approval")
    return PASSES


def offline_holders(q: Question) -> dict[str, frozenset[str]]:
    """For each topic with partitions whose last known holders are all down: those holders."""
    down = {id_ for id_, node in q.view.nodes.items() if node.answers is not True}
    found: dict[str, frozenset[str]] = {}
    for name, isr in q.memory.not_whole.items():
        if isr and set(isr) <= down:
            topic = name.rpartition("-")[0]
            found[topic] = found.get(topic, frozenset()) | frozenset(isr)
    return found


def _cluster_is_down(q: Question) -> bool:
    brokers = [node for node in q.view.nodes.values() if node.config.is_broker]
    return all(node.answers is not True for node in brokers)


def quorum_is_present(q: Question) -> Verdict:
    """A pure broker is not touched while the quorum is lost; for a RESTART it must be known."""
    node = q.node.config
    if node.is_voter or not q.view.view.cluster.voters:
        return PASSES
    if q.view.quorum is Quorum.LOST:
        return refuse("quorum_lost", "the controller quorum is lost; a broker would only exit",
                      lifted_by="a controller leader")  # fmt: skip
    if q.request.act_class is not ActClass.START and q.view.quorum is not Quorum.LED:
        return refuse("quorum_unknown", "no controller names a leader",
                      lifted_by="a controller leader")  # fmt: skip
    return PASSES


def quorum_is_safe(q: Question) -> Verdict:
    """Without this voter a majority of all voters is known healthy."""
    if not q.node.config.is_voter:
        return PASSES
    voters = q.view.view.cluster.voters
    if q.view.account is None:
        return refuse("quorum_unreadable", "no controller names a leader",
                      lifted_by="a controller leader")  # fmt: skip
    listed = {voter.id for voter in q.view.account.voters or ()}
    if listed != set(voters):
        text = f"the leader's voters are {', '.join(sorted(listed))}, not the configured ones"
        return refuse("voters_differ", text, lifted_by="a configuration that matches")
    healthy = [
        id_ for id_ in voters if id_ != q.request.node and q.view.nodes[id_].voter_fresh is True
    ]
    majority = len(voters) // 2 + 1
    if len(healthy) >= majority:
        return PASSES
    have = f"{len(healthy)} of {len(voters)} voters are known healthy"
    text = f"without {q.request.node} {have}; {majority} are needed"
    if len(voters) <= SMALL_GROUP:
        return refuse("small_quorum", text, lifted_by="approval")
    return refuse("quorum_at_risk", text, lifted_by="more healthy voters")


def replicas_are_safe(q: Question) -> Verdict:
    """Stopping it takes no partition under its min ISR and loses no last copy."""
    node = q.node
    if not node.config.is_broker or (node.silent and node.dropped is True):
        return PASSES
    doubtful = frozenset(
        id_
        for id_, other in q.view.nodes.items()
        if other.config.is_broker and other.ok is not True
    )
    lost = losses(q.view.witness, q.request.node, doubtful - {q.request.node})
    exempt = [x for x in lost if x.exemptable and x.topic in q.policy.exempt_topics]
    bad = [x for x in lost if x not in exempt]
    if bad:
        topics = sorted({x.topic for x in bad if x.exemptable})
        line = (
            f"; if that is meant: replicas.exempt_topics: [{', '.join(topics)}]" if topics else ""
        )
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        text = "; ".join(x.text for x in bad[:SHOWN]) + more + line
        return refuse("replicas_at_risk", text, lifted_by="replicas in sync, or approval")
    if exempt:
        return report("exempt_topics", "; ".join(x.text for x in exempt[:SHOWN]))
    return PASSES


def others_are_well(q: Question) -> Verdict:
    """All other members of its groups are known healthy, but those acknowledged as down."""
    target = q.node.config
    sick: list[str] = []
    size = 0
    for id_, other in q.view.nodes.items():
        brokers = target.is_broker and other.config.is_broker
        voters = target.is_voter and other.config.is_voter
        if not brokers and not voters:
            continue
        size += 1
        if (
            id_ != q.request.node
            and not _excused(q, id_)
            and not _healthy(q, other, brokers=brokers)
        ):
            sick.append(id_)
    if sick:
        text = f"not known healthy: {', '.join(sick)}"
        return refuse(
            "others_sick", text, lifted_by="their health, their acknowledgement, or approval"
        )
    if size <= SMALL_GROUP:
        return refuse("small_group", f"its group has {size} members", lifted_by="approval")
    return PASSES


def _healthy(q: Question, other: Standing, *, brokers: bool) -> bool:
    if other.ok is not True:
        return False
    incident = q.memory.incident_of(other.id)
    if incident is not None and incident.condition not in EXPECTED | {Condition.FLAPPING}:
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
    """The active controller is restarted last."""
    leads = q.view.account is not None and q.view.account.leader == q.request.node
    others = sorted(q.view.queued - {q.request.node})
    if leads and others:
        return refuse("controller_last", f"it leads the quorum; first {', '.join(others)}",
                      lifted_by="the others' healing")  # fmt: skip
    return PASSES


def rank(node: Standing, *, leads: bool, holds: bool) -> tuple[bool, bool, bool, bool, str]:
    """Return the order of acts: voters, holders of offline partitions, active controller last."""
    return (leads, not node.config.is_voter, not holds, node.ok is True, node.id)
