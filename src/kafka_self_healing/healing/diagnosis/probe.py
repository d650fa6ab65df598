"""Rules about our own sight: viewpoint lost, probes misconfigured, flapping, undiagnosed."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import (
    NOT_SERVING_S,
    ClusterView,
    Process,
    Quorum,
    Standing,
    not_serving_s,
)
from kafka_self_healing.healing.diagnosis.process import dropped_words
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import ALL_WAYS, all_looks, dark_since, look_words
from kafka_self_healing.healing.ensemble import LEADER, own_word
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.windows import UNEXPLAINING
from kafka_self_healing.model.evidence import (
    ASIDE,
    MISCONFIGURED,
    CustomFact,
    Kind,
    ProtocolFact,
)
from kafka_self_healing.model.incident import Condition, Diagnosis, beside
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy

MISCONFIGURED_LOOKS = 3
MONITOR = "mntr"
WHITELIST = "4lw.commands.whitelist=srvr,mntr,ruok"


ROWS = (
    Row(
        Condition.VIEWPOINT_LOST,
        needs=frozenset({Kind.PROTOCOL, Kind.PEERS}),
        seen="of one node: all our own ways to it are closed while the others count it in. Of the"
        " cluster: more than half of its nodes are dark, or none of `viewpoint.reference_hosts` is"
        " reached",
        contradicted_by="others that have dropped the node (HOST_DOWN); any way to it that is open",
        holds="of one node two sessions: one that has just died is still counted in for one. Of the"
        " cluster at once; reference hosts two looks",
        done="nothing on that node; with the cluster's, no RESTART anywhere",
        you="repair the healer's own network, addresses or firewall",
    ),
    Row(
        Condition.PROBE_MISCONFIGURED,
        needs=frozenset(),
        seen="something answers, but not to us: authentication, authorisation, TLS, a wrong"
        " listener, a port that does not speak the protocol; or the brokers show no topics and no"
        " error; or a member of the ensemble answers, but not in what mode it is (`srvr` is not in"
        " its whitelist); or its leader does not say whom it counts (`mntr` is not)",
        contradicted_by="one good look of that kind",
        holds="three such looks",
        done="nothing: the node lives. Diagnosis goes on with what is left",
        you="repair the healer's credentials, rights (DESCRIBE on topics and cluster) or ports. Of"
        " a member: `4lw.commands.whitelist=srvr,mntr,ruok` in its configuration",
    ),
    Row(
        Condition.FLAPPING,
        needs=frozenset({Kind.PROTOCOL}),
        seen="at least four changes between good and failing looks within ten minutes",
        contradicted_by="whatever explains them: another confirmed condition, somebody's stops and"
        " starts, a recent act of ours",
        holds="four changes",
        done="nothing; a restart loop helps nobody",
        you="look for overload, a full backlog, a bad network",
    ),
    Row(
        Condition.CHECK_FAILED,
        needs=frozenset({Kind.CUSTOM}),
        seen="a check of your own (a URL, a program) says critical, or cannot say anything. Each"
        " check of a node has an incident of its own",
        contradicted_by="a look of that check that says ok or warning; a node that does not answer:"
        " that is told by its own incident",
        holds="three looks",
        done="nothing: what a check of your own means, only you know",
        you="what you wrote the check for; its text is in the notice",
    ),
    Row(
        Condition.UNDIAGNOSED,
        needs=frozenset({Kind.PROTOCOL}),
        seen="sick, and the families of evidence do not agree; or silent to us for two sessions"
        " while the others count it in; or its process has ended while something holds its lock; or"
        " a member of the ensemble lives and says that it does not serve, while the others do; or a"
        " process lives, the others do not count it in, and what it reaches is not known",
        contradicted_by="any other condition that is confirmed",
        holds="30 s; of what is not counted in three sessions",
        done="nothing: whoever cannot tell what it is must not act",
        you="read the evidence in the notice; it lists every look, and what is missing",
    ),
)


def viewpoint_lost(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """All our ways to a node are closed while the others still count it in."""
    if not node.dark or node.dropped is not False:
        return None
    held = view.now.mono_s - dark_since(node, view)
    # A node that has just died is still counted in for one session.
    need = 2 * view.view.cluster.session_timeout_s
    evidence = (*all_looks(node, view), "the others still count it in")
    return Diagnosis(
        Condition.VIEWPOINT_LOST,
        (node.id,),
        evidence,
        confirmed=held >= need,
        waiting="" if held >= need else f"counted in for {need:g} s",
        check_at=view.now.mono_s + need - held,
    )


def misconfigured(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Something answers, but our probe is not set up for it: the node lives."""
    # A node that is well in every respect has answered all that we ask of it.
    status = None if node.well is True else view.view.statuses.get(node.id)
    tracks = [t for kind, t in status.tracks.items() if kind not in ASIDE] if status else []
    witness, quorum = view.view.witnesses.get(node.id), view.view.quorum.get(node.id)
    tracks += [witness.track] if witness else []
    tracks += [quorum] if quorum else []
    bad = [t for t in tracks if not t.good and t.result.outcome in MISCONFIGURED]
    if view.view.cluster.mode is ClusterMode.ZOOKEEPER:
        mute = _says_too_little(node, view)
        if mute is not None:
            return mute
    if not bad:
        return None
    confirmed = any(track.streak >= MISCONFIGURED_LOOKS for track in bad)
    evidence = tuple(look_words(track, view.now) for track in bad)
    lives = "the node answers; " if node.answers is True else ""
    return Diagnosis(
        Condition.PROBE_MISCONFIGURED,
        (node.id,),
        (*evidence, f"{lives}what has to be repaired is our probe"),
        confirmed=confirmed,
        waiting="" if confirmed else f"{MISCONFIGURED_LOOKS} such looks",
    )


