"""How long things have held: the view's windows after a turn (health, reigns, storms …)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.ensemble import LEADER
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.progress import follow_runs
from kafka_self_healing.healing.reach import reaches_quorum
from kafka_self_healing.healing.view import LONG_AGO_S, Ended, Outcast, Recovery, Reign, Run, View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import CheckResult, Kind, QuorumFact
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.model.policy import Policy

SEGMENT_WEIGHT = 1_000_000
"""One log left counts more than all segments: segments start anew with each log."""

UNEXPLAINING = frozenset({Condition.FLAPPING, Condition.UNDIAGNOSED})
"""Conditions that leave it open why good and failing looks change places."""


def update_windows(
    cluster: ClusterView, policy: Policy, away: frozenset[NodeId], ours: frozenset[NodeId]
) -> View:
    """Return the view with its windows as of this turn.

    `away`: nodes in maintenance; they never count for a storm. `ours`: nodes that we may be
    stopping ourselves.
    """
    view, now = cluster.view, cluster.now
    ok_since = _held(view.ok_since, cluster, lambda node: node.ok)
    well_since = _held(view.well_since, cluster, lambda node: node.well)
    sick_since, before_us = _sick(cluster, away)
    view = replace(
        view,
        turn=now,
        reign=_reign(cluster),
        ok_since=ok_since,
        well_since=well_since,
        sick_since=sick_since,
        sick_before_us=before_us,
        recoveries=_recoveries(cluster),
        catching_up=_catching_up(cluster),
        runs=_runs(cluster),
        ends=_ends(cluster),
        touched=frozenset(),
        kept=cluster.kept,
        stops_seen=_stops_seen(cluster, ours),
        outcasts=_outcasts(cluster, policy),
    )
    return _storm(follow_runs(view, cluster, policy), cluster, policy)


def watch_clocks(view: View, policy: Policy, now: Instant) -> View:
    """Note a suspend (warm up again) and a step of UTC against the boot clock (freeze acts)."""
    if view.turn is None:
        return view
    gap = now.mono_s - view.turn.mono_s
    step = abs((now.utc_s - view.turn.utc_s) - gap)
    if gap > policy.gap_s:
        view = view.rewarm(now, f"nothing was seen for {gap:.0f} s (suspended?)")
    if step > policy.clock_step_s:
        view = view.doubt_clock(now, f"the clock was set by {step:.0f} s")
    return view


def watch_pauses(view: View, memory: Memory, now: Instant) -> View:
    """Warm up again once a pause has ended by itself, as after a resume."""
    was = view.turn
    if was is None:
        return view
    pauses = (switch for switch in memory.switches if switch.order is Order.PAUSE)
    over = any(pause.holds(was) and not pause.holds(now) for pause in pauses)
    return view.rewarm(now, "a pause has just ended") if over else view


def settle(view: View, policy: Policy, now: Instant) -> View:
    """End the warm-up and the doubt about the clock once enough rounds are over."""
    warming, doubt = view.warming, view.clock_doubt
    if warming is not None:
        if warming.since is None:
            warming = replace(warming, since=now.mono_s)
        over = now.mono_s - (warming.since or 0.0) >= policy.warm_floor_s
        if over and warming.done(view.statuses, view.cluster) >= policy.warm_rounds:
            warming = None
    if doubt is not None and doubt.done(view.statuses, view.cluster) >= policy.warm_rounds:
        doubt = None
    if warming is view.warming and doubt is view.clock_doubt:
        return view
    return replace(view, warming=warming, clock_doubt=doubt)


def note_agreement(
    view: View, found: Sequence[tuple[str, Diagnosis]], memory: Memory, now: Instant
) -> View:
    """Note when the families last agreed on what is wrong with a node, and who has anything."""
    noted = frozenset(id_ for _, one in found for id_ in one.nodes)
    noted = noted.union(*(incident.nodes for incident in memory.incidents.values()))
    if noted != view.noted:
        view = replace(view, noted=noted)
    view = _explain(view, found, now)
    agreed = {
        subject: now.mono_s
        for subject, diagnosis in found
        if diagnosis.confirmed and diagnosis.condition is not Condition.UNDIAGNOSED
    }
    subjects = {subject for subject, _ in found}
    kept = {node: at for node, at in view.agreed_at.items() if node in subjects}
    return replace(view, agreed_at={**kept, **agreed}) if agreed or view.agreed_at else view


def _explain(view: View, found: Sequence[tuple[str, Diagnosis]], now: Instant) -> View:
    """Note which nodes have a condition that explains changes between good and failing looks."""
    explained = {
        subject: now.mono_s
        for subject, diagnosis in found
        if diagnosis.confirmed
        and subject in view.cluster.nodes
        and diagnosis.condition not in UNEXPLAINING
    }
    return replace(view, explained_at={**view.explained_at, **explained}) if explained else view


def _held(
    since: Mapping[NodeId, float],
    cluster: ClusterView,
    state: Callable[[Standing], bool | None],
) -> Mapping[NodeId, float]:
    """Fold one condition: it begins when known good and ends when known bad."""
    changed: dict[NodeId, float] | None = None
    view, now = cluster.view, cluster.now.mono_s
    for id_ in cluster.changed:
        good = state(cluster.nodes[id_])
        if good is True and id_ not in since:
            changed = dict(since) if changed is None else changed
            first = view.backdate_until is not None and now <= view.backdate_until
            changed[id_] = now - LONG_AGO_S if first else now
        elif good is False and id_ in since:
            changed = dict(since) if changed is None else changed
            del changed[id_]
    return since if changed is None else changed


def _reign(cluster: ClusterView) -> Reign | None:
    """Follow who leads the quorum, and since when: a new leader gives all sessions a new length."""
    leader, known = cluster.leader, cluster.view.reign
    if leader is None:
        return None if known is not None and _deposed(known, cluster) else known
    epoch = cluster.account.epoch if cluster.account is not None else cluster.ensemble.epoch
    if known is not None and (known.leader, known.epoch) == (leader, epoch):
        return known
    now = cluster.now.mono_s
    first = cluster.view.backdate_until
    backdated = known is None and first is not None and now <= first
    return Reign(leader, epoch, now - LONG_AGO_S if backdated else now)


def _deposed(reign: Reign, cluster: ClusterView) -> bool:
    """Whether an ensemble's leader no longer leads; it may come back, as another reign."""
    if reign.leader not in cluster.view.cluster.members:
        return False
    track = cluster.view.quorum.get(reign.leader)
    fact = track.result.fact if track is not None else None
    says_not = isinstance(fact, QuorumFact) and fact.mode != LEADER
    return says_not or cluster.quorum is Quorum.LOST


