"""How a process ended: its last words, the looks still awaited, and how sure the end is.

A log is read only from its last start on, and only of a process that ended by itself: who is killed
writes nothing down. What is searched for are sentences of Kafka, ZooKeeper and the JVM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.diagnosis.words import service_words
from kafka_self_healing.model.evidence import HostFact, Kind, LogFact, ServiceFact
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy

SHOWN_LINES: Final = 3
SHOWN_CHARACTERS: Final = 240
BY_SIGNAL: Final = 128
"""Exit statuses above it stand for a signal (143: SIGTERM)."""

STARTS: Final = re.compile(
    r"Log4jController. MBean|Reading configuration from:|^(Started|Starting) .*(kafka|zookeeper)",
    re.IGNORECASE,
)
"""The first line of a new process; what stands above it is of an earlier one."""

FATAL: Final = re.compile(
    r"Exiting Kafka due to fatal|Fatal error during|exiting abnormally|[Ff]atal fault"
)
"""The line with which a process begins to end; its cause stands in it or below."""


@dataclass(frozen=True, slots=True)
class LastWords:
    """The last lines of a run: all that are known, and those of its end.

    `fatal`: from the first line that says that it has to end; all lines if none says so.
    """

    lines: tuple[str, ...] = ()
    fatal: tuple[str, ...] = ()


NOTHING: Final = LastWords()


def by_itself(service: ServiceFact) -> bool:
    """Whether the process may have ended by itself: no signal is known that ended it."""
    if service.signal not in (None, "", 0):
        return False
    return service.exit_status is None or 0 < service.exit_status <= BY_SIGNAL


def last_words(node: Standing, view: ClusterView) -> LastWords:
    """Return the last lines of the run that ended, by a look that began after its end was seen."""
    service, end = node.service, view.view.ends.get(node.id)
    track = view.view.track(node.id, Kind.LOG)
    if service is None or end is None or track is None or not by_itself(service):
        return NOTHING
    fact = track.result.fact
    if track.result.started < end.since or not isinstance(fact, LogFact):
        return NOTHING
    lines = [line for text in fact.tail or () for line in text.splitlines() if line.strip()]
    starts = [at for at, line in enumerate(lines) if STARTS.search(line)]
    lines = lines[starts[-1] :] if starts else lines
    fatal = next((at for at, line in enumerate(lines) if FATAL.search(line)), 0)
    return LastWords(tuple(lines), tuple(lines[fatal:]))


def found_lines(lines: tuple[str, ...], wanted: re.Pattern[str]) -> tuple[str, ...]:
    """Return the first line that matches, and the last lines, for a person to read; or nothing."""
    first = next((at for at, line in enumerate(lines) if wanted.search(line)), None)
    if first is None:
        return ()
    last = lines[max(first + 1, len(lines) - SHOWN_LINES) :]
    return tuple(_shown(line) for line in (lines[first], *last))


def newest_lines(node: Standing, view: ClusterView) -> tuple[str, ...]:
    """Return the newest lines of its log, whoever wrote them, for a person to read."""
    track = view.view.track(node.id, Kind.LOG)
    fact = track.result.fact if track is not None else None
    tail = (fact.tail or ()) if isinstance(fact, LogFact) else ()
    lines = [line for text in tail for line in text.splitlines() if line.strip()]
    return tuple(_shown(line) for line in lines[-SHOWN_LINES:])


def _shown(line: str) -> str:
    return f"log: {line.strip()[:SHOWN_CHARACTERS]}"


def host_fact(node: Standing, view: ClusterView, policy: Policy) -> HostFact | None:
    """Return what is known of the node's host, unless that is old."""
    track = view.view.track(node.id, Kind.HOST)
    if track is None or view.now.mono_s - track.result.ended > policy.fresh_cap_s:
        return None
    fact = track.result.fact
    return fact if isinstance(fact, HostFact) else None


def awaited(node: Standing, view: ClusterView, policy: Policy) -> list[Kind]:
    """Return the looks that may tell why it ended and have not begun since; never for long."""
    end, service = view.view.ends.get(node.id), node.service
    if end is None or service is None:
        return []
    if view.now.mono_s - end.since >= policy.signs.last_words_s:
        return []
    kinds = (Kind.LOG, Kind.HOST) if by_itself(service) else (Kind.HOST,)
    return [kind for kind in kinds if kind in node.config.kinds and not _asked(node, view, kind)]


def _asked(node: Standing, view: ClusterView, kind: Kind) -> bool:
    track = view.view.track(node.id, kind)
    return track is not None and track.result.started >= view.view.ends[node.id].since


def looks_missing(node: Standing, view: ClusterView, policy: Policy) -> tuple[str, float | None]:
    """Return what is missing until the end is sure, and when time alone may bring it."""
    end = view.view.ends[node.id]
    if end.looks < policy.gone_looks:
        return f"{end.looks} of {policy.gone_looks} looks", None
    if end.latest - end.since < policy.gone_apart_s:
        apart = policy.gone_apart_s
        return f"looks at least {apart:g} s apart", end.since + apart
    return "", None


def ended_of(
    node: Standing,
    view: ClusterView,
    policy: Policy,
    condition: Condition,
    why: tuple[str, ...],
) -> Diagnosis:
    """Name why a process ended, for good: no act answers it, so the manager's word is enough."""
    waiting, check_at = looks_missing(node, view, policy)
    evidence = (service_words(view, node), *why)
    return Diagnosis(condition, (node.id,), evidence, not waiting, waiting, check_at=check_at)


def is_ended(node: Standing) -> bool:
    """Whether its process has ended, and nothing else holds its log directory."""
    service = node.service
    return node.process is Process.ENDED and service is not None and service.lock_held is not True


def lived_s(node: Standing, view: ClusterView) -> float | None:
    """Return for how long the run that ended was watched (seconds); None: not at all."""
    run, end = view.view.runs.get(node.id), view.view.ends.get(node.id)
    service = node.service
    if run is None or end is None or service is None or run.invocation != service.invocation:
        return None
    return max(0.0, end.since - run.since)


def came_up(node: Standing, view: ClusterView, policy: Policy) -> bool:
    """Whether the run that ended is known to have worked: then nothing kept it from starting."""
    run, lived = view.view.runs.get(node.id), lived_s(node, view)
    return (
        run is not None and lived is not None and run.answered and lived >= policy.signs.comes_up_s
    )
