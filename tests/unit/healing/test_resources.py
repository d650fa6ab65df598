"""What a process runs out of, what stands beside its main condition, and a start that stalls.

Each: suspected, confirmed once it holds, contradicted, and kept while it cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.unit.healing.scenes import Scene, combined, zookeeper
from tests.unit.healing.test_causes import named, with_log

from kafka_self_healing.model.evidence import (
    CheckResult,
    DataDirFact,
    DiskFact,
    HostFact,
    JvmFact,
    Kind,
    LogFact,
    Outcome,
)
from kafka_self_healing.model.incident import BESIDE, Condition, Reply, beside, reply

C = Condition
OUT_OF_MEMORY = "ERROR Processor got uncaught exception.\njava.lang.OutOfMemoryError: Java heap"


def scene(**more: Any) -> Scene:
    """Three combined nodes with logs, watched for a while."""
    made = Scene(with_log(combined()), **more)
    made.run(5)
    return made


def jvm(**changes: Any) -> Callable[[CheckResult], CheckResult]:
    """Change what the JVM of node 2 says."""

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != "2" or not isinstance(look.fact, JvmFact):
            return look
        return replace(look, fact=replace(look.fact, **changes))

    return lens


def disks(*found: DiskFact) -> Callable[[CheckResult], CheckResult]:
    """Change what the host of node 2 says of its disks."""

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != "2" or not isinstance(look.fact, HostFact):
            return look
        return replace(look, fact=replace(look.fact, disks=found))

    return lens


@dataclass(frozen=True)
class Beside:
    """A condition that stands beside: a reading that is bad, one that is not, one that is not."""

    condition: Condition
    bad: Callable[[CheckResult], CheckResult]
    good: Callable[[CheckResult], CheckResult]
    unknown: Callable[[CheckResult], CheckResult]
    words: str = field(default="")


BESIDES = (
    Beside(
        C.OVERLOADED,
        jvm(idle=0.01, request_queue=300),
        jvm(idle=0.9, request_queue=300),
        jvm(idle=None, request_queue=300),
        "300 requests wait",
    ),
    Beside(
        C.OVERLOADED,
        jvm(idle=0.01, request_queue=300),
        jvm(idle=0.01, request_queue=3),
        jvm(idle=0.01, request_queue=None),
        "1.0% of the time",
    ),
    Beside(
        C.DESCRIPTORS_EXHAUSTED,
        jvm(open_files=95, max_files=100),
        jvm(open_files=80, max_files=100),
        jvm(open_files=95, max_files=None),
        "95 of 100",
    ),
    Beside(
        C.METADATA_ERRORS,
        jvm(metadata_errors=2),
        jvm(metadata_errors=0),
        jvm(metadata_errors=None),
        "2 errors",
    ),
    Beside(
        C.LOG_DIR_FAILED,
        jvm(offline_log_dirs=1),
        jvm(offline_log_dirs=0),
        jvm(offline_log_dirs=None),
        "1 of its log directories offline",
    ),
    Beside(
        C.DISK_FILLING,
        disks(DiskFact("/data", 1 << 40, 1 << 36)),
        disks(DiskFact("/data", 1 << 40, 1 << 38)),
        disks(DiskFact("/data", None, 1 << 36)),
        "6.2% of the disk",
    ),
)


def found(broken: Scene, condition: Condition) -> bool | None:
    """Whether it is confirmed beside node 2; None: it is not there."""
    diagnosis = broken.found(beside("2", condition))
    return None if diagnosis is None else diagnosis.confirmed


@pytest.mark.parametrize("one", BESIDES, ids=lambda one: one.condition)
def test_what_stands_beside_is_suspected_and_confirmed_when_it_lasts(one: Beside) -> None:
    """A person is called after 30 s, once; no act; the node's own condition is untouched."""
    broken = scene()
    broken.lens = one.bad
    broken.run(3)
    assert found(broken, one.condition) is False
    broken.run(30)
    assert found(broken, one.condition) is True
    assert one.words in str(broken.incident(beside("2", one.condition)).evidence)
    assert broken.incident(beside("2", one.condition)).escalation
    assert (broken.found("2"), broken.acted()) == (None, [])
    assert one.condition in BESIDE
    assert reply(one.condition) is Reply.PAGE


@pytest.mark.parametrize("one", BESIDES, ids=lambda one: one.condition)
def test_what_is_contradicted_is_not_there(one: Beside) -> None:
    """The other reading alone says nothing; and it ends what was suspected."""
    broken = scene()
    broken.lens = one.good
    broken.run(40)
    assert found(broken, one.condition) is None
    broken.lens = one.bad
    broken.run(3)
    broken.lens = one.good
    broken.run(60)
    assert found(broken, one.condition) is None
    assert not broken.memory.incidents


