"""Rules about what a process runs out of: handlers, descriptors, heap, and sound metadata."""

from __future__ import annotations

import re
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.diagnosis.beside import stands
from kafka_self_healing.healing.diagnosis.ending import found_lines
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import closed_doors, look_words, service_words
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.evidence import UNANSWERED, Family, Kind, LogFact, Outcome
from kafka_self_healing.model.incident import Condition, Diagnosis, beside
from kafka_self_healing.model.policy import Policy

OUT_OF_MEMORY: Final = re.compile(r"java\.lang\.OutOfMemoryError")
DOWN: Final = UNANSWERED | {Outcome.REFUSED}


def heap_exhausted(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Half dead: half of its answers fail while all else is fine, and its log says why."""
    known = view.view.answers.get(node.id)
    if known is None or node.process is not Process.RUNNING or node.dropped is True:
        return None
    need = max(policy.confirm_s, 2 * view.view.cluster.session_timeout_s)
    looks = _latest(known.looks, policy.signs.half_dead_looks, need)
    failed = [at for at, good in looks if not good]
    if len(failed) < 2 or len(failed) < policy.signs.half_dead * len(looks):
        return None
    if not all(_sound(node, view, kind, failed[0]) for kind in (Kind.LISTENER, Kind.JVM)):
        return None
    words = _memory_words(node, view, failed[0])
    if not words:
        return None
    span = looks[-1][0] - looks[0][0]
    waiting = ""
    if len(looks) < policy.signs.half_dead_looks or span < need:
        waiting = f"{policy.signs.half_dead_looks} looks over {need:g} s"
    text = f"{len(failed)} of {len(looks)} looks in {span:.0f} s were not answered"
    evidence = (text, service_words(view, node), *closed_doors(node, view), *words)
    families = frozenset({Family.OURS, Family.MACHINE})
    return Diagnosis(Condition.HEAP_EXHAUSTED, (node.id,), evidence, not waiting, waiting, families)


def _sound(node: Standing, view: ClusterView, kind: Kind, since: float) -> bool:
    """Whether every look of a kind was answered all along: on a bad network these fail too."""
    track = view.view.track(node.id, kind)
    return kind not in node.config.kinds or (
        track is not None and track.good and track.since <= since
    )


def _latest(
    looks: tuple[tuple[float, bool], ...], least: int, span_s: float
) -> tuple[tuple[float, bool], ...]:
    """Return the latest looks, from a failed one on, that are enough by number and by time.

    All there are, if these are not enough.
    """
    last = looks[-1][0]
    for first in range(len(looks) - least, -1, -1):
        at, good = looks[first]
        if not good and last - at >= span_s:
            return looks[first:]
    return looks


def _memory_words(node: Standing, view: ClusterView, since: float) -> tuple[str, ...]:
    """Return what its log says of its heap, by a look that began after the trouble did."""
    track = view.view.track(node.id, Kind.LOG)
    fact = track.result.fact if track is not None else None
    if track is None or track.result.started < since or not isinstance(fact, LogFact):
        return ()
    lines = [line for text in fact.tail or () for line in text.splitlines() if line.strip()]
    return found_lines(tuple(lines), OUT_OF_MEMORY)


def overloaded(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It answers, its request handlers have nothing left, and requests wait for them."""
    if Kind.JVM not in node.config.kinds or not node.config.is_broker:
        return None
    jvm, signs = node.jvm, policy.signs
    busy: bool | None = None
    evidence: tuple[str, ...] = ()
    if jvm is not None and jvm.idle is not None and jvm.idle >= signs.idle:
        return None
    if jvm is not None and jvm.idle is not None and jvm.request_queue is not None:
        busy = node.answers is True and jvm.request_queue >= signs.queue
        evidence = (f"JVM: request handlers are idle {max(0.0, jvm.idle):.1%} of the time",
                    f"JVM: {jvm.request_queue} requests wait")  # fmt: skip
    return stands(node, view, memory, policy, Condition.OVERLOADED, busy, evidence)


def descriptors_exhausted(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Its open files are near their limit: beyond it, it accepts nobody."""
    if Kind.JVM not in node.config.kinds:
        return None
    jvm, few = node.jvm, None
    evidence: tuple[str, ...] = ()
    if jvm is not None and jvm.open_files is not None and jvm.max_files:
        few = jvm.open_files >= policy.signs.descriptors * jvm.max_files
        if not few:
            return None
        evidence = (f"JVM: {jvm.open_files} of {jvm.max_files} file descriptors are open",)
    return stands(node, view, memory, policy, Condition.DESCRIPTORS_EXHAUSTED, few, evidence)


def metadata_errors(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It could not load or apply a record of the metadata: what it believes may be wrong."""
    if Kind.JVM not in node.config.kinds:
        return None
    count = node.jvm.metadata_errors if node.jvm is not None else None
    if count == 0:
        return None
    evidence = (f"JVM: {count} errors while metadata were loaded or applied",)
    wrong = None if count is None else True
    return stands(node, view, memory, policy, Condition.METADATA_ERRORS, wrong, evidence)


def jmx_unreachable(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Only its JMX port fails: we see less of it, and nothing is wrong with it."""
    if node.jvm_silent is not True:
        return None
    track = view.view.track(node.id, Kind.JVM)
    if track is None or track.result.outcome not in DOWN:
        return None
    known = memory.incident_of(beside(node.id, Condition.JMX_UNREACHABLE))
    if node.ok is not True and not (known is not None and node.ok is None):
        return None
    waiting = ""
    if track.streak < policy.signs.jmx_looks:
        waiting = f"{track.streak} of {policy.signs.jmx_looks} looks"
    evidence = (look_words(track, view.now), "it answers, and the others count it in")
    return Diagnosis(Condition.JMX_UNREACHABLE, (node.id,), evidence, not waiting, waiting)


_JVM: Final = frozenset({Kind.JVM})

ROWS: Final = (
    Row(
        Condition.HEAP_EXHAUSTED,
        frozenset({Kind.PROTOCOL, Kind.SERVICE, Kind.LOG}),
        "at least half of ten or more looks of PROTOCOL are not answered, good and failing ones in"
        " turn, while its port accepts, its JVM answers and the others count it in; and the log"
        " says `java.lang.OutOfMemoryError`",
        "a log without it (UNDIAGNOSED), a JVM that is silent too (PROCESS_HUNG), others that have"
        " dropped it",
        "30 s, and two sessions",
        "`service:restart`, in an orderly way, as far as the guards permit; once a day. A second"
        " time calls a person: a restart hides a leak",
        "take a heap dump before it is restarted if you can (`jcmd PID GC.heap_dump FILE`). Raise"
        " `-Xmx`, or find the client that sends huge requests (`socket.request.max.bytes`)",
    ),
    Row(
        Condition.OVERLOADED,
        _JVM,
        "it answers, its request handlers are idle less than 5 % of the time, and 100 requests or"
        " more wait for them",
        "idle handlers, or a short queue",
        "30 s",
        "nothing: a restart would move the load to the others. Told; it stands beside whatever"
        " else the node has",
        "find who causes it (the request rates by client, `kafka-configs` for quotas), throttle it,"
        " spread the leaders (`kafka-leader-election --election-type preferred`), or add brokers",
    ),
    Row(
        Condition.DESCRIPTORS_EXHAUSTED,
        _JVM,
        "the JVM has 90 % of its file descriptors open",
        "the JVM counting fewer",
        "30 s",
        "nothing: a restart would have the same limit. Told early; it stands beside whatever else"
        " the node has",
        "raise the limit (`LimitNOFILE=` of the unit, 100000 or more), then restart the node at a"
        " quiet time. Count its connections (`ss -s`): one that leaks them fills any limit",
    ),
    Row(
        Condition.METADATA_ERRORS,
        _JVM,
        "the JVM counts errors while metadata were loaded or applied",
        "a count of 0: it begins anew with each process",
        "30 s",
        "nothing; the metadata log is never touched",
        "read its log for `Error applying` or `fault`, and report it: this is a bug, or a damaged"
        " snapshot. Do not delete the metadata directory while its voters are few",
    ),
    Row(
        Condition.JMX_UNREACHABLE,
        _JVM,
        "its JMX port is refused or silent, and all else is well",
        "anything else that is wrong with the node",
        "three looks",
        "noted in `status`, `explain` and the digest; nobody is called. Diagnosis goes on with"
        " less: a start without its gauges, a hang by PROTOCOL alone",
        "look at `KAFKA_JMX_OPTS` and the firewall: RMI needs a second port, set it with"
        " `-Dcom.sun.management.jmxremote.rmi.port`",
    ),
)
