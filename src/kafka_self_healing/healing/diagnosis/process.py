"""Rules about a node's process: gone, stopped, terminated, hung, starting, shutting down."""

from __future__ import annotations

from dataclasses import replace

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.diagnosis.words import age, look_words, service_words
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.peers import RUNNING_STATE
from kafka_self_healing.healing.view import STUCK_STATE, Recovery
from kafka_self_healing.healing.windows import SEGMENT_WEIGHT, remaining_s
from kafka_self_healing.model.evidence import Family, Kind, ServiceFact
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import ActClass

SIGTERM_EXIT = 143
CLEAN_EXITS = frozenset({0, SIGTERM_EXIT})
TERM_SIGNALS = frozenset({15, "15", "TERM", "SIGTERM"})
OPEN_END = frozenset({"exit-code", "signal"})
"""Results of which the number behind them matters: without it, it may have been a SIGTERM."""

STOP_TIMED_OUT = "timeout"
"""The Result of a unit that did not stop (or come up) within its time, and was killed for it."""

SHUTDOWN_STATES = frozenset({6, 7})


def ended(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """The service manager says that the process has ended: why, and is it proven?"""
    if node.process is not Process.ENDED or node.service is None:
        return None
    ours = node.id in memory.owed_starts
    condition, why = end_reason(
        node.service,
        ours=ours,
        asked=node.id in view.view.stops_seen,
        rebooted=rebooted(node, view),
    )
    evidence = (service_words(view, node), *_closed_doors(node, view), why)
    if condition is Condition.STOPPED_BY_OPERATOR:
        return Diagnosis(condition, (node.id,), evidence, confirmed=True)
    end = view.view.ends[node.id]
    waiting, check_at = "", None
    if not node.gone:
        waiting = _why_not_gone(node)
    elif end.looks < policy.gone_looks:
        waiting = f"{end.looks} of {policy.gone_looks} looks"
    elif end.latest - end.since < policy.gone_apart_s:
        waiting = f"looks at least {policy.gone_apart_s:g} s apart"
        check_at = end.since + policy.gone_apart_s
    if waiting and not node.gone and end.looks >= policy.gone_looks:
        since = max(end.since, view.view.agreed_at.get(node.id, end.since))
        held = view.now.mono_s - since
        return Diagnosis(
            Condition.UNDIAGNOSED,
            (node.id,),
            (*evidence, waiting),
            confirmed=held >= policy.confirm_s,
            waiting=waiting,
            check_at=since + policy.confirm_s,
        )
    return Diagnosis(
        condition, (node.id,), evidence, not waiting, waiting, _gone_families(node), check_at
    )


def end_reason(
    service: ServiceFact, *, ours: bool, asked: bool, rebooted: bool = False
) -> tuple[Condition, str]:
    """Tell a crash from a stop on purpose, and from a stop by nobody knows whom.

    `ours`: a stop of ours may have ended it; `asked`: somebody was seen to stop it; `rebooted`:
    its host was booted since it ran.
    """
    if service.unit_file == "masked":
        return Condition.STOPPED_BY_OPERATOR, "the unit is masked"
    if ours:
        return Condition.PROCESS_GONE, "its stop may be ours: a restart of ours was not finished"
    if service.stop_requested is True:
        return Condition.STOPPED_BY_OPERATOR, "a stop was requested"
    if asked:
        return Condition.STOPPED_BY_OPERATOR, "it was seen stopping before it ended"
    if service.stop_requested is None:
        return (
            Condition.STOPPED_BY_OPERATOR,
            "whether a stop was requested cannot be read, so it is taken for one",
        )
    if service.result == STOP_TIMED_OUT:
        return (
            Condition.STOPPED_BY_OPERATOR,
            "its manager ended it when its time was over, as at a stop that takes too long",
        )
    if rebooted:
        return Condition.TERMINATED, "its host was booted, and nobody has started it since"
    return _unasked_end(service)


def _unasked_end(service: ServiceFact) -> tuple[Condition, str]:
    """Nobody asked for it: how did it end?"""
    if service.oom_killed is True:
        return Condition.PROCESS_GONE, "the kernel killed it: it was out of memory"
    clean = service.exit_status in CLEAN_EXITS or service.signal in TERM_SIGNALS
    clean = clean or (
        service.exit_status is not None and str(service.exit_status) in (service.success_exit or ())
    )
    if clean and service.signal in {None, 0, ""} | TERM_SIGNALS:
        return Condition.TERMINATED, "it ended as on SIGTERM, but no stop was requested"
    if service.result == "success":
        return Condition.TERMINATED, "it ended with success, but no stop was requested"
    if service.exit_status is None and service.signal in {None, ""} and service.result in OPEN_END:
        return Condition.TERMINATED, "how it ended cannot be read; it may have been SIGTERM"
    if not reason_known(service):
        return Condition.PROCESS_GONE, "nothing says why it ended"
    return Condition.PROCESS_GONE, "no stop was requested"


def rebooted(node: Standing, view: ClusterView) -> bool:
    """Whether its host was booted since its process was last seen running."""
    run = view.view.runs.get(node.id)
    boot = node.service.boot_id if node.service is not None else None
    return run is not None and None not in (run.boot, boot) and run.boot != boot


def reason_known(service: ServiceFact) -> bool:
    """Whether anything says why the process ended; if not, a start needs a person's approval."""
    return any(
        value not in (None, "") for value in (service.exit_status, service.signal, service.result)
    )


def _closed_doors(node: Standing, view: ClusterView) -> tuple[str, ...]:
    kinds = (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM)
    return tuple(
        look_words(track, view.now)
        for kind in kinds
        if (track := view.view.track(node.id, kind)) is not None
    )


def _why_not_gone(node: Standing) -> str:
    if node.service is not None and node.service.lock_held is None:
        return "who holds its log directory's lock cannot be read"
    if node.service is not None and node.service.lock_held:
        return "a process still holds its log directory's lock: was it started by hand?"
    if not node.refused and not node.host_closed:
        return "its port is not refused"
    return "its JVM still answers, or has not been asked"


def _gone_families(node: Standing) -> frozenset[Family]:
    families = {Family.MACHINE}
    if node.refused or node.jvm_silent:
        families.add(Family.OURS)
    if node.dropped:
        families.add(Family.THEIRS)
    return frozenset(families)


def shutting_down(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It is being stopped; that is not a failure."""
    stopping = node.jvm is not None and node.jvm.broker_state in SHUTDOWN_STATES
    if node.process is not Process.DEACTIVATING and not stopping:
        return None
    if node.silent and node.dropped:
        return None
    evidence = (service_words(view, node), *_closed_doors(node, view))
    return Diagnosis(Condition.SHUTTING_DOWN, (node.id,), evidence, confirmed=True)


def hung(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """The process runs and is silent. Confirmed only once the others have dropped it."""
    if node.process not in {Process.RUNNING, Process.DEACTIVATING} or node.silent_looks < 2:
        return None
    if node.refused or node.jvm_silent is False:
        return None
    service = node.service
    evidence = [service_words(view, node), *_closed_doors(node, view)]
    if service is not None and service.process_state:
        evidence.append(f"process state {service.process_state}")
    evidence.append(dropped_words(node))
    if service is not None and service.process_state == STUCK_STATE:
        stuck = min(node.silent_looks, view.view.stuck_looks.get(node.id, 0))
        waiting = "" if stuck >= policy.silent_looks else f"{stuck} of 3 looks in state D"
        return Diagnosis(Condition.STORAGE_HUNG, (node.id,), tuple(evidence), not waiting, waiting)
    waiting = ""
    if not node.silent:
        waiting = f"{node.silent_looks} of {policy.silent_looks} silent looks"
    elif node.dropped is not True:
        waiting = "the others have not dropped it"
        stands = _silent_but_counted(node, view, policy)
        if stands is not None:
            return replace(stands, evidence=(*evidence, waiting))
    families = {Family.OURS, Family.MACHINE} | ({Family.THEIRS} if node.dropped else set())
    return Diagnosis(
        Condition.PROCESS_HUNG,
        (node.id,),
        tuple(evidence),
        not waiting,
        waiting,
        frozenset(families),
    )


def _silent_but_counted(node: Standing, view: ClusterView, policy: Policy) -> Diagnosis | None:
    """Silent to us for longer than two sessions, and still not dropped: a person has to look."""
    track = view.view.track(node.id, Kind.PROTOCOL)
    need = max(policy.confirm_s, 2 * view.view.cluster.session_timeout_s)
    if track is None or view.now.mono_s - track.since < need:
        return None
    return Diagnosis(Condition.UNDIAGNOSED, (node.id,), (), confirmed=True)


def dropped_words(node: Standing) -> str:
    """Say whether the others have dropped a node."""
    match node.dropped:
        case True:
            return "the others have dropped it"
        case False:
            return "the others still count it in"
        case None:
            return "whether the others have dropped it is not known"


def starting(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """It is on its way: left alone while it makes progress."""
    if node.process in {Process.ACTIVATING, Process.AUTO_RESTART}:
        words = (service_words(view, node),)
        return Diagnosis(Condition.STARTING, (node.id,), words, confirmed=True)
    if node.process is not Process.RUNNING:
        return None
    recovery = view.view.recoveries.get(node.id)
    loading = node.jvm is not None and (
        node.jvm.remaining_logs is not None or node.jvm.remaining_segments is not None
    )
    if loading and recovery is not None and node.answers is not True:
        seen: tuple[str, ...] = (
            recovery_words(recovery, view.now.mono_s),
            service_words(view, node),
        )
        return Diagnosis(Condition.RECOVERING_LOGS, (node.id,), seen, confirmed=True)
    state = node.jvm.broker_state if node.jvm is not None else None
    # A dedicated controller has no BrokerState at any age.
    young = node.config.is_broker and node.jvm is not None
    young = young and state != RUNNING_STATE and node.answers is not True
    if node.refused or young or _just_started(node, memory):
        seen = (service_words(view, node), *_closed_doors(node, view))
        waiting = "" if young or _still_runs(node, view) else "a look of SERVICE begun since"
        return Diagnosis(Condition.STARTING, (node.id,), seen, not waiting, waiting)
    return None


def _still_runs(node: Standing, view: ClusterView) -> bool:
    """Whether SERVICE was asked after the door closed: a crash closes it before we ask again."""
    service = view.view.track(node.id, Kind.SERVICE)
    door = view.view.track(node.id, Kind.LISTENER) or view.view.track(node.id, Kind.PROTOCOL)
    if service is None or door is None or door.good:
        return True
    return service.result.started >= door.since


def _just_started(node: Standing, memory: Memory) -> bool:
    """Whether an act of ours runs or is being verified and the node does not answer yet."""
    request = memory.open_request(node.id)
    return (
        request is not None
        and request.act_class is ActClass.START
        and request.ended is not None
        and node.answers is not True
        and node.silent_looks < 2
    )


def recovery_words(recovery: Recovery, now: float) -> str:
    """Say how far log recovery is, with the time left by its measured slope."""
    logs, segments = divmod(recovery.left, SEGMENT_WEIGHT)
    left = remaining_s(recovery, now)
    text = f"log recovery: {logs} logs, {segments} segments of the current one left"
    text += f", about {left:.0f} s to go" if left is not None else ""
    return text + f"; last progress {age(now - recovery.fell_at)}"