def _sick(
    cluster: ClusterView, away: frozenset[NodeId]
) -> tuple[Mapping[NodeId, float], frozenset[NodeId]]:
    known, view = cluster.view.sick_since, cluster.view
    lost = (id_ for id_ in cluster.uneasy if cluster.nodes[id_].dark or cluster.nodes[id_].silent)
    sick = {
        id_: known.get(id_, cluster.now.mono_s) for id_ in cluster.in_place(lost) if id_ not in away
    }
    if not sick and not known:
        return known, view.sick_before_us
    early = view.warming is not None or (
        view.backdate_until is not None and cluster.now.mono_s <= view.backdate_until
    )
    fresh = frozenset(id_ for id_ in sick if id_ not in known)
    before = (view.sick_before_us & frozenset(sick)) | (fresh if early else frozenset())
    return sick, before


def _storm(view: View, cluster: ClusterView, policy: Policy) -> View:
    now = cluster.now.mono_s
    new = [id_ for id_ in view.sick_since if id_ not in view.sick_before_us]
    if not new and view.storm_joined is None:
        return view
    recent = [id_ for id_ in new if now - view.sick_since[id_] <= policy.storm_window_s]
    total = max(1, len(cluster.nodes))
    enough = len(recent) >= policy.storm_nodes and len(recent) / total >= policy.storm_fraction
    racks = {node.config.rack for node in cluster.nodes.values()} - {None}
    for rack in racks if len(racks) > 1 else ():
        members = [n.id for n in cluster.nodes.values() if n.config.rack == rack]
        enough |= len(members) >= policy.storm_nodes and all(m in recent for m in members)
    joined = view.storm_joined
    if enough:
        latest = max(view.sick_since[id_] for id_ in recent)
        joined = latest if joined is None else max(joined, latest)
    if joined is not None and now - joined >= policy.storm_quiet_s:
        joined = None
    if joined is None and view.storm_joined is None:
        return view
    nodes = frozenset(new) if joined is not None else frozenset()
    return replace(view, storm_joined=joined, storm_nodes=nodes)


