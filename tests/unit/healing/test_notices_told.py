"""Who is told what, and when: once, grouped, reminded, and never for ever growing."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.healing.scenes import AUTO, Scene, split

from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import CheckResult, DataDirFact, HostFact
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.notification import NoticeKind

REPEAT_S = 600.0
OFTEN = replace(AUTO, notice_repeat_s=REPEAT_S)


def test_a_crash_is_told_twice_its_failure_and_its_recovery() -> None:
    """Two notices with the whole story; the second says how many acts it took."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    scene.run(60)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE, NoticeKind.RECOVERY]
    assert "after 1 act(s)" in scene.notices[1].summary
    assert any("service:start" in line for line in scene.notices[1].story)


def test_a_suspicion_is_told_to_nobody() -> None:
    """One bad look, then good again: no notice, not even of its end."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.run(1)
    scene.start("2", boot_s=0.0)
    scene.run(100)
    assert scene.notices == []
    assert scene.memory.incidents == {}


def test_failures_together_are_told_within_one_group() -> None:
    """The first at once, all others together 30 s later: nobody waits for minutes."""
    scene = Scene(split(6))
    scene.run(5)
    scene.operator_stop("4", "5", "6", "7")
    scene.run(40)
    failures = [n for n in scene.notices if n.kind is NoticeKind.FAILURE]
    assert {node for n in failures for node in n.nodes} == {"4", "5", "6", "7"}
    times = sorted({n.at.mono_s for n in failures})
    assert len(times) <= 2
    assert times[-1] - times[0] <= 31


def test_ends_together_are_told_within_one_group() -> None:
    """Every one of them is told to be over, and not each in a notice of its own."""
    scene = Scene(split(6))
    scene.run(5)
    scene.operator_stop("4", "5", "6", "7")
    scene.run(40)
    for node in "4567":
        scene.start(node)
        scene.run(3)
    scene.run(60)
    over = [n for n in scene.notices if n.kind is NoticeKind.RECOVERY]
    assert {node for n in over for node in n.nodes} == {"4", "5", "6", "7"}
    assert len(over) <= 2
    assert scene.memory.unconfirmed == {}


def test_an_open_incident_is_reminded_of_in_every_interval() -> None:
    """An operator's stop is not forgotten: hands off, remind."""
    scene = Scene(policy=OFTEN)
    scene.run(5)
    scene.operator_stop("2")
    scene.run(2 * REPEAT_S + 60)
    assert [n.kind for n in scene.notices] == [
        NoticeKind.FAILURE, NoticeKind.REMINDER, NoticeKind.REMINDER,
    ]  # fmt: skip
    gap = scene.notices[2].at.mono_s - scene.notices[1].at.mono_s
    assert REPEAT_S <= gap <= REPEAT_S + 10


def test_an_acknowledged_incident_is_not_reminded_of() -> None:
    """Somebody has it."""
    scene = Scene(policy=OFTEN)
    scene.run(5)
    scene.operator_stop("2")
    scene.run(10)
    scene.say(Order.ACK, scene.incident("2").id)
    scene.run(REPEAT_S + 600)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE]


def test_no_notice_is_doubled_over_a_restart_of_the_healer() -> None:
    """What was told is in the journal."""
    scene = Scene()
    scene.run(5)
    scene.operator_stop("2")
    scene.run(60)
    scene.restart_healer()
    scene.run(600)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE]


def test_what_an_incident_comes_to_be_calls_a_person_anew_but_once() -> None:
    """Whoever was called for a unit that is not there does not know of a disk that is not there."""

    def empty(look: CheckResult) -> CheckResult:
        if look.subject != "2" or not isinstance(look.fact, HostFact):
            return look
        where = DataDirFact("/data", same_device=False, has_identity=False, readable=True)
        return replace(look, fact=replace(look.fact, data_dirs=(where,)))

    scene = Scene()
    scene.run(5)
    scene.crash("2", unit_file="not-found")
    scene.run(60)
    scene.lens = empty
    for unit_file in ("enabled", "not-found", "enabled"):
        scene.edit("2", unit_file=unit_file)
        scene.run(60)
    called = [notice.condition for notice in scene.notices]
    assert called == [Condition.UNIT_ABSENT, Condition.STORAGE_MISSING]


def test_no_key_is_told_twice_within_the_repeat_interval() -> None:
    """I9 over a stormy hour."""
    scene = Scene(policy=OFTEN)
    scene.run(5)
    for round_ in range(6):
        scene.crash(str(1 + round_ % 3))
        scene.run(400)
    seen: dict[str, float] = {}
    for notice in scene.notices:
        before = seen.get(notice.key)
        assert before is None or notice.at.mono_s - before >= REPEAT_S, notice.key
        seen[notice.key] = notice.at.mono_s


def test_memory_forgets_what_is_over() -> None:
    """After five incidents no trace is left but the acts of the day and the ladders."""
    scene = Scene()
    scene.run(5)
    for _ in range(5):
        scene.operator_stop("2")
        scene.run(20)
        scene.start("2")
        scene.run(700)
    memory = scene.memory
    assert (memory.incidents, memory.requests, memory.decisions) == ({}, {}, {})
    assert (memory.told, memory.approvals) == ({}, {})


def test_a_story_is_bounded() -> None:
    """Sixty lines are kept, however long the trouble."""
    scene = Scene()
    scene.run(5)
    scene.operator_stop("2")
    for _ in range(100):
        scene.edit("2", stop_requested=False, lock_held=True)
        scene.run(33)
        scene.edit("2", stop_requested=True)
        scene.run(2)
    assert len(scene.incident("2").story) <= 60


def test_waiting_for_another_nodes_act_is_not_told_as_a_refusal() -> None:
    """It is its turn soon: nobody is woken for a queue."""
    scene = Scene(split(4), act_s=40.0)
    scene.run(5)
    scene.crash("4", "5")
    scene.run(5)
    scene.until(lambda: not scene.memory.incidents, 400)
    assert {n.kind for n in scene.notices} == {NoticeKind.FAILURE, NoticeKind.RECOVERY}
    assert len(scene.acts) == 2
