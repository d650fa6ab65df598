"""What holds of every turn: pure, bounded, awake in time, and its memory is its events' fold."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings, strategies as st
from tests.unit.healing.scenes import AUTO, Scene, combined, split

from kafka_self_healing.healing.healer import step
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.model.codec import from_plain, to_plain
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.event import EVENT_TYPES
from kafka_self_healing.model.evidence import CheckResult, Outcome
from kafka_self_healing.model.recovery import ActClass, RequestState

EDITS = st.lists(
    st.tuples(
        st.sampled_from(
            ["crash", "hang", "operator_stop", "terminate", "cut", "isolate", "start", "restart",
             "pause", "resume", "ack"]
        ),
        st.sampled_from(["1", "2", "3"]),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip
CALM = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def apply(scene: Scene, what: str, node: str) -> None:
    """Make one edit of the strategy happen."""
    match what:
        case "restart":
            scene.restart_healer()
        case "pause":
            scene.say(Order.PAUSE)
        case "resume":
            scene.say(Order.RESUME)
        case "ack":
            for incident in list(scene.memory.incidents.values()):
                scene.say(Order.ACK, incident.id)
        case "start":
            scene.start(node)
        case _:
            getattr(scene, what)(node)


@CALM
@given(edits=EDITS, seed=st.integers(0, 99))
def test_whatever_happens_every_turn_keeps_its_contract(
    edits: list[tuple[str, str, int]], seed: int
) -> None:
    """Purity, I11, wake-up and I1 hold under random faults, lost looks and restarts."""
    scene = Scene(twice=True)
    count = 0

    def lens(look: CheckResult) -> CheckResult | None:
        nonlocal count
        count += 1
        if (count * 7919 + seed) % 23:
            return look
        return None if count % 2 else replace(look, outcome=Outcome.TIMED_OUT, fact=None)

    scene.lens = lens
    scene.run(5)
    for what, node, seconds in edits:
        apply(scene, what, node)
        scene.run(seconds)
        executing = [r for r in scene.memory.requests.values() if r.state is RequestState.EXECUTING]
        assert len(executing) <= 1, "I1"
    assert fold(Memory(), scene.events) == scene.memory, "I11"
    for incident in scene.memory.incidents.values():
        assert len(incident.story) <= 60, "I10"
    for _, request in scene.acts:
        if request.act_class is ActClass.RESTART:
            assert request.condition.value == "PROCESS_HUNG"


def test_a_turn_does_not_touch_its_inputs() -> None:
    """Memory and view before the turn are the same after it."""
    scene = Scene(hands="idle")
    scene.run(5)
    scene.crash("2")
    scene.run(3)
    assert scene.view is not None
    looks = tuple(scene.looks())
    memory, view = to_plain(scene.memory), repr(scene.view)
    done = step(scene.memory, scene.view, looks, AUTO, scene.now.after(1))
    assert done.events
    assert to_plain(scene.memory) == memory
    assert repr(scene.view) == view


def test_a_turn_without_news_has_no_events() -> None:
    """A tick on an unchanged world writes nothing."""
    scene = Scene()
    scene.run(30)
    before = len(scene.events)
    scene.turn([])
    scene.run(60)
    assert len(scene.events) == before


def test_every_event_survives_the_journals_form() -> None:
    """Encoded and decoded again, the events fold to the same memory."""
    scene = Scene(split())
    scene.run(5)
    scene.crash("1", "2", "5")
    scene.run(30)
    scene.hang("4")
    scene.say(Order.MAINTENANCE, "6")
    scene.run(120)
    back = [
        from_plain(EVENT_TYPES[type(event).__name__], to_plain(event)) for event in scene.events
    ]
    assert back == scene.events
    assert fold(Memory(), back) == scene.memory


def test_ids_are_never_used_twice() -> None:
    """Incidents and acts count on over restarts of the healer."""
    scene = Scene(combined(5))
    scene.run(5)
    for node in ("2", "3", "4"):
        scene.crash(node)
        scene.run(100)
        scene.restart_healer()
        scene.run(20)
    ids = [request.id for _, request in scene.acts]
    assert len(ids) == 3
    assert len(set(ids)) == 3