def _recoveries(cluster: ClusterView) -> Mapping[NodeId, Recovery]:
    known = cluster.view.recoveries
    found = dict(known)
    for id_ in cluster.changed:
        jvm = cluster.nodes[id_].jvm
        if jvm is None or (jvm.remaining_logs is None and jvm.remaining_segments is None):
            found.pop(id_, None)
            continue
        left = (jvm.remaining_logs or 0) * SEGMENT_WEIGHT + (jvm.remaining_segments or 0)
        found[id_] = _progressed(known.get(id_), left, cluster.now.mono_s)
    return known if found == known else found


def _catching_up(cluster: ClusterView) -> Mapping[NodeId, Recovery]:
    """Follow in how many partitions' ISRs each node is still missing."""
    known, witness = cluster.view.catching_up, cluster.witness
    if not witness.readable:
        return known
    found = {
        id_: _progressed(known.get(id_), left, cluster.now.mono_s)
        for id_, left in witness.missing.items()
        if id_ in cluster.nodes
    }
    return known if found == known else found


def _runs(cluster: ClusterView) -> Mapping[NodeId, Run]:
    """Follow each run of a process from its first look to its end, and beyond."""
    known, changed = cluster.view.runs, dict[NodeId, Run]()
    led, now = cluster.quorum is Quorum.LED, cluster.now.mono_s
    # Without a leader, no run has been led all along.
    unled = () if led else tuple(id_ for id_, run in known.items() if run.led)
    for id_ in dict.fromkeys((*cluster.changed, *unled)):
        node = cluster.nodes.get(id_)
        if node is None or node.service is None or not node.service.invocation:
            continue
        run, invocation = known.get(id_), node.service.invocation
        if run is None or run.invocation != invocation:
            unwatched = run is None or Kind.PROTOCOL not in node.config.kinds
            boot = node.service.boot_id if node.process is not Process.ENDED else None
            changed[id_] = Run(invocation, now, answered=unwatched, led=led, boot=boot)
        elif node.process is not Process.ENDED:
            track = cluster.view.track(id_, Kind.PROTOCOL)
            good = track is not None and track.good and track.result.started >= run.since
            answered, led_so_far = run.answered or good, run.led and led
            boot = run.boot or node.service.boot_id
            if answered is not run.answered or led_so_far is not run.led or boot != run.boot:
                changed[id_] = replace(run, answered=answered, led=led_so_far, boot=boot)
    return {**known, **changed} if changed else known


def _ends(cluster: ClusterView) -> Mapping[NodeId, Ended]:
    """Count the looks that told of an end: a host that was out of reach told nothing."""
    known = cluster.view.ends
    found = dict(known)
    for id_ in cluster.changed:
        node = cluster.nodes[id_]
        track = cluster.view.track(id_, Kind.SERVICE)
        if node.process is Process.ENDED and node.service is not None and track is not None:
            at, run, before = track.result.ended, node.service.invocation, known.get(id_)
            if before is None or before.invocation != run:
                # A warm replay begins with it: it has held for longer than every window.
                long = before is None and track.since < at - LONG_AGO_S / 2
                found[id_] = Ended(at - LONG_AGO_S if long else at, at, 99 if long else 1, run)
            elif at > before.latest:
                found[id_] = replace(before, latest=at, looks=before.looks + 1)
        elif node.process is not Process.UNKNOWN:
            found.pop(id_, None)
    return known if found == known else found


