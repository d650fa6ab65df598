"""Rules about a node's process: gone, stopped, terminated, hung, shutting down."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.diagnosis.ending import awaited, looks_missing
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import closed_doors, service_words
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.view import STUCK_STATE
from kafka_self_healing.model.evidence import Family, Kind, ServiceFact
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy

SIGTERM_EXIT = 143
CLEAN_EXITS = frozenset({0, SIGTERM_EXIT})
TERM_SIGNALS = frozenset({15, "15", "TERM", "SIGTERM"})
OPEN_END = frozenset({"exit-code", "signal"})
"""Results of which the number behind them matters: without it, it may have been a SIGTERM."""

STOP_TIMED_OUT = "timeout"
"""The Result of a unit that did not stop (or come up) within its time, and was killed for it."""

OOM_KILL, START_LIMIT = "oom-kill", "start-limit-hit"
"""Results by which systemd says that the kernel killed it, or that it has given up starting it."""

SHUTDOWN_STATES = frozenset({6, 7})


def stopped(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """Somebody asked for its end, or may have: hands off."""
    if node.process is not Process.ENDED or node.service is None:
        return None
    condition, why = _end(node, node.service, view, memory)
    if condition is not Condition.STOPPED_BY_OPERATOR:
        return None
    evidence = (service_words(view, node), *closed_doors(node, view), why)
    return Diagnosis(condition, (node.id,), evidence, confirmed=True)


def _end(
    node: Standing, service: ServiceFact, view: ClusterView, memory: Memory
) -> tuple[Condition, str]:
    return end_reason(
        service,
        ours=node.id in memory.owed_starts,
        asked=node.id in view.view.stops_seen,
        rebooted=rebooted(node, view),
    )


def ended(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """The process has ended, and no cause is known that makes a start vain: is it proven?"""
    if node.process is not Process.ENDED or node.service is None:
        return None
    condition, why = _end(node, node.service, view, memory)
    incident = memory.incident_of(node.id)
    if incident is not None and incident.cause is Condition.START_LIMIT_HIT:
        # Its one start was made: that it ended again by itself is no new trouble.
        condition = Condition.START_LIMIT_HIT
    evidence = (service_words(view, node), *closed_doors(node, view), why)
    end = view.view.ends[node.id]
    waiting, check_at = looks_missing(node, view, policy)
    if not node.gone:
        waiting, check_at = _why_not_gone(node), None
    elif not waiting and (kinds := awaited(node, view, policy)):
        waiting = f"a look of {', '.join(kinds)} begun since"
        check_at = end.since + policy.signs.last_words_s
    if not node.gone and end.looks >= policy.gone_looks:
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
    if service.oom_killed is True or service.result == OOM_KILL:
        return Condition.KILLED_BY_KERNEL, "the kernel killed it: it was out of memory"
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
    if service.result == START_LIMIT or (service.active == "failed" and service.restarts):
        times = f" after {service.restarts} restarts" if service.restarts else ""
        return Condition.START_LIMIT_HIT, f"its manager has given up starting it{times}"
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
    evidence = (service_words(view, node), *closed_doors(node, view))
    return Diagnosis(Condition.SHUTTING_DOWN, (node.id,), evidence, confirmed=True)


def hung(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """The process runs and is silent. Confirmed only once the others have dropped it."""
    if node.process not in {Process.RUNNING, Process.DEACTIVATING} or node.silent_looks < 2:
        return None
    if node.refused or node.jvm_silent is False:
        return None
    service = node.service
    evidence = [service_words(view, node), *closed_doors(node, view)]
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


_PROVEN: Final = frozenset({Kind.SERVICE, Kind.LISTENER})
_SILENT: Final = frozenset({Kind.SERVICE, Kind.PROTOCOL})

ROWS: Final = (
    Row(
        Condition.PROCESS_GONE,
        _PROVEN,
        "the service manager says that the process has ended, nothing holds its log directory's"
        " lock, its port is refused, a configured JVM does not answer; and nothing that is known of"
        " its end makes a start vain: its last words and its storage are looked at first",
        "a lock that is held, a port that accepts, a JVM that answers: then it was started by hand",
        "two looks, 2 s apart; a look at its log and its disks begun since is waited for 5 s",
        "`service:start`, once; once more only if that start lived for a minute. In KRaft the new"
        " process waits for its old session and is left alone for session + 10 s. In ZooKeeper mode"
        " the start of a broker waits until the others no longer list it"
        " ([`registration_released`](guards.md)): before that it would only die of NodeExists. An"
        " exit for that reason uses no attempt where the log tells it",
        "nothing. After a failed start: read the node's log, repair, then `ack`",
    ),
    Row(
        Condition.TERMINATED,
        _PROVEN,
        "the process ended as on SIGTERM, with a status that its unit calls success, or with"
        " success, but nobody asked for a stop; or how it ended cannot be read; or its host was"
        " booted since and nobody has started it",
        "a stop request, seen or read (STOPPED_BY_OPERATOR)",
        "two looks, 2 s apart",
        "told at once; `service:start` after 120 s (60 s after a boot, also if its unit is"
        " disabled), so that whoever did it can say so",
        "if it was meant, stop it through its service manager, or `pause`",
    ),
    Row(
        Condition.STOPPED_BY_OPERATOR,
        frozenset({Kind.SERVICE}),
        "a stop request: the service manager says so, the unit was seen on its way down by request,"
        " or it is masked. Whatever the exit code, and also if its manager lost patience (Result"
        " `timeout`) and killed it. What was asked for once holds until it runs again. Whether"
        " there was a request cannot be read: taken for one, and told",
        "a stop of our own that was not finished",
        "at once",
        "hands off, and a reminder every four hours. A stop that leaves partitions under min ISR or"
        " the quorum lost is told at once",
        "start it again when you are done. `ack` ends the reminders",
    ),
    Row(
        Condition.SHUTTING_DOWN,
        frozenset({Kind.SERVICE}),
        "the unit is deactivating, or BrokerState is 6 or 7",
        "silent and dropped: then it is PROCESS_HUNG",
        "at once",
        "nothing; it is no failure",
        "nothing",
    ),
    Row(
        Condition.PROCESS_HUNG,
        _SILENT | {Kind.PEERS},
        "the process runs and is silent for three looks (PROTOCOL, and the JVM if configured), and"
        " the others have dropped it. A member of an ensemble is dropped when its leader no longer"
        " counts it as synced; a leader, when another one leads",
        "a refused port, a JVM that answers, others that still count it in",
        "three silent looks, and Kafka's own session: the others have dropped it",
        "`service:restart`: SIGKILL of a process in state T, or of one whose JVM is silent too; an"
        " orderly stop otherwise. Once an hour, 300 s between two nodes. Not with a certificate"
        " that has expired, or that nobody could read: the new process would exit at once"
        " ([`certificates_are_valid`](guards.md))",
        "nothing; find out what stopped it. If a certificate stands in the way: renew it, then"
        " `approve`",
    ),
    Row(
        Condition.STORAGE_HUNG,
        _SILENT,
        "silent, and the process is in state D on three looks: it waits for a disk",
        "any other process state, or an answer",
        "three looks",
        "nothing. No signal is delivered to such a process",
        "repair the storage; the node wakes up by itself or needs a reboot",
    ),
)
