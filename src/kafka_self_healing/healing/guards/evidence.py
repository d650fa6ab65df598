"""Guards about what is seen: warm-up, clock, freshness, viewpoint, storm, certificates."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import MACHINE_PROBED, OURS_PROBED, fresh_bound_s
from kafka_self_healing.healing.diagnosis.storage import identified, identity_file
from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.healing.diagnosis.words import blindness
from kafka_self_healing.healing.guards.subject import PASSES, Question, refuse, report
from kafka_self_healing.healing.view import EXTRA_LISTENERS
from kafka_self_healing.model.decision import Reason, Verdict
from kafka_self_healing.model.evidence import (
    CLUSTER_KINDS,
    CertificateFact,
    CheckResult,
    Family,
    HostFact,
    Kind,
    ListenerCertificate,
    Outcome,
)
from kafka_self_healing.model.incident import Reply, reply
from kafka_self_healing.model.recovery import ActClass

NEEDED_FAMILIES = 2
DAY_S = 86400.0


def warmed_up(q: Question) -> Verdict:
    """Three full rounds are over since the healer began to look."""
    warming = q.view.view.warming
    if warming is None:
        return PASSES
    done = warming.done(q.view.view.statuses, q.view.view.cluster)
    passed = 0.0 if warming.since is None else q.now - warming.since
    rounds = f"{min(done, q.policy.warm_rounds)} of {q.policy.warm_rounds} rounds"
    text = f"warming up ({warming.why}): {rounds}, {passed:.0f} of {q.policy.warm_floor_s:g} s"
    until = q.now + q.policy.interval_s
    return refuse(Reason.WARMING_UP, text, lifted_by="full rounds, and their time", until=until)


def clock_is_sane(q: Question) -> Verdict:
    """The clock has not been set by more than a minute just now."""
    doubt = q.view.view.clock_doubt
    if doubt is None:
        return PASSES
    until = q.now + q.policy.interval_s
    return refuse(Reason.CLOCK_STEPPED, doubt.why, lifted_by="three rounds that agree", until=until)


def view_is_fresh(q: Question) -> Verdict:
    """The facts in use are young enough: of SERVICE for a START, of all families for a RESTART.

    An act that disturbs nothing uses the families that show what it answers.
    """
    if q.request.act_class is ActClass.OTHER:
        stale = [family.value for family, looks in _families_used(q).items() if not looks]
    else:
        stale = [kind.value for kind in _kinds_used(q) if not _fresh(q, kind)]
    if q.request.act_class is ActClass.RESTART:
        stale += _stale_peers(q)
    if not stale:
        return PASSES
    return refuse(Reason.STALE, f"no fresh look of {', '.join(stale)}", lifted_by="a fresh look")


def _kinds_used(q: Question) -> list[Kind]:
    if q.request.act_class is ActClass.START:
        return [Kind.SERVICE]
    used = [Kind.SERVICE, Kind.PROTOCOL]
    used += [Kind.JVM] if Kind.JVM in q.node.config.kinds else []
    needs = TABLE[q.request.condition].needs - CLUSTER_KINDS
    return [*used, *sorted(needs - set(used))]


def _families_used(q: Question) -> dict[Family, list[CheckResult]]:
    """Return the fresh looks of each family that shows the trouble."""
    found: dict[Family, list[CheckResult]] = {}
    for family in sorted(q.diagnosis.families if q.diagnosis else ()):
        if family is Family.THEIRS:
            looks = [*q.view.witness_looks, *([q.view.account_look] if q.view.account_look else [])]
        else:
            kinds = OURS_PROBED if family is Family.OURS else MACHINE_PROBED | {Kind.LOG}
            tracks = ((kind, q.view.view.track(q.request.node, kind)) for kind in sorted(kinds))
            looks = [
                track.result
                for kind, track in tracks
                if track and q.now - track.result.ended <= fresh_bound_s(kind, track, q.policy)
            ]
        found[family] = looks
    return found


def _fresh(q: Question, kind: Kind) -> bool:
    track = q.view.view.track(q.request.node, kind)
    if track is None or q.now - track.result.ended > fresh_bound_s(kind, track, q.policy):
        return False
    return kind not in MACHINE_PROBED or track.result.outcome is Outcome.ANSWERED


def _stale_peers(q: Question) -> list[str]:
    stale = []
    if q.node.config.is_broker and not q.view.witness_looks:
        stale.append("PEERS")
    if q.node.config.is_keeper and q.view.account_look is None:
        stale.append("QUORUM")
    return stale


def viewpoint_is_sound(q: Question) -> Verdict:
    """It is not we who are blind: most nodes are in sight, and a reference host is reached."""
    if not q.view.viewpoint_lost:
        return PASSES
    lifted_by = "seeing more than half of the nodes, and one reference host of those configured"
    return refuse(Reason.VIEWPOINT_LOST, blindness(q.view), lifted_by=lifted_by)


def no_storm(q: Question) -> Verdict:
    """Not many nodes went dark or silent together."""
    view = q.view.view
    if view.storm_joined is None:
        return PASSES
    names = ", ".join(sorted(view.storm_nodes))
    count = f"{len(view.storm_nodes)} of {len(q.view.nodes)}"
    return refuse(
        Reason.STORM,
        f"{count} nodes went dark or silent together: {names}",
        lifted_by=f"{q.policy.storm_quiet_s:g} s without another one, or approval",
    )


def two_families(q: Question) -> Verdict:
    """Two independent families of evidence show the failure."""
    found = q.diagnosis
    if found is None or not _asks_for(q):
        return refuse(
            Reason.NOTHING_WRONG,
            f"nothing asks for {q.request.action} on this node",
            lifted_by="a condition that asks for it",
        )
    names = sorted(family.value for family in found.families)
    if len(names) >= NEEDED_FAMILIES:
        return PASSES
    seen = ", ".join(names) or "no family"
    return refuse(
        Reason.ONE_FAMILY, f"only {seen} shows it; two are needed", lifted_by="a second family"
    )


def _asks_for(q: Question) -> bool:
    """Whether the diagnosis is one that an act of this class may answer."""
    if q.diagnosis is None:
        return False
    if q.request.act_class is ActClass.OTHER:
        return q.diagnosis.condition is q.request.condition
    start = q.request.act_class is ActClass.START
    return reply(q.diagnosis.condition) is (Reply.START if start else Reply.RESTART)


def still_true(q: Question) -> Verdict:
    """What asked for the act is still so, by looks that began after it was proposed."""
    if not _asks_for(q) or q.diagnosis is None or not q.diagnosis.confirmed:
        why = q.diagnosis.waiting if q.diagnosis else ""
        return refuse(Reason.NOT_CONFIRMED, why or "it is no longer so", lifted_by="confirmation")
    if q.proposed_at is None:
        return PASSES
    missing = [name for name, look in _looks_needed(q) if not _began_after(look, q.proposed_at)]
    if not missing:
        return PASSES
    return refuse(
        Reason.LOOK_AGAIN,
        f"waiting for a look of {', '.join(missing)} that began after the proposal",
        lifted_by="a fresh look",
        until=q.now + q.policy.suspect_interval_s,
    )


def _looks_needed(q: Question) -> list[tuple[str, CheckResult | None]]:
    needed: list[tuple[str, CheckResult | None]] = []
    if q.request.act_class is ActClass.OTHER:
        for family, found in _families_used(q).items():
            newest = max(found, key=lambda look: look.started, default=None)
            needed.append((family.value, newest))
        return needed
    for kind in _kinds_used(q):
        track = q.view.view.track(q.request.node, kind)
        needed.append((kind.value, track.result if track else None))
    if q.request.act_class is ActClass.START:
        return needed
    if q.node.config.is_broker:
        others = (one for one in q.view.witness_looks if one.observer != q.request.node)
        looks = sorted(others, key=lambda look: look.started, reverse=True)
        enough = min(2, max(1, len(looks)))
        needed += [("PEERS", look) for look in looks[:enough]] or [("PEERS", None)]
    if q.node.config.is_keeper:
        needed.append(("QUORUM", q.view.account_look))
    return needed


def _began_after(look: CheckResult | None, proposed: float) -> bool:
    return look is not None and look.started > proposed


def data_dirs_present(q: Question) -> Verdict:
    """Each data directory is on its device and holds its identity; a start makes no empty one."""
    if Kind.HOST not in q.node.config.kinds:
        return report(Reason.DATA_DIRS_NOT_WATCHED, "its data directories are not watched")
    track = q.view.view.track(q.request.node, Kind.HOST)
    fact = track.result.fact if track else None
    dirs = fact.data_dirs if isinstance(fact, HostFact) else None
    approval = "repairing the mount, or approval of a first start"
    if track is None or q.now - track.result.ended > q.policy.fresh_cap_s or dirs is None:
        return refuse(Reason.DATA_DIRS_UNREADABLE, "its data directories cannot be read",
                      lifted_by=approval)  # fmt: skip
    for directory in identified(q.node, dirs):
        what = {
            "is not on the device last seen": directory.same_device,
            f"has no {identity_file(q.node)}": directory.has_identity,
            "cannot be read": directory.readable,
        }
        for words, good in what.items():
            if good is not True:
                text = f"{directory.path} {words}" + ("" if good is False else " (not known)")
                return refuse(Reason.STORAGE_MISSING, text, lifted_by=approval)
    disks = fact.disks if isinstance(fact, HostFact) else None
    for disk in disks or ():
        if disk.usable is not None and disk.usable < q.policy.signs.full_bytes:
            text = f"the disk of {disk.path} is full: {disk.usable} bytes left"
            return refuse(Reason.DISK_FULL, text, lifted_by="free space, or approval")
    return PASSES


def certificates_are_valid(q: Question) -> Verdict:
    """Every certificate that it serves is valid: with an expired one a new process exits at once.

    The latest look that could read them counts: a node that hangs shows none.
    """
    look, wanted = q.view.view.certificates.get(q.request.node), _tls_listeners(q)
    fact = look.fact if look is not None else None
    shown = (fact.listeners or ()) if isinstance(fact, CertificateFact) else ()
    # One that nobody but us is shown stands in the way only if it is known to be bad.
    served = [x for x in shown if x.problem is not None or x.listener not in EXTRA_LISTENERS]
    if not served and not wanted:
        return PASSES
    unread = "a look that can read them, or approval"
    if look is None or q.now - look.ended > q.policy.certificate_fresh_s:
        return refuse(Reason.CERTIFICATE_UNREADABLE, "nobody has read its certificates lately",
                      lifted_by=unread)  # fmt: skip
    for one in served:
        bad = _bad_certificate(one, q, q.now - look.ended)
        if bad is not None:
            return bad
    read = sum(one.listener not in EXTRA_LISTENERS for one in served)
    if read < wanted:
        text = f"{read} of its {wanted} TLS listeners showed a certificate"
        return refuse(Reason.CERTIFICATE_UNREADABLE, text, lifted_by=unread)
    return PASSES


def _tls_listeners(q: Question) -> int:
    """How many of its listeners are configured with TLS, JMX aside: it checks no client."""
    node = q.node.config
    doors = ((node.is_broker, node.kafka.tls), (node.is_voter, node.controller.tls),
             (node.is_member, node.zookeeper.tls))  # fmt: skip
    return sum(has and tls is not None for has, tls in doors)


def _bad_certificate(one: ListenerCertificate, q: Question, age_s: float) -> Verdict | None:
    name = f"the certificate of listener {one.listener}"
    renewed = "a valid certificate, or approval"
    ends = [] if one.days_left is None else [one.days_left * DAY_S - age_s]
    ends += [] if one.not_after is None else [one.not_after - q.view.now.utc_s]
    if ends and min(ends) < q.policy.certificate_left_s:
        days = min(ends) / DAY_S
        left = f"expired {-days:.1f} days ago" if days < 0 else f"has {days:.2f} days left"
        text = f"{name} {left}: the new process would not come back"
        return refuse(Reason.CERTIFICATE_EXPIRED, text, lifted_by=renewed)
    if one.problem:
        return refuse(Reason.CERTIFICATE_PROBLEM, f"{name}: {one.problem}", lifted_by=renewed)
    if not ends or one.problem is None:
        return refuse(Reason.CERTIFICATE_UNREADABLE, f"{name} could not be read whole",
                      lifted_by="a look that can read it, or approval")  # fmt: skip
    return None