def _says_too_little(node: Standing, view: ClusterView) -> Diagnosis | None:
    """A member answers, but not in what mode; or its leader does not say whom it counts."""
    track = view.view.track(node.id, Kind.PROTOCOL) if node.config.is_member else None
    said, fact = own_word(track), track.result.fact if track is not None else None
    if track is None or said is None:
        return None
    refused = (fact.refused or ()) if isinstance(fact, ProtocolFact) else ()
    leads = isinstance(fact, ProtocolFact) and fact.mode == LEADER and fact.synced is None
    if said == (None, None):
        text = "it answers, but not in what mode it is; ruok alone proves nothing"
    elif leads and MONITOR in refused and len(view.view.cluster.members) > 1:
        text = "it leads, and does not say whom it counts: its followers are not known to be in"
    else:
        return None
    if refused:
        text += f"; not in its 4lw.commands.whitelist: {', '.join(refused)}"
        text += f"; the line to add: {WHITELIST}"
    confirmed = track.streak >= MISCONFIGURED_LOOKS
    return Diagnosis(
        Condition.PROBE_MISCONFIGURED,
        (node.id,),
        (look_words(track, view.now), text, "what has to be repaired is our probe"),
        confirmed=confirmed,
        waiting="" if confirmed else f"{MISCONFIGURED_LOOKS} such looks",
    )


def not_serving(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A member lives and serves nobody, and no lost quorum explains it."""
    held = not_serving_s(view.view, node, view.now)
    if held < NOT_SERVING_S or view.quorum is Quorum.LOST:
        return None
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.UNDIAGNOSED,
        (node.id,),
        (*all_looks(node, view), "by its own word it does not serve"),
        confirmed=not waiting,
        waiting=waiting,
        check_at=view.now.mono_s + policy.confirm_s - held,
    )


def undiagnosed(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It is sick, and the families of evidence do not agree on how."""
    track = view.view.track(node.id, Kind.PROTOCOL)
    if track is None or track.good or track.streak < 2 or node.answers is True:
        return None
    since = max(track.since, view.view.agreed_at.get(node.id, track.since))
    held = view.now.mono_s - since
    # Once the others have dropped it, Kafka's own session has been the waiting.
    agreed = node.dropped is True and node.silent_looks >= policy.silent_looks
    waiting = "" if agreed or held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    old = _older_looks(node, view, track.since)
    if old and held < policy.confirm_s:
        # What was seen before the trouble began does not speak against any diagnosis of it.
        waiting = f"a look of {', '.join(old)} begun since"
    return Diagnosis(
        Condition.UNDIAGNOSED,
        (node.id,),
        (*all_looks(node, view), dropped_words(node)),
        confirmed=not waiting,
        waiting=waiting,
        check_at=since + policy.confirm_s,
    )


def _older_looks(node: Standing, view: ClusterView, since: float) -> list[str]:
    """Return the kinds whose good answer is older than the trouble: they must be asked again."""
    status = view.view.statuses.get(node.id)
    tracks = status.tracks.items() if status else ()
    return sorted(
        kind.value
        for kind, track in tracks
        if kind in ALL_WAYS and track.good and track.result.started < since
    )


def flapping(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """Good and failing looks change places too often, and nothing else explains it."""
    track = view.view.track(node.id, Kind.PROTOCOL)
    if track is None or node.process in {Process.ENDED, Process.ACTIVATING}:
        return None
    if len(track.changes) < policy.flap_changes:
        return None
    explained = view.view.explained_at.get(node.id, float("-inf"))
    since = max(explained, view.now.mono_s - policy.flap_window_s)
    recent = [at for at in track.changes if at > since]
    if len(recent) < policy.flap_changes or _explained(node.id, view, memory, policy):
        return None
    text = f"{len(recent)} changes between good and failing looks in {policy.flap_window_s:g} s"
    return Diagnosis(
        Condition.FLAPPING, (node.id,), (text, look_words(track, view.now)), confirmed=True
    )


def _explained(node: str, view: ClusterView, memory: Memory, policy: Policy) -> bool:
    """Whether another incident of this node, or a late act of ours, explains the changes.

    A suspicion explains nothing: with looks by turns it is neither confirmed nor dispelled.
    """
    incident = memory.incident_of(node)
    if incident is not None and incident.confirmed and incident.condition not in UNEXPLAINING:
        return True
    return any(
        act.node == node
        and not act.undone
        and (act.ended is None or view.now.since(act.ended) <= policy.flap_window_s)
        for act in memory.acts
    )


def checks_failed(node: Standing, view: ClusterView, policy: Policy) -> list[tuple[str, Diagnosis]]:
    """Return the operator's own checks of a node that fail, each under a subject of its own."""
    status = view.view.statuses.get(node.id)
    if status is None or not status.custom or node.answers is not True:
        return []  # of a node that does not answer its own incident tells
    found = []
    for name, track in sorted(status.custom.items()):
        if track.good:
            continue
        fact = track.result.fact
        text = (fact.text if isinstance(fact, CustomFact) else None) or track.result.error
        waiting = ""
        if track.streak < policy.signs.check_looks:
            waiting = f"{track.streak} of {policy.signs.check_looks} looks"
        one = Diagnosis(
            Condition.CHECK_FAILED,
            (node.id,),
            (look_words(track, view.now), f"{name}: {text or 'it says nothing'}"),
            confirmed=not waiting,
            waiting=waiting,
        )
        found.append((f"{beside(node.id, Condition.CHECK_FAILED)}/{name}", one))
    return found