@pytest.mark.parametrize("one", BESIDES, ids=lambda one: one.condition)
def test_what_cannot_be_read_is_neither_there_nor_over(one: Beside) -> None:
    """Unknown opens nothing, confirms nothing, and closes nothing."""
    broken = scene()
    broken.lens = one.unknown
    broken.run(40)
    assert found(broken, one.condition) is None
    broken.lens = one.bad
    broken.run(3)
    broken.lens = one.unknown
    broken.run(60)
    assert found(broken, one.condition) is False
    broken.lens = one.bad
    broken.run(40)
    broken.lens = one.unknown
    broken.run(60)
    assert found(broken, one.condition) is True


def test_a_disk_that_fills_up_goes_on_as_the_full_one() -> None:
    """DISK_FULL takes DISK_FILLING over; another disk that fills still stands beside it."""
    broken = scene()
    broken.lens = disks(DiskFact("/data", 1 << 40, 1 << 36))
    broken.run(40)
    first = broken.incident(beside("2", C.DISK_FILLING))
    broken.lens = disks(DiskFact("/data", 1 << 40, 0))
    broken.run(40)
    assert broken.closed == [(C.DISK_FILLING, "merged")]
    assert broken.found("2") is not None
    assert broken.incident("2").condition is C.DISK_FULL
    assert any(
        f"{first.id} (DISK_FILLING) is the same" in line for line in broken.incident("2").story
    )
    assert [n.condition for n in broken.notices] == ["DISK_FILLING", "DISK_FULL"]
    broken.lens = disks(DiskFact("/data", 1 << 40, 0), DiskFact("/more", 1 << 40, 1 << 36))
    broken.run(40)
    assert found(broken, C.DISK_FILLING) is True
    assert "/more" in str(broken.incident(beside("2", C.DISK_FILLING)).evidence)


def test_a_jmx_port_that_fails_alone_is_noted_and_nobody_is_called() -> None:
    """JMX_UNREACHABLE after three looks, only while all else is well."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        of_2 = look.subject == "2" and look.kind is Kind.JVM
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if of_2 else look

    broken.lens = lens
    broken.run(2)
    assert found(broken, C.JMX_UNREACHABLE) is False
    broken.run(10)
    assert found(broken, C.JMX_UNREACHABLE) is True
    assert (broken.notices, broken.acted(), broken.found("2")) == ([], [], None)
    broken.hang("2")
    broken.run(5)
    assert found(broken, C.JMX_UNREACHABLE) is not True
    assert named(broken)[0] is C.PROCESS_HUNG


# --- a heap that is exhausted --------------------------------------------------------------------


@dataclass
class Half:
    """Node 2 answers each third look only (or each `nth`); `words`: of its log."""

    words: str = OUT_OF_MEMORY
    jvm_too: bool = False
    never: bool = False
    nth: int = 3
    count: int = 0

    def __call__(self, look: CheckResult) -> CheckResult:
        if look.subject != "2":
            return look
        if isinstance(look.fact, LogFact):
            return replace(look, fact=LogFact((self.words,)))
        if look.kind is Kind.JVM and self.jvm_too:
            return replace(look, outcome=Outcome.TIMED_OUT, fact=None)
        if look.kind is not Kind.PROTOCOL:
            return look
        self.count += 1
        good = self.count % self.nth == 0 and not self.never
        return look if good else replace(look, outcome=Outcome.TIMED_OUT, fact=None)


@pytest.mark.parametrize("half", [Half(), Half(nth=2), Half(never=True)])
def test_half_dead_with_an_exhausted_heap_is_restarted_once(half: Half) -> None:
    """HEAP_EXHAUSTED after 30 s and two sessions; a second time within a day calls a person."""
    broken = scene(min_isr=1)
    broken.lens = half
    begun = broken.now.mono_s
    broken.until(lambda: broken.acts, 200)
    at, request = broken.acts[0]
    assert at - begun >= 30
    assert (request.action, request.condition) == ("service:restart", C.HEAP_EXHAUSTED)
    broken.lens = lambda look: look
    broken.until(lambda: broken.closed, 300)
    broken.run(4000)
    broken.lens = Half()
    broken.run(300)
    assert len(broken.acts) == 1
    assert "anti_flap" in broken.reasons("2")
    assert broken.incident("2").escalation


def test_a_longer_session_is_waited_for_twice() -> None:
    """Two sessions of 18 s are longer than 30 s."""
    broken = Scene(with_log(zookeeper()), min_isr=1)
    broken.run(5)
    broken.lens = Half()
    begun = broken.now.mono_s
    broken.until(lambda: broken.acts, 100)
    assert broken.acts[0][0] - begun >= 36


@pytest.mark.parametrize(
    "half",
    [Half(words="INFO nothing of that sort"), Half(jvm_too=True, never=True)],
    ids=["no word of its heap", "its JVM is silent too"],
)
def test_half_dead_for_another_reason_is_not_called_heap(half: Half) -> None:
    """Without its log's word there is one family only; with a silent JVM it hangs."""
    broken = scene(min_isr=1)
    broken.lens = half
    for _ in range(90):
        broken.run(1)
        assert named(broken)[0] is not C.HEAP_EXHAUSTED
    assert broken.acted() == []