def _stops_seen(cluster: ClusterView, ours: frozenset[NodeId]) -> frozenset[NodeId]:
    """Follow whom somebody stopped: seen on its way down, or read. It holds until it runs again."""
    known = cluster.view.stops_seen
    seen = set(known)
    for id_ in cluster.restless:
        node = cluster.nodes[id_]
        requested = node.service.stop_requested if node.service is not None else None
        # A crash is on its way down for a moment too; its manager says that nobody asked.
        asked = (node.process is Process.DEACTIVATING and requested is not False) or (
            node.process is Process.ENDED and requested is True
        )
        if asked and id_ not in ours:
            seen.add(id_)
        elif node.process not in {Process.ENDED, Process.DEACTIVATING, Process.UNKNOWN}:
            seen.discard(id_)
    return known if seen == known else frozenset(seen)


def counted_out(node: Standing) -> bool | None:
    """Whether a process that runs and answers is not counted in, as broker, voter or member."""
    if node.process is not Process.RUNNING or node.answers is not True:
        return None if node.process is Process.UNKNOWN or node.answers is None else False
    parts = [node.voter_stale] if node.config.is_voter else []
    if node.config.is_broker or node.config.is_member:
        parts.append(None if node.counted is None else not node.counted)
    return True if True in parts else None if None in parts else False


def _outcasts(cluster: ClusterView, policy: Policy) -> Mapping[NodeId, Outcast]:
    """Follow who lives and is not counted in; looks that cannot tell change nothing for a while.

    Whoever is the only one left must become a witness again.
    """
    known = cluster.view.outcasts
    found = dict(known)
    for id_ in cluster.in_place(cluster.restless):
        node = cluster.nodes[id_]
        if node.well is True:
            found.pop(id_, None)
            continue
        out, before = counted_out(node), known.get(id_)
        run = node.service.invocation if node.service is not None else None
        if out is True:
            if before is None or before.invocation != run:
                before = Outcast(cluster.now.mono_s, float("-inf"), 0, run)
            at = max((look.started for look in _witnessed(cluster, node)), default=before.latest)
            newer = at > before.latest
            one = replace(before, latest=at, looks=before.looks + 1) if newer else before
            found[id_] = _reaching(one, node, cluster, policy)
        elif out is False:
            found.pop(id_, None)
        elif before is not None:
            untold = cluster.now.mono_s - max(before.since, before.latest)
            if untold > policy.fresh_cap_s:
                del found[id_]
    return known if found == known else found


def _reaching(out: Outcast, node: Standing, cluster: ClusterView, policy: Policy) -> Outcast:
    """Follow since when its host reaches the quorum; what is not known for long is a break too.

    Whoever could not reach it until a moment ago comes back by itself.
    """
    now = cluster.now.mono_s
    match reaches_quorum(node, cluster, policy):
        case True:
            broken = out.reaches_since is None or now - out.reaches_at > 2 * policy.interval_s
            return replace(out, reaches_since=now if broken else out.reaches_since, reaches_at=now)
        case False:
            return replace(out, reaches_since=None)
        case None:
            return out


def _witnessed(cluster: ClusterView, node: Standing) -> Sequence[CheckResult]:
    """Return the looks by which the others say whether they count a node in."""
    account = cluster.account_look if node.config.is_keeper else None
    others = tuple(look for look in cluster.witness_looks if look.observer != node.id)
    return (*others, account) if account is not None else others


def _progressed(known: Recovery | None, left: int, at: float) -> Recovery:
    if known is None or left > known.left:
        return Recovery(at, left, at, left)
    fell_at = at if left < known.left else known.fell_at
    return Recovery(known.first_at, known.first_left, fell_at, left)


def remaining_s(recovery: Recovery | None, now: float) -> float | None:
    """Return the seconds of log recovery left, by the measured slope; None without one yet."""
    if recovery is None or recovery.left >= recovery.first_left or now <= recovery.first_at:
        return None
    rate = (recovery.first_left - recovery.left) / (now - recovery.first_at)
    return recovery.left / rate