@pytest.mark.parametrize("kind", [Kind.LISTENER, Kind.JVM])
def test_a_bad_network_is_not_called_heap(kind: Kind) -> None:
    """An old word of its heap, and looks of other kinds that fail now and then too."""
    broken = scene(min_isr=1)
    half, count = Half(), 0

    def lens(look: CheckResult) -> CheckResult:
        nonlocal count
        if (look.subject, look.kind) != ("2", kind):
            return half(look)
        count += 1
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if count % 7 == 0 else look

    broken.lens = lens
    broken.run(120)
    assert broken.acted() == []


def test_an_old_word_of_its_heap_alone_is_nothing() -> None:
    """A log that tells of it while all looks are answered."""
    broken = scene()
    broken.lens = Half(count=-10_000_000, words=OUT_OF_MEMORY)

    def lens(look: CheckResult) -> CheckResult:
        old = isinstance(look.fact, LogFact)
        return replace(look, fact=LogFact((OUT_OF_MEMORY,))) if old else look

    broken.lens = lens
    broken.run(90)
    assert (broken.found("2"), broken.acted()) == (None, [])


def test_a_look_lost_now_and_then_is_nothing() -> None:
    """One of five is far from half."""
    broken = scene()
    half = Half()

    def lens(look: CheckResult) -> CheckResult:
        if look.kind is Kind.PROTOCOL and look.subject == "2":
            half.count += 1
            return replace(look, outcome=Outcome.TIMED_OUT) if half.count % 5 == 0 else look
        return look if look.kind is not Kind.LOG else replace(look, fact=LogFact((OUT_OF_MEMORY,)))

    broken.lens = lens
    broken.run(120)
    assert broken.acted() == []


# --- a start that stalls -------------------------------------------------------------------------


def _on_its_way(broken: Scene) -> None:
    broken.crash("2")
    broken.start("2", boot_s=100_000)


def _line(segment: int) -> str:
    return f"INFO [LogLoader partition=t-0, dir=/d] Recovering unflushed segment {segment}. 1/9"


MOVES: dict[str, Callable[[Scene, int], None]] = {
    "gauges fall": lambda b, i: setattr(b.nodes["2"], "recovering", (90_000 - i, 1)),
    "it reads from its disks": lambda b, i: b.edit("2", read_bytes=i * 300_000),
    "its log names a new segment": lambda b, i: setattr(b.nodes["2"], "last_words", _line(i)),
}
STANDS: dict[str, Callable[[Scene, int], None]] = {
    "gauges stand": lambda b, _: setattr(b.nodes["2"], "recovering", (7, 1)),
    "it reads a little": lambda b, i: b.edit("2", read_bytes=i * 50_000),
    "its log repeats itself": lambda b, _: setattr(b.nodes["2"], "last_words", _line(3)),
    "its log is loud": lambda b, i: setattr(b.nodes["2"], "last_words", f"WARN no connection {i}"),
}


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_a_start_that_moves_is_left_alone(moves: Callable[[Scene, int], None]) -> None:
    """Progress of any sort, for as long as it takes."""
    broken = scene()
    _on_its_way(broken)
    for i in range(1, 900):
        moves(broken, i)
        broken.run(1)
    assert named(broken)[0] in {C.STARTING, C.RECOVERING_LOGS}
    assert (broken.notices, broken.acted()) == ([], [])


@pytest.mark.parametrize("stands", STANDS.values(), ids=STANDS)
def test_a_start_that_stands_is_told_after_ten_minutes(
    stands: Callable[[Scene, int], None],
) -> None:
    """RECOVERY_STALLED: a person is called, nothing is done; and it ends when it moves."""
    broken = scene()
    _on_its_way(broken)
    for i in range(1, 590):
        stands(broken, i)
        broken.run(1)
    assert named(broken)[0] in {C.STARTING, C.RECOVERING_LOGS}
    for i in range(590, 620):
        stands(broken, i)
        broken.run(1)
    assert named(broken) == (C.RECOVERY_STALLED, True)
    assert broken.incident("2").escalation
    broken.nodes["2"].recovering = (3, 1)
    broken.run(1)
    broken.nodes["2"].recovering = (2, 1)
    broken.run(2)
    assert named(broken) == (C.RECOVERING_LOGS, True)
    assert broken.acted() == []


def test_one_directory_of_several_names_the_one_that_cannot_be_read() -> None:
    """LOG_DIR_FAILED with what the host says, where it is asked."""
    broken = scene()
    bad = DataDirFact("/d2", same_device=True, has_identity=True, readable=False)

    def lens(look: CheckResult) -> CheckResult:
        if look.subject == "2" and isinstance(look.fact, HostFact):
            return replace(look, fact=replace(look.fact, data_dirs=(bad,)))
        return jvm(offline_log_dirs=1)(look)

    broken.lens = lens
    broken.run(40)
    assert found(broken, C.LOG_DIR_FAILED) is True
    assert "/d2 cannot be read" in str(broken.incident(beside("2", C.LOG_DIR_FAILED)).evidence)
    assert broken.found("2") is None
